"""Graded submissions against the reports of the same runs, and numbers that a reader can work out."""

from __future__ import annotations

from dataclasses import replace
from math import fsum
from pathlib import Path

import pytest

from roi_bench.analysis.efficiency import allocations
from roi_bench.analysis.load import load_runs, score_runs
from roi_bench.analysis.profile import match_profiles
from roi_bench.analysis.reports.score_tables import interval_of
from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import RecordError
from roi_bench.grading.answers import MAX_ANSWER_CHARACTERS
from roi_bench.grading.grader import Check, Grader, Verdict
from roi_bench.leaderboard.board import grade as bounded_grader
from roi_bench.leaderboard.board.grade import (
    BoundedGrader,
    TooManyLimitsError,
    decoding_text,
    grade_submission,
    sampling_stderr,
    tokens_source,
)
from roi_bench.leaderboard.board.graded import LETTERS, MIXED, GradedRun, GradedSubmission
from roi_bench.leaderboard.board.same_responses import fingerprints
from roi_bench.leaderboard.checks.rules import CheckedSubmission, check_submission
from roi_bench.leaderboard.submission.untrusted_files import ANSWERS_AT_ONCE, LIMIT_VERDICTS
from roi_bench.records.regrade import estimate_metrics
from roi_bench.records.results import RecordedTask, read_results
from roi_bench.scoring.metrics import Sample
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from tests.analysis.invented_runs import answered, lost
from tests.leaderboard.made_submissions import SOLO, MadeTask, made_submission

EXAMS = 12
SKILL = (0.9, 0.6, 0.0)
ALL = (True, True, True)
TASKS = (
    MadeTask(exams=EXAMS, skill=SKILL, usd=1e-6),
    MadeTask(order="medium", prompt="metacognitive", exams=EXAMS, skill=SKILL),
    MadeTask(prompt="greedy_knapsack", exams=EXAMS, skill=SKILL, attempts=ALL, usd=1e-6),
    MadeTask(order="medium", exams=EXAMS, skill=SKILL, repeats=3, temperature=0.7),
    replace(SOLO, exams=EXAMS),
)
HARD, MEDIUM = "tiny_hard_128_direct", "tiny_medium_128_metacognitive"
ALONE, SAMPLED = "tiny_hard_128_greedy_knapsack", "tiny_medium_128_direct"

Graded = tuple[GradedSubmission, dict[str, ScoredRun]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("submissions") / "made", TASKS)


@pytest.fixture(scope="module")
def results(folder: Path) -> Path:
    return folder.parent.with_name("made-results")


@pytest.fixture(scope="module")
def checked(folder: Path) -> CheckedSubmission:
    return check_submission(folder)


@pytest.fixture(scope="module")
def graded(checked: CheckedSubmission) -> Graded:
    return grade_submission(checked, workers=1)


def test_every_number_is_that_of_the_report_of_the_same_run(graded: Graded, results: Path) -> None:
    submission, scored = graded
    reported = {f"{run.cell.slug}_{run.task.record.prompt}": run for run in score_runs([results])}
    assert [run.slug for run in submission.runs] == list(scored) == list(reported)
    assert set(scored) == {HARD, MEDIUM, ALONE, SAMPLED}
    for run in submission.runs:
        assert scored[run.slug].scored == reported[run.slug].scored
        estimates = reported[run.slug].estimates()
        assert {**run.numbers} == {name: interval_of(found, name) for name, found in estimates.items()}
        assert run.score_fixed == interval_of(estimates["score"], "score", "fixed")
        assert run.regret_fixed == interval_of(estimates["regret"], "regret", "fixed")
        assert (run.exams, run.clusters) == (EXAMS, EXAMS)


def test_scores_by_exam_make_the_numbers(graded: Graded) -> None:
    for run in graded[0].runs:
        assert run.exam_ids == tuple(f"tiny/0/{index:03}" for index in range(EXAMS))
        assert len(run.exam_clusters) == len(run.scores) == len(run.scores_easy) == EXAMS
        assert run.numbers["score"].value == fsum(run.scores) / EXAMS
        assert run.numbers["score_easy"].value == fsum(run.scores_easy) / EXAMS
        lost_share = 1 - fsum(run.scores) / fsum(run.scores_easy)
        assert run.numbers["regret"].value == pytest.approx(lost_share)


def read_in(checked: CheckedSubmission, order: str) -> GradedRun:
    """The hard run, graded as though its responses in hard order had been given in another: unlike those in easy."""
    task = next(task for task in checked.tasks if task.name == "roi_tiny_hard_128")
    solo = next(task for task in checked.tasks if task.record.form == "solo")
    misread = replace(task, record=replace(task.record, order=order))
    (run,) = grade_submission(replace(checked, tasks=(misread, solo)), workers=1)[0].runs
    return run


def test_views_agree_with_the_numbers(checked: CheckedSubmission, graded: Graded) -> None:
    for run in (*graded[0].runs, read_in(checked, "medium")):
        numbers = {name: number.value for name, number in run.numbers.items()}
        assert list(run.outcomes_by_tier) == ["easy", "middle", "hard"]
        for tier, shares in run.outcomes_by_tier.items():
            assert fsum(shares.values()) == pytest.approx(1.0)
            assert shares["correct"] == pytest.approx(numbers[f"{tier}_acc"])
            assert shares["skipped"] == run.skip_rate_by_tier[tier].value
        for position, accuracy in enumerate(run.accuracy_by_position[run.cell.order], start=1):
            assert accuracy.value == numbers[f"p{position}_acc"]
        assert [len(numbers) for numbers in run.accuracy_by_position.values()] == [3, 3]
        boxes = [box for box in run.token_boxes if box.order == run.cell.order]
        assert {box.tier for box in boxes if box.position == 1} <= {"hard", "easy", "middle"}
        assert sum(box.attempted for box in boxes) <= 3 * EXAMS * run.repeats


def test_letters_tell_what_became_of_every_problem(graded: Graded) -> None:
    for run in graded[0].runs:
        assert len(run.outcomes) == 3 * run.exams
        exams = [run.outcomes[start : start + 3] for start in range(0, len(run.outcomes), 3)]
        if run.repeats == 1:
            assert [float(letters.count("c")) for letters in exams] == list(run.scores)
            for outcome, letter in LETTERS.items():
                shares = [of_tier.get(outcome, 0.0) for of_tier in run.outcomes_by_tier.values()]
                assert run.outcomes.count(letter) == pytest.approx(sum(shares) * run.exams)
        else:
            assert MIXED in run.outcomes


def test_skips_have_a_level_where_a_profile_tells_it(checked: CheckedSubmission, graded: Graded) -> None:
    """The run skips every hard problem; alone the model solves some of them."""
    (run,) = (run for run in graded[0].runs if run.slug == MEDIUM)
    assert sum(map(sum, run.level_counts)) == 3 * EXAMS
    assert run.level_counts[3][4] == 0 < run.level_counts[3][3]
    alone, _ = grade_submission(replace(checked, tasks=exam_tasks(checked)), workers=1)
    (run,) = (run for run in alone.runs if run.slug == MEDIUM)
    assert run.level_counts[3] == (0, 0, 0, 0, EXAMS)
    assert next(run for run in alone.runs if run.slug == HARD).level_counts == ()


def exam_tasks(checked: CheckedSubmission) -> tuple[RecordedTask, ...]:
    return tuple(task for task in checked.tasks if task.record.kind.has_order)


def test_estimates_are_computed_once_a_run(checked: CheckedSubmission, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, claims and paraphrases all ask for them; claims are there, since the runs were packed."""
    calls = []

    def counted(scored: object, exams: object) -> object:
        calls.append(scored)
        return estimate_metrics(scored, exams)  # type: ignore[arg-type]

    monkeypatch.setattr("roi_bench.analysis.runs.estimate_metrics", counted)
    assert checked.submission.claimed
    _, by_slug = grade_submission(checked, workers=1)
    assert len(calls) == len(by_slug)


def test_allocation_is_that_of_the_report(graded: Graded, results: Path) -> None:
    loaded = load_runs([results])
    matched = match_profiles(loaded.scored, loaded.profiles)
    (found,) = allocations(matched)
    names = {run.slug: scored.name for run, scored in zip(graded[0].runs, graded[1].values(), strict=True)}
    for run in graded[0].runs:
        of_run = [
            item
            for name, item in found.found
            if (name, item.order, item.budget) == (names[run.slug], run.cell.order, run.cell.budget)
        ]
        assert run.allocation
        assert run.allocation["v_dp"] == interval_of(of_run[0].optimal, "v_dp")
        assert run.allocation["ae"] == interval_of(of_run[0].allocation_efficiency, "ae")
        values = [run.allocation[name] for name in ("v_dp", "ae", "sr")]
        skill, choice, retention = (number.value or 0.0 for number in values)
        assert skill * choice * retention == pytest.approx(run.numbers["score"].value)
    assert graded[0].profiles == ("roi_tiny_solo_256",)


def test_a_run_in_easy_order_is_judged_by_its_own_responses(checked: CheckedSubmission) -> None:
    run = read_in(checked, "easy")
    assert run.allocation
    values = [run.allocation[name] for name in ("v_dp", "ae", "sr")]
    skill, choice, retention = (number.value or 0.0 for number in values)
    assert skill * choice * retention == pytest.approx(run.numbers["score"].value)
    assert run.numbers["score"].value != run.numbers["score_easy"].value


def test_a_profile_that_serves_nothing_is_told_and_refuses_nothing(checked: CheckedSubmission) -> None:
    solo = next(task for task in checked.tasks if task.record.form == "solo")
    cases = {
        "beyond the profile's cap of 32": replace(solo, record=replace(solo.record, budget=32)),
        "cross-fitting needs two": replace(
            solo,
            record=replace(solo.record, repeats=1),
            documents=tuple(replace(one, requests=(one.requests[0][:1],)) for one in solo.documents),
        ),
        "makes no profile": replace(
            solo, documents=tuple(replace(one, requests=((Response(None),) * 2,)) for one in solo.documents)
        ),
    }
    for reason, task in cases.items():
        found, _ = grade_submission(replace(checked, tasks=(*exam_tasks(checked), task)), workers=1)
        assert not any(run.allocation for run in found.runs)
        assert found.profiles == ("roi_tiny_solo_256",)
        notes = [remark.text for remark in found.remarks if remark.rule == "profile"]
        assert any(reason in note for note in notes), notes
        assert not any(str(task.samples_path.parent) in note for note in notes), "paths are no reader's business"


def test_remarks_of_the_checks_are_kept(checked: CheckedSubmission, graded: Graded) -> None:
    assert graded[0].remarks[: len(checked.remarks)] == checked.remarks
    assert checked.remarks
    assert (graded[0].content, graded[0].bytes, graded[0].recounted) == (checked.content, checked.bytes, True)


def test_cost_counts_every_response_and_per_exam_those_in_the_own_order(graded: Graded, results: Path) -> None:
    """The made tasks cost a millionth of a dollar a token."""
    recorded = {task.name: task for path in results.rglob("results_*.json") for task in read_results(path)}
    for slug, counted in ((HARD, 1), (ALONE, 3)):
        (run,) = (run for run in graded[0].runs if run.slug == slug)
        spent = [
            [fsum(one.usage.tokens * 1e-6 for one in request if one.usage) for request in document.requests]
            for document in recorded[run.task].documents
        ]
        assert run.usd == pytest.approx(fsum(map(fsum, spent)))
        assert run.usd_per_exam == pytest.approx(fsum(fsum(requests[:counted]) for requests in spent) / EXAMS)
    assert next(run for run in graded[0].runs if run.slug == MEDIUM).usd is None


def test_one_unknown_cost_makes_the_sum_unknown(checked: CheckedSubmission, graded: Graded) -> None:
    name = next(run.task for run in graded[0].runs if run.slug == HARD)
    first, *others = checked.usd[name]
    without = {other: checked.usd[name][other] for other in others}
    for known in (without, {**without, first: ((None,), (1.0,))}):
        found, _ = grade_submission(replace(checked, usd={name: known}), workers=1)
        (run,) = (run for run in found.runs if run.slug == HARD)
        assert (run.usd, run.usd_per_exam) == (None, None)


def scored(points: int) -> Sample:
    outcomes = [("correct", 10)] * points + [("wrong", 10)] * (3 - points)
    return Sample(answered("hard", *outcomes), answered("easy", *outcomes))


def test_sampling_noise_by_hand() -> None:
    """Variances 2 and 0 of two samples each: √(2/2 + 0/2) / 2."""
    assert sampling_stderr([[scored(1), scored(3)], [scored(2), scored(2)]]) == 0.5
    assert sampling_stderr([[scored(1), scored(3)], [scored(2)]]) is None
    failed = Sample(lost("hard"), lost("easy"))
    assert sampling_stderr([[scored(1), scored(3), failed], [scored(2), scored(2)]]) == 0.5
    assert sampling_stderr([]) is None


def test_only_runs_with_several_samples_know_sampling_noise(graded: Graded) -> None:
    found = {run.slug: run.sampling_stderr for run in graded[0].runs}
    assert {slug for slug, stderr in found.items() if stderr is not None} == {SAMPLED}
    (run,) = (run for run in graded[0].runs if run.slug == SAMPLED)
    whole = graded[1][SAMPLED].estimates()["score"].stderr_fixed
    assert whole is not None
    assert 0 < (run.sampling_stderr or 0) <= 1.5 * whole
    assert (run.decoding, run.repeats) == ("do_sample=False, temperature=0.7", 3)


@pytest.mark.parametrize(
    ("decoding", "text"),
    [
        ({}, ""),
        ({"do_sample": False, "temperature": 0.0}, ""),
        ({"temperature": 0, "top_p": 0.9, "seed": 3}, ""),
        ({"do_sample": True, "temperature": 0.7, "top_p": 0.9}, "temperature=0.7, top_p=0.9"),
        ({"temperature": 1.0}, "temperature=1.0"),
        ({"do_sample": True}, "do_sample=True"),
        ({"do_sample": False, "num_beams": 4, "top_k": None}, "num_beams=4"),
    ],
)
def test_decoding_in_words(decoding: dict[str, object], text: str) -> None:
    assert decoding_text(decoding) == text


def test_tokens_are_as_certain_as_the_least_certain_count(checked: CheckedSubmission) -> None:
    task = next(task for task in checked.tasks if task.record.form == "exam")
    assert tokens_source(task, counted=True) == "generated"

    def with_first(response: Response) -> RecordedTask:
        first, *others = task.documents
        (_, *samples), *requests = first.requests
        return replace(task, documents=(replace(first, requests=((response, *samples), *requests)), *others))

    assert tokens_source(with_first(Response("a", Usage(1, "stop", "provider"))), counted=True) == "provider"
    assert tokens_source(with_first(Response("a", Usage(1, "stop", "retokenized"))), counted=True) == "retokenized"
    assert tokens_source(with_first(Response("a")), counted=True) == "retokenized"
    assert tokens_source(with_first(Response("a")), counted=False) == "unknown"
    stripped = with_first(Response("a"))
    stripped = replace(stripped, record=replace(stripped.record, text_is_whole=False))
    assert tokens_source(stripped, counted=True) == "unknown"
    assert tokens_source(with_first(Response(None)), counted=True) == "generated", "nothing was spent on it"
    assert tokens_source(replace(task, documents=()), counted=True) == "unknown"


def test_exams_without_a_response_are_left_out(checked: CheckedSubmission) -> None:
    task = next(task for task in checked.tasks if task.name == "roi_tiny_hard_128")
    first, *others = task.documents
    gap = replace(first, requests=((Response(None),), first.requests[1]))
    found, _ = grade_submission(replace(checked, tasks=(replace(task, documents=(*others, gap)),)), workers=1)
    (run,) = found.runs
    assert run.exam_ids == tuple(f"tiny/0/{index:03}" for index in range(1, EXAMS))
    assert (run.exams, run.numbers["error"].value) == (EXAMS - 1, 1 / EXAMS)


def test_the_fingerprints_of_responses_are_there_for_every_run(checked: CheckedSubmission, graded: Graded) -> None:
    by_name = {task.name: task.documents for task in checked.tasks}
    assert {run.task: run.fingerprints for run in graded[0].runs} == {
        run.task: fingerprints(by_name[run.task], run.exam_ids) for run in graded[0].runs
    }
    assert len({run.fingerprints for run in graded[0].runs}) == len(graded[0].runs)


class Slow:
    """Finds every answer too hard, as a grader finds those that were made to be."""

    def __init__(self) -> None:
        self.asked = 0

    def grade_many(self, answers: list[Check]) -> list[Verdict]:
        self.asked += len(answers)
        return [Verdict(False, "limit") for _ in answers]


def test_answers_made_to_take_long_end_the_grading() -> None:
    slow = Slow()
    grader = BoundedGrader(slow)
    honest = [Check("math", f"\\sqrt{{{k}}}", ("3",)) for k in range(LIMIT_VERDICTS)]
    assert len(grader.grade_many(honest)) == LIMIT_VERDICTS
    assert len(grader.grade_many(honest * 2)) == 2 * LIMIT_VERDICTS, "the same answers cost once"
    long = [Check("math", f"{k}" * (MAX_ANSWER_CHARACTERS + 1), ("3",)) for k in range(9)]
    assert len(grader.grade_many(long)) == 9, "too long to be looked at, so they cost nothing"
    asked = slow.asked
    with pytest.raises(TooManyLimitsError, match="200 answers"):
        grader.grade_many([Check("math", f"a{k}", ("3",)) for k in range(100_000)])
    assert slow.asked == asked + ANSWERS_AT_ONCE, "given up at once"


@pytest.mark.parametrize("form", ["exam", "solo"])
def test_a_submission_of_such_answers_is_refused(
    checked: CheckedSubmission, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of solo tasks too, whose other faults only leave out a profile."""
    monkeypatch.setattr(Grader, "grade_many", lambda _, answers: Slow().grade_many(answers))
    monkeypatch.setattr(bounded_grader, "LIMIT_VERDICTS", 5)
    tasks = tuple(task for task in checked.tasks if task.record.form == form)
    with pytest.raises(TooManyLimitsError, match="5 answers"):
        grade_submission(replace(checked, tasks=tasks), workers=1)


def test_the_same_exams_twice_with_one_prompt_are_refused(checked: CheckedSubmission) -> None:
    twice = (*checked.tasks, replace(checked.tasks[0], name="another"))
    counters, states = {**checked.counters, "another": None}, {**checked.token_checks, "another": "reported"}
    with pytest.raises(RecordError, match="same exams"):
        grade_submission(replace(checked, tasks=twice, counters=counters, token_checks=states), workers=1)


def test_graded_twice_it_is_the_same(checked: CheckedSubmission, graded: Graded) -> None:
    assert repr(grade_submission(checked, workers=1)[0]) == repr(graded[0])
