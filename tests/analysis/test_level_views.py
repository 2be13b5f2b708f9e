"""Predicted against actual levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.profile import SoloSkill, SoloWithin
from roi_bench.analysis.reports.forecasts import actual_level, confusion_table, level_forecast, level_table
from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import UsageError
from roi_bench.scoring.metrics import Sample, exam_term, metrics_of
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import estimate_ratio
from tests.analysis.invented_runs import answered, invented_run, lost, problem, response

EASY = answered("easy", ("correct", 10), ("correct", 20), ("correct", 30))

SOLO = SoloWithin(
    {
        "cheap": SoloSkill((100, 300, 900), (True, True, True)),  # within 512: mean of 100 and 300
        "dear": SoloSkill((300, 260, 100), (True, True, False)),
        "late": SoloSkill((600, 700), (True, True)),
        "never": SoloSkill((10, 20), (False, False)),
    },
    512,
)


def scored_problems(*problems: ProblemOutcome) -> dict[str, tuple[Sample, ...]]:
    """Exams of three of these problems each."""
    return {str(i): (Sample(response(problems[i : i + 3]), EASY),) for i in range(0, len(problems), 3)}


def six() -> dict[str, tuple[Sample, ...]]:
    return scored_problems(
        problem(1, "easy", "correct", 256, level=0),  # 0: right
        problem(2, "middle", "wrong", 257, level=0),  # 1: one too low
        problem(3, "hard", "truncated", 1025, level=1),  # 3: two too low
        problem(1, "easy", "skipped", 12, level=3, name="never"),
        problem(2, "middle", "skipped", 12, level=3, name="cheap"),
        problem(3, "hard", "skipped", 12, level=2, name="unheard of"),
    )


def test_by_hand_without_a_profile() -> None:
    found = level_forecast(six())
    assert found.counts == ((1, 1, 0, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1), (0, 0, 0, 0, 2))
    assert (found.known, found.not_begun, found.without_forecast) == (3, 0, 0)
    assert (found.accuracy.value, found.error.value) == (pytest.approx(1 / 3), 1.0)


def test_by_hand_with_a_profile() -> None:
    found = level_forecast(six(), solo=SOLO)
    assert found.counts == ((1, 1, 0, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1), (1, 0, 0, 1, 0))
    assert found.known == 5
    assert found.accuracy.value == pytest.approx(2 / 5)
    assert found.error.value == pytest.approx((0 + 1 + 2 + 0 + 3) / 5)


@pytest.mark.parametrize(("name", "level"), [("cheap", 0), ("dear", 1), ("late", 3), ("never", 3), ("?", None)])
def test_level_of_a_skipped_problem(name: str, level: int | None) -> None:
    skipped = problem(1, "easy", "skipped", 12, name=name)
    assert actual_level(skipped, SOLO) == level
    assert actual_level(skipped) is None


def test_what_was_spent_counts_for_attempts_whatever_the_profile_says() -> None:
    assert actual_level(problem(1, "easy", "wrong", 600, name="cheap"), SOLO) == 2


def test_without_forecast_not_begun_and_not_counted() -> None:
    scored = scored_problems(
        problem(1, "easy", "correct", 10),
        problem(2, "middle", "truncated", 0, level=2, attempted=False),
        problem(3, "hard", "correct", None, level=1),
    )
    scored["lost"] = (Sample(lost(), EASY),)
    found = level_forecast(scored)
    assert sum(map(sum, found.counts)) == 0
    assert (found.not_begun, found.without_forecast) == (2, 1)
    assert (found.accuracy, found.error) == (Interval(None, None, None), Interval(None, None, None))


def test_the_same_numbers_as_the_metrics() -> None:
    scored, clusters = invented_run(60, samples=2, clusters=9)
    found = level_forecast(scored, clusters)
    for name, interval in (("level_acc", found.accuracy), ("level_mae", found.error)):
        metric = next(m for m in metrics_of(("gsm8k", "math", "aime")) if m.name == name)
        terms = [exam_term(metric, samples, clusters[exam]) for exam, samples in scored.items()]
        assert interval.value == estimate_ratio([term for term in terms if term is not None]).value
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < (interval.value or 0) < interval.high


def test_tables() -> None:
    table = confusion_table(six(), "hard", SOLO)
    assert [column.name for column in table.columns] == [
        *("predicted", "actual 0", "actual 1", "actual 2", "actual 3", "skipped, unknown", "all"),
    ]
    assert table.rows[0] == ("Level-0", 1, 1, 0, 0, 0, 2)
    assert table.rows[3] == ("Level-3", 1, 0, 0, 1, 0, 2)
    assert [row[:2] for row in level_table(six(), "hard").rows] == [("attempted problems", 3)]
    assert [row[:2] for row in level_table(six(), "hard", solo=SOLO).rows] == [
        ("attempted problems", 3),
        ("attempted and skipped problems", 5),
    ]
    assert level_table(six(), "hard").rows[0][4:] == (0, 0)
    for make in (confusion_table, level_table):
        assert make({}, "easy").rows
        with pytest.raises(UsageError, match="backwards"):
            make(six(), "backwards")


PROBLEM = st.tuples(
    st.sampled_from(["correct", "wrong", "skipped", "truncated", "unanswered", "empty"]),
    st.none() | st.integers(0, 1500),
    st.none() | st.integers(0, 3),
    st.sampled_from(["cheap", "dear", "late", "never", "unheard of"]),
)


@given(st.lists(PROBLEM, max_size=12), st.booleans())
def test_every_problem_is_counted_once(rows: list[tuple[str, int | None, int | None, str]], profiled: bool) -> None:
    problems = [
        problem(i % 3 + 1, "easy", outcome, tokens, level=level, name=name)
        for i, (outcome, tokens, level, name) in enumerate(rows)
    ]
    found = level_forecast(scored_problems(*problems), solo=SOLO if profiled else None)
    counted = sum(map(sum, found.counts))
    assert counted + found.not_begun + found.without_forecast == len(rows)
    assert [sum(row) for row in found.counts] == pytest.approx(
        [
            sum(p.level == level and (p.outcome == "skipped" or p.actual_level is not None) for p in problems)
            for level in range(4)
        ]
    )
    assert (found.accuracy.value is None) == (found.known == 0)
    if found.known:
        right = sum(found.counts[level][level] for level in range(4))
        assert found.accuracy.value == pytest.approx(right / found.known)
        assert 0 <= (found.error.value or 0) <= 3
