"""Grading a checked submission: raw responses → the numbers and views of its pages, by the paths that reports take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import TYPE_CHECKING

from roi_bench.analysis.efficiency import Efficiency, allocations
from roi_bench.analysis.load import exams_of, skip_cost_of
from roi_bench.analysis.profile import (
    Profile,
    ProfiledRuns,
    SoloWithin,
    make_profile,
    match_notes,
    match_profiles,
    solo_within,
)
from roi_bench.analysis.prompt_noise import PromptGroup, group_prompts
from roi_bench.analysis.reports.forecasts import level_forecast, skip_skills
from roi_bench.analysis.reports.score_tables import interval_of
from roi_bench.analysis.reports.tables import Interval, interval_around
from roi_bench.analysis.reports.views import accuracies_by_position, ratio, tokens_by_position_and_tier
from roi_bench.analysis.runs import RunKey, ScoredRun, in_order, run_names
from roi_bench.errors import RecordError
from roi_bench.exams.exam import TIERS, pools_of
from roi_bench.grading.answers import MAX_ANSWER_CHARACTERS, Check
from roi_bench.grading.grader import Grader
from roi_bench.leaderboard.board.graded import (
    LETTERS,
    MIXED,
    GradedRun,
    GradedSubmission,
    PromptSpread,
    Remark,
    TokenBox,
)
from roi_bench.leaderboard.board.same_responses import fingerprints
from roi_bench.leaderboard.submission.response_files import responses_sha256
from roi_bench.leaderboard.submission.schema import Submission, outdated
from roi_bench.leaderboard.submission.untrusted_files import ANSWERS_AT_ONCE, LIMIT_VERDICTS
from roi_bench.records.regrade import score_recorded, score_recorded_solo
from roi_bench.records.results import RecordedTask
from roi_bench.scoring.costs import TaskCost, task_cost
from roi_bench.scoring.kinds import GraderLike
from roi_bench.scoring.metrics import Part, Sample, range_of, tier_names
from roi_bench.scoring.outcomes import OUTCOMES, VerdictLike

if TYPE_CHECKING:
    from roi_bench.leaderboard.checks.rules import CheckedSubmission


# A grader with a bound on what a submission may cost: too many answers that hit the limit of a check end it.


class TooManyLimitsError(RecordError):
    """Too many answers of a submission ran into the limit of symbolic checks."""


class BoundedGrader:
    """Grades the answers of one submission, and gives up once too many of them hit the limit of symbolic checks.

    Args:
        grader: What grades.
    """

    def __init__(self, grader: GraderLike) -> None:
        self._grader = grader
        self._limited: set[Check] = set()

    def grade_many(self, answers: list[Check]) -> Sequence[VerdictLike]:
        """Return one verdict per answer, in order.

        Raises:
            TooManyLimitsError: More than :data:`LIMIT_VERDICTS` different answers hit the limit, in all calls together.
        """
        found: list[VerdictLike] = []
        for start in range(0, len(answers), ANSWERS_AT_ONCE):
            part = answers[start : start + ANSWERS_AT_ONCE]
            verdicts = self._grader.grade_many(part)
            found += verdicts
            self._limited |= {
                check
                for check, verdict in zip(part, verdicts, strict=True)
                if verdict.method == "limit"
                and len(check.answer) <= MAX_ANSWER_CHARACTERS  # a longer one costs nothing
            }
            if len(self._limited) > LIMIT_VERDICTS:
                raise TooManyLimitsError(
                    f"more than {LIMIT_VERDICTS} answers of this submission hit the time or memory limit of symbolic "
                    "checks; such answers are not mathematics that a grader can read"
                )
        return found


# Numbers that a submitter claims, compared with those computed from the responses; claims are never shown as results.

TOLERANCE = 1e-9
"""Relative difference up to which two sums in floating point are the same."""


def claim_remarks(submission: Submission, runs: Iterable[ScoredRun]) -> tuple[Remark, ...]:
    """Return a remark for each task whose claimed numbers are not what its responses give.

    Args:
        submission: The submission.
        runs: Its exam tasks, scored.
    """
    remarks = []
    for run in runs:
        claimed = submission.claimed.get(run.task.name, {})
        found = {name: estimate.value for name, estimate in run.estimates().items()} if claimed else {}
        wrong = [name for name, value in claimed.items() if name in found and not _same(value, found[name])]
        if wrong:
            shown = ", ".join(f"{name} {_text(claimed[name])} (found {_text(found[name])})" for name in wrong[:3])
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            remarks.append(Remark("claims", f"{run.task.name}: claims {shown}{more}"))
    return tuple(remarks)


def _same(claimed: float | None, found: float | None) -> bool:
    if claimed is None or found is None:
        return claimed is found
    return math.isclose(claimed, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


# How a run behaved, as the plots of its pages show it: outcomes, skips, positions, tokens, levels.

SOURCES = ("unknown", "retokenized", "provider", "generated")
"""How tokens were counted, least certain first; a run is as certain as the least certain of its responses."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The views of one run; attributes as in :class:`roi_bench.leaderboard.board.graded.GradedRun`."""

    outcomes_by_tier: Mapping[str, Mapping[str, float]]
    skip_rate_by_tier: Mapping[str, Interval]
    accuracy_by_position: Mapping[str, tuple[Interval, ...]]
    token_boxes: tuple[TokenBox, ...]
    level_counts: tuple[tuple[int, ...], ...]


def behaviour_of(run: ScoredRun, solo: SoloWithin | None = None) -> Behaviour:
    """Return how ``run`` behaved; with ``solo`` skipped problems have an actual level too."""
    order, clusters = run.cell.order, run.clusters
    accuracies: dict[str, list[Interval]] = {}
    for at in accuracies_by_position(run.scored, order, clusters):
        accuracies.setdefault(at.order, []).append(at.accuracy)
    skips = {
        skill.tier: skill.skip_rate
        for skill in skip_skills(run.scored, order, clusters)
        if skill.order == order and skill.tier is not None
    }
    counts = level_forecast(run.scored, clusters, solo).counts
    return Behaviour(
        outcomes_by_tier={tier: _outcomes(run, tier) for tier in TIERS},
        skip_rate_by_tier=skips,
        accuracy_by_position={side: tuple(numbers) for side, numbers in accuracies.items()},
        token_boxes=tuple(
            TokenBox(box.order, box.position or 0, box.tier or "", box.attempted, box.mean, box.quantiles)
            for box in tokens_by_position_and_tier(run.scored, order)
        ),
        level_counts=counts if any(map(sum, counts)) else (),
    )


def tokens_source(task: RecordedTask, *, counted: bool) -> str:
    """Return how the tokens of a run were counted (:data:`SOURCES`).

    Args:
        task: The run.
        counted: Whether the tokens of its texts are known, so that a response without usage could be counted.
    """
    counted_again = "retokenized" if counted and task.record.text_is_whole else "unknown"
    found = {
        counted_again if response.usage is None else response.usage.source
        for document in task.documents
        for request in document.requests
        for response in request
        if response.usage is not None or response.text is not None
    }
    return min(found, key=SOURCES.index, default="unknown")


def _outcomes(run: ScoredRun, tier: str) -> dict[str, float]:
    """Return the share of each outcome among problems of ``tier`` in the task's order; none without such problems."""

    def share(outcome: str) -> Callable[[Sample], Part | None]:
        def part(sample: Sample) -> Part | None:
            meant = [problem.outcome for problem in sample.main.problems if problem.tier == tier]
            return (float(meant.count(outcome)), float(len(meant))) if meant else None

        return part

    shares = {outcome: ratio(run.scored, share(outcome), None).value for outcome in OUTCOMES if outcome != "error"}
    return {outcome: value for outcome, value in shares.items() if value is not None}


# What paraphrase runs of a submission say about its runs: their spread over prompts, and a remark on copies.


def prompt_spread(group: PromptGroup | None, metric: str) -> PromptSpread | None:
    """Return how far ``metric`` (``score`` or ``regret``) moves with the words of the prompt; None if unknown."""
    noise = None if group is None else group.noise(metric)
    if group is None or noise is None:
        return None
    return PromptSpread(
        prompts=len(noise.values),
        exams=noise.exams,
        low=noise.low,
        high=noise.high,
        spread=noise.spread,
        prompt_sd=noise.prompt_sd,
        noisy=interval_around(group.canonical.estimates()[metric].value, noise.interval, range_of(metric)),
    )


def same_words_remarks(groups: Iterable[PromptGroup]) -> list[Remark]:
    """Return a remark for each task in other words whose responses are all those of another prompt.

    A copy would make the spread small; a model that says the same whatever it is asked does so too.
    """
    remarks = []
    for group in groups:
        seen: dict[str, str] = {}
        for run in (group.canonical, *group.paraphrases):
            first = seen.setdefault(responses_sha256(run.task.documents), run.task.name)
            if first != run.task.name:
                remarks.append(Remark("prompts", f"{run.task.name}: all its responses are those of {first}"))
    return remarks


def grade_submission(
    checked: CheckedSubmission, *, workers: int | None = None
) -> tuple[GradedSubmission, dict[str, ScoredRun]]:
    """Return what a submission is worth, and its scored runs by :attr:`GradedRun.slug`.

    Solo tasks become profiles, from which allocation efficiency and solve retention of the submission's own runs are
    computed. A profile that serves none of these runs is reported in a remark.

    Args:
        checked: The submission.
        workers: Processes for symbolic checks; by default one per core.

    Raises:
        RecordError: Two of its runs are of the same exams and prompt, a text has no recorded tokens, or its answers
            run into the limit of symbolic checks too often.
        DataError: A problem is missing or altered.
        DependencyError: math-verify is needed and not installed.
    """
    asked = in_order([task for task in checked.tasks if task.record.kind.has_order])
    tasks = [task for task in asked if not task.record.paraphrase]
    solo, notes = _current_solo(checked)
    with Grader(workers=workers) as unbounded:
        grader = BoundedGrader(unbounded)
        runs = [_scored(checked, task, name, grader) for task, name in zip(tasks, run_names(tasks), strict=True)]
        in_other_words = [_scored(checked, task, task.name, grader) for task in asked if task.record.paraphrase]
        profiles = _profiles(checked, solo, grader, notes)
    matched = match_profiles(runs, profiles)
    notes += match_notes(runs, profiles, matched)
    used, skills = _used(matched, notes), solo_within(matched)
    groups = {group.canonical.key: group for group in group_prompts([*runs, *in_other_words])[1]}
    graded = [
        graded_run(
            run,
            checked,
            used.get(run.key),
            skills.get(run.key),
            group=groups.get(run.key),
        )
        for run in runs
    ]
    by_slug = {found.slug: run for found, run in zip(graded, runs, strict=True)}
    if len(by_slug) < len(runs):
        raise RecordError(f"{checked.submission.id}: two of its tasks have the same exams and the same prompt")
    submission = GradedSubmission(
        submission=checked.submission,
        content=checked.content,
        bytes=checked.bytes,
        runs=tuple(graded),
        profiles=tuple(task.name for task in solo),
        remarks=(
            *checked.remarks,
            *claim_remarks(checked.submission, runs),
            *(Remark("profile", n) for n in notes),
            *same_words_remarks(groups.values()),
        ),
        recounted=checked.recounted,
    )
    return submission, by_slug


def _current_solo(checked: CheckedSubmission) -> tuple[list[RecordedTask], list[str]]:
    """Return the solo tasks that make profiles, and why others make none: they are of older versions."""
    older = {task.name: why for task in checked.submission.tasks if (why := outdated(task)) is not None}
    alone = [task for task in checked.tasks if not task.record.kind.has_order]
    left = [f"{one.name} makes no profile and is left out: {older[one.name]}" for one in alone if one.name in older]
    return [task for task in alone if task.name not in older], left


def _scored(checked: CheckedSubmission, task: RecordedTask, name: str, grader: GraderLike) -> ScoredRun:
    exams = exams_of(task)
    counter = checked.counters.get(task.name)
    return ScoredRun(name, task, exams, score_recorded(task, exams, grader, counter, older_prompts=True))


def _used(matched: Sequence[ProfiledRuns], notes: list[str]) -> dict[RunKey, Efficiency]:
    """Return how each run used its model's skill, by the run's key; ``notes`` gets why one cannot tell."""
    used: dict[RunKey, Efficiency] = {}
    for item in matched:
        found = _efficiencies(allocations([item], notify=notes.append)[0].found)
        served = {run.key: found.get((run.name, run.cell.order, run.cell.budget)) for run in item.runs}
        used |= {run: efficiency for run, efficiency in served.items() if efficiency is not None}
    return used


def graded_run(
    run: ScoredRun,
    checked: CheckedSubmission,
    efficiency: Efficiency | None = None,
    solo: SoloWithin | None = None,
    *,
    group: PromptGroup | None = None,
) -> GradedRun:
    """Return one exam task as pages show it.

    Args:
        run: The scored run.
        checked: Its submission.
        efficiency: How it used its model's skill, in its own order; None without a solo profile.
        solo: What its model can do alone; None without a solo profile.
        group: The same asked in other words, None where it was not.
    """
    estimates, record = run.estimates(), run.task.record
    named = {f"{name}_acc": f"{tier}_acc" for tier, name in tier_names(pools_of(run.exams)).items()}
    scores, scores_easy = run.terms("score"), run.terms("score_easy")
    exam_ids = [exam for exam in run.exams if exam in scores]
    cost = _cost(run.task, checked.usd.get(run.task.name, {}))
    behaviour = behaviour_of(run, solo)
    return GradedRun(
        task=run.task.name,
        cell=run.cell,
        prompt=record.prompt,
        form=record.form,
        repeats=record.repeats,
        decoding=decoding_text(run.task.decoding),
        deviations=shown_labels(record.deviations),
        exams=estimates["score"].exams,
        clusters=estimates["score"].clusters,
        numbers={named.get(name, name): interval_of(found, name) for name, found in estimates.items()},
        score_fixed=interval_of(estimates["score"], "score", "fixed"),
        regret_fixed=interval_of(estimates["regret"], "regret", "fixed"),
        exam_ids=tuple(exam_ids),
        exam_clusters=tuple(run.exams[exam].cluster for exam in exam_ids),
        scores=tuple(scores[exam].numerator for exam in exam_ids),
        scores_easy=tuple(scores_easy[exam].numerator for exam in exam_ids),
        sampling_stderr=sampling_stderr([run.scored[exam] for exam in exam_ids]),
        outcomes_by_tier=behaviour.outcomes_by_tier,
        skip_rate_by_tier=behaviour.skip_rate_by_tier,
        accuracy_by_position=behaviour.accuracy_by_position,
        token_boxes=behaviour.token_boxes,
        level_counts=behaviour.level_counts,
        usd_per_exam=None if cost is None else cost.usd_per_exam,
        usd=None if cost is None or cost.unknown else cost.usd + cost.usd_easy,
        tokens_source=tokens_source(run.task, counted=checked.counters.get(run.task.name) is not None),
        allocation={} if efficiency is None else _allocation(efficiency),
        responses_sha256=responses_sha256(run.task.documents),
        fingerprints=fingerprints(run.task.documents, exam_ids),
        tokens_checked=checked.token_checks[run.task.name],
        score_prompts=prompt_spread(group, "score"),
        regret_prompts=prompt_spread(group, "regret"),
        outcomes="".join(letters_of(run.scored[exam]) for exam in exam_ids),
    )


def letters_of(samples: Sequence[Sample]) -> str:
    """Return what became of an exam's problems in the task's order, a letter each."""
    by_position = zip(*(sample.main.problems for sample in samples), strict=True)
    found = [{problem.outcome for problem in problems} for problems in by_position]
    return "".join(LETTERS[outcomes.pop()] if len(outcomes) == 1 else MIXED for outcomes in found)


def sampling_stderr(exams: Sequence[Sequence[Sample]]) -> float | None:
    """Return the part of the score's standard error that comes from sampling: √(Σᵢ sᵢ² / Kᵢ) / n.

    sᵢ² is the variance of the scores of exam i's Kᵢ samples (divisor Kᵢ − 1), n the number of exams; more samples per
    exam make it smaller, more exams too (Miller 2024, arXiv 2411.00640, on resampling). None where an exam has fewer
    than two samples with responses.
    """
    variances = []
    for samples in exams:
        scores = [sample.main.score for sample in samples if not sample.failed]
        if len(scores) < 2:
            return None
        mean = fsum(scores) / len(scores)
        variances.append(fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1) / len(scores))
    return sqrt(fsum(variances)) / len(variances) if variances else None


def decoding_text(decoding: Mapping[str, object]) -> str:
    """Return generation arguments in a line, ``temperature=0.7, top_p=0.9``; an empty text for greedy decoding.

    Names and values are the submitter's, so only :data:`ARGUMENTS` are shown; of others it says how many there are.
    """
    given = {name: value for name, value in sorted(decoding.items()) if value is not None}
    if not given.get("do_sample") and not given.get("temperature"):
        given = {name: value for name, value in given.items() if name not in _OF_SAMPLING}
    elif given.get("temperature") and given.get("do_sample") is True:
        del given["do_sample"]  # implied by the temperature
    return ", ".join(_known_only({f"{name}={value}": name for name, value in given.items()}, "argument"))


ARGUMENTS = frozenset(
    [
        "best_of",
        "decoding",
        "diversity_penalty",
        "do_sample",
        "dry_multiplier",
        "dynatemp_range",
        "early_stopping",
        "epsilon_cutoff",
        "eta_cutoff",
        "frequency_penalty",
        "ignore_eos",
        "length_penalty",
        "min_length",
        "min_new_tokens",
        "min_p",
        "min_tokens",
        "mirostat",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "omit",
        "penalty_alpha",
        "presence_penalty",
        "reasoning_effort",
        "repeat_penalty",
        "repetition_penalty",
        "seed",
        "skip_special_tokens",
        "system_instruction",
        "temperature",
        "top_k",
        "top_n_sigma",
        "top_p",
        "typical_p",
        "until",
        "use_cache",
        "xtc_probability",
        "xtc_threshold",
    ]
)
"""Generation arguments, and labels of a run, that tables show by name."""

SHOWN_OF_ARGUMENT, MOST_ARGUMENTS = 48, 12
"""Characters of an argument with its value that are shown, and how many arguments."""


def shown_labels(deviations: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a run as tables show them."""
    return tuple(_known_only({label: label.partition("=")[0] for label in deviations}, "label"))


def _known_only(names: Mapping[str, str], what: str) -> Iterator[str]:
    """Yield the texts whose names are known, cut to length, and how many others there are."""
    known = [text for text, name in names.items() if name in ARGUMENTS][:MOST_ARGUMENTS]
    yield from (text if len(text) <= SHOWN_OF_ARGUMENT else f"{text[: SHOWN_OF_ARGUMENT - 1]}…" for text in known)
    if rest := len(names) - len(known):
        yield f"{rest} other {what}{'' if rest == 1 else 's'}"


_OF_SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "min_p", "seed")


def _profiles(
    checked: CheckedSubmission, tasks: Sequence[RecordedTask], grader: GraderLike, notes: list[str]
) -> list[Profile]:
    """Return the profiles that solo ``tasks`` make; ``notes`` gets why one makes none."""
    found = []
    for task in tasks:
        counter = checked.counters.get(task.name)
        try:
            scored = score_recorded_solo(task, exams_of(task), grader, counter)
            found.append(make_profile(task, scored, skip_cost_of(counter)))
        except TooManyLimitsError:
            raise
        except RecordError as error:
            reason = str(error).removeprefix(f"{task.samples_path}: ")
            notes.append(f"{task.name} makes no profile and is left out: {reason}")
    return found


def _efficiencies(found: Sequence[tuple[str, Efficiency]]) -> dict[tuple[str, str, int], Efficiency]:
    """Return the efficiency of each run in its own order, by name, order and budget.

    Behind a run's own row may come one for the same responses in easy order; runs in easy order come first of all.
    """
    first: dict[tuple[str, str, int], Efficiency] = {}
    for name, efficiency in found:
        first.setdefault((name, efficiency.order, efficiency.budget), efficiency)
    return first


def _allocation(found: Efficiency) -> dict[str, Interval]:
    estimates = {
        "v_dp": found.optimal,
        "v_replay": found.replay,
        "ae": found.allocation_efficiency,
        "sr": found.solve_retention,
        "lift": found.lift,
    }
    return {name: interval_of(estimate, name) for name, estimate in estimates.items()}


def _cost(task: RecordedTask, usd: Mapping[str, Sequence[Sequence[float | None]]]) -> TaskCost | None:
    unknown = [[[None] * len(request) for request in document.requests] for document in task.documents]
    rows = [{"usd": usd.get(document.id) or none} for document, none in zip(task.documents, unknown, strict=True)]
    return task_cost(rows)
