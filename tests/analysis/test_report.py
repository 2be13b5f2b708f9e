"""Reports on several runs: names, order, what can be compared, fitting profiles, tables that agree with their parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roi_bench.analysis.report import ProfiledRuns, allocations, match_profiles, report_tables
from roi_bench.analysis.runs import Cell, ScoredRun, common_name, in_order, run_names, short_name
from roi_bench.analysis.score_tables import comparison_table, outcome_table, ranking_table, score_table
from roi_bench.analysis.tables import Interval, Table
from roi_bench.exams import Exam
from roi_bench.prompts import prompt_sha256
from roi_bench.results_files import RecordedTask, RunRecord
from tests.analysis.simulated_model import BUDGET, Decide, invented_exams, simulated_model
from tests.analysis.test_efficiency import everything, only_hard, only_solvable

EXAMS = invented_exams(90)
MODEL = simulated_model(EXAMS, seed=1)
PROFILE = MODEL.profile(samples=8, seed=2)


def task_of(
    prompt: str = "direct", *, model: str = "simulated", order: str = "hard", budget: int = BUDGET
) -> RecordedTask:
    record = RunRecord("exam", "v1", None, order, budget, 1, prompt, prompt_sha256(prompt), None, None, True, ())
    return RecordedTask(f"task {prompt}", Path("r.json"), Path("s.jsonl"), record, model, {}, {}, ())


def run_of(
    decide: Decide, prompt: str, *, exams: list[Exam] = EXAMS, seed: int = 3, name: str = "", **changes: str
) -> ScoredRun:
    scored = MODEL.sit(exams, changes.get("order", "hard"), decide, seed)
    return ScoredRun(name or prompt, task_of(prompt, **changes), {exam.id: exam for exam in EXAMS}, scored)


RUNS = [run_of(everything, "direct"), run_of(only_hard, "plan_and_solve"), run_of(only_solvable, "metacognitive")]


def named(tables: list[Table]) -> dict[str, Table]:
    return {table.name: table for table in tables}


def rows_of(table: Table | None) -> list[dict[str, object]]:
    assert table is not None
    heads = [column.name for column in table.columns]
    return [dict(zip(heads, row, strict=True)) for row in table.rows]


def test_names_say_what_differs():
    one_model = [task_of(), task_of("metacognitive"), task_of()]
    assert run_names(one_model) == ["direct", "metacognitive", "direct #2"]
    two = [task_of(model="Qwen/Qwen2.5-1.5B-Instruct"), task_of(model="/data/models/mine")]
    assert run_names(two) == ["Qwen/Qwen2.5-1.5B-Instruct · direct", "mine · direct"]
    labelled = replace(
        one_model[0], record=replace(one_model[0].record, deviations=("budget=99", "do_sample=True", "temperature=0.7"))
    )
    assert run_names([labelled, one_model[0]]) == ["direct [temperature=0.7]", "direct"]
    assert run_names([labelled, labelled]) == ["direct", "direct #2"]
    assert common_name([labelled, labelled]) == "simulated [temperature=0.7]"
    assert common_name([labelled, one_model[0]]) == "simulated"
    assert common_name(two) is None
    assert run_names([task_of(order="hard"), task_of(order="medium")]) == ["direct", "direct"]
    assert short_name("x" * 60) == "…" + "x" * 47


def test_runs_are_listed_by_what_they_sat_then_by_prompt():
    tasks = [task_of("metacognitive"), task_of("direct", budget=99), task_of(order="medium"), task_of("direct")]
    assert [(t.record.order, t.record.budget, t.record.prompt) for t in in_order(tasks)] == [
        ("medium", BUDGET, "direct"),
        ("hard", 99, "direct"),
        ("hard", BUDGET, "direct"),
        ("hard", BUDGET, "metacognitive"),
    ]
    assert Cell("fresh", 7, "hard", 512).title == "fresh/7 hard 512"
    assert Cell("v1", None, "hard", 512).slug == "v1_hard_512"


def test_scores_and_outcomes_are_those_of_the_estimates():
    rows = rows_of(score_table(RUNS))
    for run, row in zip(RUNS, rows, strict=True):
        found = run.estimates()
        assert isinstance(row["score"], Interval)
        assert (row["run"], row["n"], row["score"].value) == (run.name, 90, found["score"].value)
        assert row["score"].low < row["score"].value < row["score"].high
    fixed = rows_of(score_table(RUNS, "fixed"))
    assert fixed[0]["score"] != rows[0]["score"]
    assert "on these very exams" in score_table(RUNS, "fixed").note
    outcomes = rows_of(outcome_table(RUNS))
    assert outcomes[2]["skipped"] == pytest.approx(1 / 3)
    assert outcomes[2]["right at 1"] == outcomes[2]["hard"] == 0.0
    assert outcomes[1]["easy"] == 0.0


def test_pairs_that_sat_the_same_are_compared_and_ranked():
    rows = rows_of(comparison_table(RUNS))
    assert [(row["run A"], row["run B"]) for row in rows] == [
        ("direct", "plan_and_solve"),
        ("direct", "metacognitive"),
        ("plan_and_solve", "metacognitive"),
    ]
    assert rows[2]["score A − B"].high < 0  # type: ignore[attr-defined]
    assert rows[2]["p"] < 0.001  # type: ignore[operator]
    ranks = rows_of(ranking_table(RUNS))
    assert (ranks[0]["run"], ranks[0]["tier"], ranks[0]["rank"]) == ("metacognitive", 1, "1")
    assert {row["tier"] for row in ranks} >= {1, 2}
    other = run_of(everything, "direct", order="medium")
    assert len(rows_of(comparison_table([*RUNS, other]))) == 3
    assert comparison_table([RUNS[0], other]) is None
    assert ranking_table([RUNS[0], other]) is None


def test_runs_without_a_common_exam_are_not_compared_and_nothing_fails():
    apart = [run_of(everything, "direct", exams=EXAMS[:40]), run_of(everything, "metacognitive", exams=EXAMS[40:])]
    (row,) = rows_of(comparison_table(apart))
    assert (row["n"], row["p"]) == (0, None)
    assert [row["rank"] for row in rows_of(ranking_table(apart))] == [None, None]
    assert "ranking" in named(report_tables(apart))


def test_profiles_go_to_the_runs_of_their_model_within_their_cap():
    wider = replace(PROFILE, cap=2 * BUDGET)
    stranger, narrow = replace(PROFILE, model="another"), replace(PROFILE, cap=BUDGET - 1)
    assert match_profiles(RUNS, [wider, PROFILE, stranger, narrow]) == [ProfiledRuns(PROFILE, tuple(RUNS))]
    assert match_profiles(RUNS, [stranger, narrow]) == []
    assert match_profiles(RUNS, [replace(PROFILE, exam_set="fresh")]) == []


def test_the_whole_report():
    matched = match_profiles(RUNS, [PROFILE])
    tables = named(report_tables(RUNS, matched, allocations(matched)))
    assert list(tables)[:2] == ["scores", "outcomes"]
    assert {"allocation", "values", "comparisons", "ranking", "effort", "skipping", "tokens"} <= set(tables)
    assert "level_forecast" not in tables  # nobody wrote one
    for row in rows_of(tables["allocation"]):
        parts = [row[name].value for name in ("V_DP", "AE", "SR")]  # type: ignore[attr-defined]
        assert parts[0] * parts[1] * parts[2] == pytest.approx(row["score"].value)  # type: ignore[attr-defined]
    orders = [(row["run"], row["order"]) for row in rows_of(tables["allocation"])]
    assert orders == [(run.name, order) for run in RUNS for order in ("hard", "easy")]
    skipping = rows_of(tables["skipping"])
    assert {row["run"] for row in skipping} == {run.name for run in RUNS}
    (hard,) = (r for r in skipping if (r["run"], r["order"], r["tier"]) == ("metacognitive", "hard", "all"))
    assert hard["precision"].value > 0.6  # type: ignore[attr-defined]


def test_runs_with_and_without_profile_share_a_table():
    other = replace(RUNS[1], task=replace(RUNS[1].task, model="another"))
    matched = match_profiles([RUNS[0], other], [PROFILE])
    rows = rows_of(named(report_tables([RUNS[0], other], matched))["skipping"])
    mine, without = ([row for row in rows if row["run"] == run.name] for run in (RUNS[0], other))
    assert all(row["no solo samples"] == 0 for row in mine)
    assert all(row["no solo samples"] is None and row["precision"] is None for row in without)


def test_two_budgets_make_a_table_of_budgets():
    tighter = run_of(everything, "direct", budget=60)  # type: ignore[arg-type]
    rows = rows_of(named(report_tables([RUNS[0], tighter]))["score_by_budget"])
    assert rows[0]["60 tokens"].value == tighter.estimates()["score"].value  # type: ignore[attr-defined]
    assert "score_by_budget" not in named(report_tables(RUNS))
