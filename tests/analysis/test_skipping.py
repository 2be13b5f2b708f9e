"""Precision and recall of skips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.profile import SoloSkill, SoloWithin
from roi_bench.analysis.reports.forecasts import SkipSkill, skip_skills, skip_table
from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import UsageError
from roi_bench.scoring.metrics import Sample
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio
from tests.analysis.invented_runs import answered, invented_run, lost, problem, response

NONE = Interval(None, None, None)
TIERS = ("easy", "middle", "hard")


def skill(rate: float) -> SoloSkill:
    """Of four samples this share is right within 100 tokens, and all within 1000."""
    right = round(4 * rate)
    return SoloSkill((100,) * right + (1000,) * (4 - right), (True,) * 4)


SOLO = SoloWithin({"sure": skill(1), "even": skill(0.5), "rare": skill(0.25), "never": skill(0)}, 100)


def side(*problems: tuple[str, str]) -> Sample:
    """A sample whose problems (name, outcome) are easy, middle, hard on both sides; nothing skipped on the easy one."""
    rows = list(zip(TIERS, problems, strict=True))
    main = [problem(k, tier, outcome, name=name) for k, (tier, (name, outcome)) in enumerate(rows, start=1)]
    easy = [problem(k, tier, "wrong", name=name) for k, (tier, (name, _)) in enumerate(rows, start=1)]
    return Sample(response(main), response(easy))


def run() -> dict[str, tuple[Sample, ...]]:
    return {
        "a": (side(("sure", "correct"), ("even", "skipped"), ("never", "skipped")),),
        "b": (side(("sure", "skipped"), ("rare", "wrong"), ("never", "wrong")),),
        "c": (side(("sure", "correct"), ("rare", "skipped"), ("never", "skipped")),),
    }


def found(scored: dict[str, tuple[Sample, ...]], solo: SoloWithin | None = SOLO) -> dict[tuple[str, str], SkipSkill]:
    return {(item.order, item.tier or "all"): item for item in skip_skills(scored, "hard", solo=solo)}


def test_by_hand() -> None:
    of = found(run())
    whole = of["hard", "all"]
    assert (whole.problems, whole.skipped, whole.unknown) == (9, 5, 0)
    assert whole.skip_rate.value == pytest.approx(5 / 9)
    # 1 − p: a: 0, 0.5 (skipped), 1 (skipped); b: 0 (skipped), 0.75, 1; c: 0, 0.75 (skipped), 1 (skipped)
    assert whole.base.value == pytest.approx(5 / 9)
    assert whole.precision.value == pytest.approx(3.25 / 5)
    assert whole.recall.value == pytest.approx(3.25 / 5)
    # unsolvable: 1 − p above a half
    assert whole.plain_precision.value == pytest.approx(3 / 5)
    assert whole.plain_recall.value == pytest.approx(3 / 5)
    middle = of["hard", "middle"]
    assert (middle.skipped, middle.precision.value, middle.recall.value) == (2, 0.625, pytest.approx(1.25 / 2))
    assert (middle.plain_precision.value, middle.plain_recall.value) == (0.5, 0.5)
    assert of["hard", "easy"].precision == Interval(0.0, None, None)
    assert of["hard", "easy"].recall == NONE  # nothing there was beyond the model
    assert of["hard", "hard"].precision == Interval(1.0, None, None)
    assert of["hard", "hard"].recall.value == pytest.approx(2 / 3)


def test_nothing_skipped_has_no_precision() -> None:
    whole = found(run())["easy", "all"]
    assert (whole.skipped, whole.skip_rate) == (0, Interval(0.0, None, None))
    assert (whole.precision, whole.plain_precision) == (NONE, NONE)
    assert (whole.recall, whole.plain_recall) == (Interval(0.0, None, None), Interval(0.0, None, None))


def test_a_larger_budget_makes_more_solvable() -> None:
    whole = found(run(), SoloWithin(SOLO.skills, 1000))["hard", "all"]
    assert (whole.precision.value, whole.recall) == (0.0, NONE)


def test_without_a_profile_there_is_only_a_rate() -> None:
    whole = found(run(), None)["hard", "all"]
    assert whole.skip_rate.value == pytest.approx(5 / 9)
    assert {whole.base, whole.precision, whole.recall, whole.plain_precision, whole.plain_recall} == {NONE}
    table = skip_table(run(), "hard")
    assert [column.name for column in table.columns] == ["order", "tier", "problems", "skipped", "skip rate"]
    assert "solo" not in table.note


def test_problems_without_solo_samples_are_left_out_and_counted() -> None:
    scored = run()
    scored["d"] = (side(("unheard of", "skipped"), ("unheard of", "wrong"), ("never", "skipped")),)
    whole = found(scored)["hard", "all"]
    assert (whole.unknown, whole.problems, whole.skipped) == (2, 12, 7)
    assert whole.precision.value == pytest.approx(4.25 / 6)
    assert whole.recall.value == pytest.approx(4.25 / 6)
    assert whole.skip_rate.value == pytest.approx(7 / 12)


def test_failed_samples_are_left_out() -> None:
    scored = run()
    scored["d"] = (Sample(lost(), lost("easy")),)
    assert found(scored) == found(run())
    assert "without a response" in skip_table(scored, "hard").note


@pytest.mark.parametrize("clustered", [True, False])
def test_intervals_are_clustered_and_count_only_exams_that_say_something(clustered: bool) -> None:
    scored, eight = invented_run(60, clusters=8)
    clusters = eight if clustered else {exam: exam for exam in scored}
    names = {p.problem_id for (sample,) in scored.values() for p in sample.main.problems}
    solo = SoloWithin({name: skill((0, 0.25, 0.5, 1)[sum(name.encode()) % 4]) for name in names}, 100)
    (whole,) = (
        item
        for item in skip_skills(scored, "hard", eight if clustered else None, solo)
        if (item.order, item.tier) == ("hard", None)
    )
    precision, recall = [], []
    for exam, (sample,) in scored.items():
        lost_share = {p.problem_id: 1 - (solo.solve_rate(p.problem_id) or 0) for p in sample.main.problems}
        skipped = [lost_share[p.problem_id] for p in sample.main.problems if p.outcome == "skipped"]
        if skipped:
            precision.append(ExamTerm(sum(skipped), len(skipped), clusters[exam]))
        if sum(lost_share.values()):
            recall.append(ExamTerm(sum(skipped), sum(lost_share.values()), clusters[exam]))
    assert 0 < len(precision) < 60
    for interval, terms in ((whole.precision, precision), (whole.recall, recall)):
        estimate = estimate_ratio(terms)
        assert interval.value == estimate.value
        assert (interval.low, interval.high) == pytest.approx(confidence_interval(estimate))


def test_one_exam_and_none() -> None:
    one = found({"a": run()["a"]})["hard", "all"]
    assert (one.precision, one.recall) == (Interval(0.75, None, None), Interval(1.0, None, None))
    assert found({})["hard", "all"] == SkipSkill("hard", None, 0, 0, 0, *[NONE] * 6)
    assert skip_table({}, "hard", solo=SOLO).rows[0] == ("hard", "easy", 0, 0, NONE, 0, *[NONE] * 5)


def test_table() -> None:
    table = skip_table(run(), "hard", solo=SOLO)
    assert [row[:2] for row in table.rows] == [(order, tier) for order in ("hard", "easy") for tier in (*TIERS, "all")]
    whole = found(run())["hard", "all"]
    assert table.rows[3] == (
        *("hard", "all", 9, 5, whole.skip_rate, 0, whole.base, whole.precision, whole.recall),
        *(whole.plain_precision, whole.plain_recall),
    )
    with pytest.raises(UsageError, match="sideways"):
        skip_table(run(), "sideways")


NAMES = st.sampled_from(["sure", "even", "rare", "never", "unheard of"])
ONE = st.tuples(NAMES, st.sampled_from(["skipped", "wrong", "correct"]))


@given(st.lists(st.tuples(ONE, ONE, ONE), max_size=6))
def test_everything_lies_between_0_and_1(rows: list[tuple[tuple[str, str], ...]]) -> None:
    scored = {str(index): (side(*row),) for index, row in enumerate(rows)}
    for item in skip_skills(scored, "medium", solo=SOLO):
        for interval in (
            item.skip_rate,
            item.base,
            item.precision,
            item.recall,
            item.plain_precision,
            item.plain_recall,
        ):
            for value in (interval.value, interval.low, interval.high):
                assert value is None or 0 <= value <= 1
        known_skips = sum(
            p.outcome == "skipped" and p.problem_id in SOLO.skills and item.tier in (None, p.tier)
            for (sample,) in scored.values()
            for p in (sample.easy if item.order == "easy" else sample.main).problems
        )
        assert (item.precision.value is None) == (known_skips == 0)


def test_skipping_at_random_is_as_precise_as_the_base_rate() -> None:
    scored = {"a": (Sample(answered("hard", ("skipped", 1), ("skipped", 1), ("skipped", 1)), lost("easy")),)}
    assert found(scored)["hard", "all"].problems == 0  # a failed easy side takes the sample out
    everything = {"a": (side(("sure", "skipped"), ("even", "skipped"), ("never", "skipped")),)}
    whole = found(everything)["hard", "all"]
    assert whole.precision.value == whole.base.value == 0.5
    assert whole.recall.value == 1
