"""Solo profile: for each problem asked alone, what it costs a model and whether it is solved (SPEC section 11).

K samples of a problem under a cap C give the model's joint distribution of (cost, correct). A generation capped at
k ≤ C is a prefix of the longer one, so one profile gives the success at every cap up to C.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.runs import RunKey, ScoredRun
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSION, EXAM_VERSIONS, Exam
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import parse_object
from roi_bench.records.results import UNSAID, RecordedTask, Sending, sending_of, wrong_key
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import prompt_sha256, version_text
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, level_of

# A model's skill on one problem alone: samples of (cost, correct), and estimates from them (SPEC section 11).


@dataclass(frozen=True, slots=True)
class SoloSkill:
    """Samples of one problem asked alone.

    A capped generation is the beginning of a longer one, so a sample is right within a budget iff it is right and its
    cost is at most the budget.

    Attributes:
        costs: Generated tokens of each sample.
        correct: Whether each sample is right.

    Raises:
        UsageError: No samples, not as many costs as verdicts, or a negative cost.
    """

    costs: tuple[int, ...]
    correct: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not self.costs or len(self.costs) != len(self.correct):
            raise UsageError(
                f"a solo skill needs samples, each with cost and verdict, not {len(self.costs)} and {len(self.correct)}"
            )
        if min(self.costs) < 0:
            raise UsageError(f"a sample cannot cost {min(self.costs)} tokens")

    def solve_rate(self, budget: int) -> float:
        """Return p(B): the share of all samples that are right and cost at most ``budget`` tokens, 0–1."""
        return len(self._right(budget)) / len(self.costs)

    def mean_cost_of_right(self, budget: int) -> float | None:
        """Return the mean cost in tokens of the samples that are right within ``budget``, or None if none is."""
        right = self._right(budget)
        return fsum(right) / len(right) if right else None

    def _right(self, budget: int) -> list[int]:
        return [cost for cost, right in zip(self.costs, self.correct, strict=True) if right and cost <= budget]


@dataclass(frozen=True, slots=True)
class SoloWithin:
    """A model's skill on single problems within one budget.

    Attributes:
        skills: Its samples of each problem, by problem id.
        budget: Budget in generated tokens.
    """

    skills: Mapping[str, SoloSkill]
    budget: int

    def solve_rate(self, problem_id: str) -> float | None:
        """Return p(B) of a problem, 0–1, or None if there is no sample of it."""
        skill = self.skills.get(problem_id)
        return None if skill is None else skill.solve_rate(self.budget)

    def level(self, problem_id: str, pool: str) -> int | None:
        """Return the actual level of a problem that was not attempted (SPEC section 7); None if there is no sample.

        Level-3 if no sample is right within the budget, else the level of the mean cost of those that are.
        """
        skill = self.skills.get(problem_id)
        if skill is None:
            return None
        cost = skill.mean_cost_of_right(self.budget)
        return NOT_WORTH_ATTEMPTING if cost is None else level_of(ceil(cost), level_bounds(pool))


FORMAT = "roi-bench solo profile"
VERSION = 1

UNCOUNTED_SKIP_COST = 12
"""Tokens that a skip is taken to cost where no tokenizer is known: a header line and a box with NA."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The solo profile of a model.

    Attributes:
        model: The model's name or folder.
        exam_set: Exam set whose problems these are.
        exam_seed: Seed of a generated set, None for the frozen one.
        cap: Most tokens of a sample.
        skip_cost: Tokens of writing a skip (header line and NA).
        prompt_sha256: Version of the solo prompt.
        decoding: Generation arguments besides the cap.
        skills: Samples by problem id; the same number of samples for every problem.
        sending: How the prompts were sent; older profiles do not say.
    """

    model: str
    exam_set: str
    exam_seed: int | None
    cap: int
    skip_cost: int
    prompt_sha256: str
    decoding: Mapping[str, Any]
    skills: Mapping[str, SoloSkill]
    sending: Sending = UNSAID

    @property
    def samples(self) -> int:
        """Samples of each problem."""
        return len(next(iter(self.skills.values())).costs)

    @property
    def set_title(self) -> str:
        """Name of the exam set: ``v1``, or ``fresh/7`` with the seed of a generated one other than 0."""
        return f"{self.exam_set}/{self.exam_seed}" if self.exam_seed else self.exam_set

    def covers(self, exam: Exam) -> bool:
        """Whether every problem of ``exam`` is in the profile."""
        return all(problem.id in self.skills for problem in exam.problems)

    def arrays(self, exams: Sequence[Exam], order: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return costs in tokens and correctness of ``exams`` in ``order``, each of shape (exams, positions, samples).

        Raises:
            UsageError: A problem is not in the profile.
        """
        if missing := [exam.id for exam in exams if not self.covers(exam)]:
            raise UsageError(f"the profile lacks problems of {missing[0]} (such exams: {len(missing)})")
        skills = [[self.skills[problem.id] for problem in exam.ordered(order)] for exam in exams]
        shape = (len(exams), 3, self.samples)
        costs = np.array([[skill.costs for skill in row] for row in skills], dtype=np.int64).reshape(shape)
        correct = np.array([[skill.correct for skill in row] for row in skills], dtype=np.bool_).reshape(shape)
        return costs, correct


def make_profile(
    task: RecordedTask, scored: Mapping[str, tuple[ScoredResponse, ...]], skip_cost: int = UNCOUNTED_SKIP_COST
) -> Profile:
    """Return the profile of a recorded solo task.

    Args:
        task: The task.
        scored: Its scored responses by problem id (:func:`roi_bench.records.regrade.score_recorded_solo`).
        skip_cost: Tokens of writing a skip.

    Raises:
        RecordError: A response is missing, or its tokens are unknown.
    """
    skills = {}
    for problem, responses in scored.items():
        costs = [response.tokens for response in responses]
        if any(response.failed for response in responses):
            raise RecordError(
                f"{task.samples_path}: a response to {problem} is missing; run the same command again (it asks only "
                "for missing ones), then make the profile"
            )
        # Text counted again may lie a little above the cap; what was generated did not.
        known = tuple(min(cost, task.record.budget) for cost in costs if cost is not None)
        if len(known) != len(costs):
            raise RecordError(
                f"{task.samples_path}: how many tokens the responses to {problem} took is unknown; name the model's "
                "tokenizer (--tokenizer …)"
            )
        skills[problem] = SoloSkill(known, tuple(response.score == 1 for response in responses))
    record = task.record
    return Profile(
        task.model,
        record.exam_set,
        record.exam_seed,
        record.budget,
        skip_cost,
        record.prompt_sha256,
        task.decoding,
        skills,
        record.sending,
    )


def profile_text(profile: Profile) -> str:
    """Return the profile as the text of its file: JSON, one problem a line; the same profile gives the same text."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "exam_version": EXAM_VERSIONS[profile.exam_set],
        "reading_rule": READING_RULE,
        **{name: getattr(profile, name) for name in _FIELDS},
        "decoding": dict(profile.decoding),
        **asdict(profile.sending),
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value, sort_keys=True)}," for name, value in head.items()]
    rows = [
        f"  {json.dumps(name)}: {json.dumps([list(skill.costs), [int(right) for right in skill.correct]])}"
        for name, skill in profile.skills.items()
    ]
    return "\n".join(["{", *lines, ' "problems": {', ",\n".join(rows), " }", "}", ""])


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "exam_set": str,
    "exam_seed": (int, type(None)),
    "cap": int,
    "skip_cost": int,
    "prompt_sha256": str,
}


def parse_profile(content: bytes, where: str) -> Profile:
    """Return the profile that the file ``content`` holds.

    Args:
        content: The file.
        where: Its name, for messages.

    Raises:
        RecordError: It is damaged, of another version or reading rule, or was asked with another prompt.
    """
    try:
        value = parse_object(content)
        if value.get("format") != FORMAT:
            raise ValueError(f"no format {FORMAT!r}")
        exams = EXAM_VERSIONS.get(str(value.get("exam_set")), EXAM_VERSION)
        if (value.get("version"), value.get("exam_version")) != (VERSION, exams):
            raise ValueError(
                f"version {value.get('version')!r} for exam version {value.get('exam_version')!r}; this package reads "
                f"{VERSION} for {exams}"
            )
        wrong = [name for name, kind in _FIELDS.items() if not isinstance(value.get(name), kind)]
        wrong += [name for name in ("cap", "skip_cost") if name not in wrong and not 0 <= value[name] < 10**9]
        wrong += [] if (key := wrong_key(value)) is None else [key]
        if wrong or not isinstance(value.get("decoding"), dict):
            raise ValueError(f"damaged at {(wrong or ['decoding'])[0]!r}")
        skills = {str(name): _skill(name, row, value["cap"]) for name, row in value["problems"].items()}
        if len({len(skill.costs) for skill in skills.values()}) != 1:
            raise ValueError("no problems, or not the same number of samples of each")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, ValueError) else "part of it has an unexpected structure"
        raise RecordError(
            f"{where}: not a solo profile, or a damaged one ({what}); make it with roi-bench profile"
        ) from error
    if (rule := value.get("reading_rule", 1)) != READING_RULE:
        raise RecordError(
            f"{where}: a profile of reading rule {rule}, this package reads by rule {READING_RULE}, and the two are "
            "never mixed; run the solo task again and make the profile of that"
        )
    if value["prompt_sha256"] != prompt_sha256("solo"):
        raise RecordError(
            f"{where}: asked with solo prompt {version_text(str(value['prompt_sha256']))}; this package's is "
            f"{version_text(prompt_sha256('solo'))}; use the roi-bench release of that run"
        )
    known = {name: value[name] for name in _FIELDS}
    return Profile(**known, decoding=value["decoding"], skills=skills, sending=sending_of(value))


def _skill(name: str, row: Any, cap: int) -> SoloSkill:
    costs, correct = row
    if len(costs) != len(correct) or not costs:
        raise ValueError(f"problem {name!r} has {len(costs)} costs and {len(correct)} verdicts")
    if any(type(cost) is not int or not 0 <= cost <= cap for cost in costs):
        raise ValueError(f"problem {name!r} has a cost that is not a number of tokens up to the cap")
    if any(verdict not in (0, 1) for verdict in correct):
        raise ValueError(f"problem {name!r} has a verdict other than 0 and 1")
    return SoloSkill(tuple(costs), tuple(bool(verdict) for verdict in correct))


# Matching solo profiles to runs, and notes for the reader of the result.


@dataclass(frozen=True, slots=True)
class ProfiledRuns:
    """Runs of one model with its solo profile.

    Attributes:
        profile: The profile.
        runs: Runs whose budgets are within its cap.
    """

    profile: Profile
    runs: tuple[ScoredRun, ...]


def match_profiles(runs: Sequence[ScoredRun], profiles: Sequence[Profile]) -> list[ProfiledRuns]:
    """Return the runs with the best matching profile of their model.

    That is the one which covers most of the run's exams, then one whose prompts were sent like the run's, then one
    decoded like it, then the smallest cap that reaches the budget. Runs and profiles that match none are left out.
    """
    matched: dict[int, list[ScoredRun]] = {}
    for run in runs:
        fitting = [index for index, profile in enumerate(profiles) if _fits(run, profile)]
        if fitting:
            matched.setdefault(min(fitting, key=lambda index: _preference(run, profiles[index])), []).append(run)
    return [ProfiledRuns(profiles[index], tuple(members)) for index, members in sorted(matched.items())]


def solo_within(matched: Sequence[ProfiledRuns]) -> dict[RunKey, SoloWithin]:
    """Return what each run's model can do alone within the run's budget, by the run's key."""
    return {run.key: SoloWithin(item.profile.skills, run.cell.budget) for item in matched for run in item.runs}


def _preference(run: ScoredRun, profile: Profile) -> tuple[int, bool, bool, int]:
    sent_otherwise = run.task.record.sending != profile.sending
    return -covered_exams(run, profile), sent_otherwise, run.task.decoding != dict(profile.decoding), profile.cap


def covered_exams(run: ScoredRun, profile: Profile) -> int:
    """Return how many exams of ``run`` have all their problems in ``profile``."""
    return sum(profile.covers(run.exams[name]) for name in run.scored)


def _fits(run: ScoredRun, profile: Profile) -> bool:
    return run.task.model == profile.model and why_not_served(run, profile) is None


def why_not_served(run: ScoredRun, profile: Profile) -> str | None:
    """Return why ``profile`` does not apply to ``run``, or None if it does; models are not compared."""
    record = run.task.record
    if (record.exam_set, record.exam_seed) != (profile.exam_set, profile.exam_seed):
        return f"it is on {run.cell.set_title}, the profile is of {profile.set_title}"
    if record.budget > profile.cap:
        return f"its budget of {record.budget} is beyond the profile's cap of {profile.cap}"
    if profile.samples < 2:
        return "the profile has one sample of each problem, and cross-fitting needs two"
    return None if covered_exams(run, profile) else "the profile covers none of its exams in full"


def match_notes(runs: Sequence[ScoredRun], profiles: Sequence[Profile], matched: Sequence[ProfiledRuns]) -> list[str]:
    """Return notes on an allocation: profiles left out, partial cover, differences."""
    notes = []
    for profile in profiles:
        if any(item.profile is profile for item in matched):
            continue
        own = [run for run in runs if run.task.model == profile.model]
        reasons = [f"{run.name} {run.cell.title}: {why_not_served(run, profile)}" for run in own]
        why = "no run is of this model" if not own else "; ".join(r for r in reasons if not r.endswith(": None"))
        notes.append(
            f"the profile of {profile.model} ({profile.set_title}, cap {profile.cap}) is left out: "
            f"{why or 'another profile serves these runs better'}"
        )
    for item in matched:
        for run in item.runs:
            covered = covered_exams(run, item.profile)
            if covered < len(run.scored):
                notes.append(f"{run.name}, {run.cell.title}: the profile has {covered} of its {len(run.scored)} exams")
        notes += difference_notes(item.profile, item.runs)
    return notes


def difference_notes(profile: Profile, runs: Sequence[ScoredRun]) -> list[str]:
    """Return notes if prompts of runs were sent in another way than the profile's, or decoded differently."""
    notes = []
    ways = {run.task.record.sending for run in runs} - {profile.sending}
    if ways:
        others = "; ".join(sorted(way.title for way in ways))
        notes.append(
            f"prompts of the profile were sent in another way ({profile.sending.title}) than those of runs ({others}); "
            "SR holds that difference as well"
        )
    decodings = sorted({_shown(run.task.decoding) for run in runs if run.task.decoding != dict(profile.decoding)})
    if decodings:
        notes.append(
            f"the profile was decoded with {_shown(profile.decoding)}, runs with {'; '.join(decodings)}; SR holds that "
            "difference as well"
        )
    return notes


def _shown(decoding: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(decoding.items())) or "the defaults"
