"""The summary of the stages: numbers against hand counts on simulated runs, comparisons, views, and the model card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from roi_bench.analysis.efficiency import efficiencies, value_curves
from roi_bench.analysis.profile import SoloWithin
from roi_bench.analysis.reports.tables import to_markdown, to_text
from roi_bench.errors import RecordError, UsageError
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.stages.cards import Making, measured_tables, stage_card
from roi_bench.training.stages.report import (
    AIMS,
    StageRun,
    aims_table,
    summary_table,
    summary_views,
    table_records,
)
from tests.analysis.simulated_model import BUDGET
from tests.support.simulated_runs import EXAMS, PROFILE, everything, only_solvable, run_of


def not_hard_first(exam, order, position, left):
    """Skip the hard problem unless it is the last: the two orders of a run skip otherwise."""
    return left if position == 2 else only_solvable(exam, order, position, left)


BASE = run_of(everything, "direct")
MFT = run_of(not_hard_first, "metacognitive", seed=4)


def stage_run(stage, run):
    exams = [exam for exam in run.exams.values() if exam.id in run.scored]
    curves = {order: value_curves(PROFILE, exams, order, BUDGET) for order in (run.cell.order, "easy")}
    (_, found), *_ = efficiencies(PROFILE, [run], curves)
    return StageRun(stage, run, SoloWithin(PROFILE.skills, BUDGET), found)


ITEMS = [stage_run("base", BASE), stage_run("mft", MFT)]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def outcomes(run, wanted, tier=None):
    return mean(
        problem.outcome == wanted
        for (sample,) in run.scored.values()
        for problem in sample.main.problems
        if tier in (None, problem.tier)
    )


def test_rows_hold_what_counting_by_hand_gives():
    rows = table_records(summary_table(ITEMS))
    assert [(row["stage"], row["prompt"], row["mode"], row["budget"], row["n"]) for row in rows] == [
        ("base", "direct", "hard", BUDGET, 90),
        ("mft", "metacognitive", "hard", BUDGET, 90),
    ]
    for row, item in zip(rows, ITEMS, strict=True):
        samples = [sample for (sample,) in item.run.scored.values()]
        assert row["score"]["value"] == pytest.approx(mean(sample.main.score for sample in samples))
        easy = mean(sample.easy.score for sample in samples)
        assert row["score in easy order"]["value"] == pytest.approx(easy)
        assert row["regret"]["value"] == pytest.approx(1 - row["score"]["value"] / easy)
        for position in (1, 2, 3):
            right = mean(sample.main.problems[position - 1].outcome == "correct" for sample in samples)
            assert row[f"right at {position}"]["value"] == pytest.approx(right)
        for tier in ("easy", "middle", "hard"):
            assert row[f"skipped {tier}"]["value"] == pytest.approx(outcomes(item.run, "skipped", tier))
        assert row["tokens"]["value"] == pytest.approx(mean(sample.main.tokens for sample in samples))
        assert row["V_DP"]["value"] * row["AE"]["value"] * row["SR"]["value"] == pytest.approx(row["score"]["value"])
        for name in ("score", "regret", "AE", "tokens"):
            assert row[name]["low"] < row[name]["value"] <= row[name]["high"], name  # AE may lie at its end, 1
    assert rows[1]["skipped hard"]["value"] == 1
    assert rows[1]["AE"]["value"] > rows[0]["AE"]["value"]


def test_skip_precision_is_against_the_solo_profile():
    base, mft = table_records(summary_table(ITEMS))
    assert base["skip precision"]["value"] is None, "it skips nothing"
    solvable = [PROFILE.skills[exam.problems[2].id].solve_rate(BUDGET) for exam in EXAMS]
    assert mft["skip precision"]["value"] == pytest.approx(1 - mean(solvable))
    assert mft["plain precision"]["value"] == pytest.approx(mean(rate < 0.5 for rate in solvable))


def test_without_a_profile_what_needs_one_is_undefined():
    (row,) = table_records(summary_table([StageRun("mft", MFT)]))
    for name in ("skip precision", "plain precision", "skip recall", "V_DP", "AE", "SR"):
        assert row[name]["value"] is None
    assert row["score"]["value"] is not None


def test_levels_are_judged_as_the_metric_does():
    right = {1: (0, 1, 2), 2: (0, 0, 0)}

    def levelled(sample, levels):
        told = tuple(replace(p, level=levels[p.position - 1], actual_level=0) for p in sample.main.problems)
        return replace(sample, main=replace(sample.main, problems=told))

    scored = {
        name: (levelled(sample, right[1 + index % 2]),) for index, (name, (sample,)) in enumerate(MFT.scored.items())
    }
    run = replace(MFT, scored=scored)
    (row,) = table_records(summary_table([replace(ITEMS[1], run=run)]))
    attempted = [p for (s,) in scored.values() for p in s.main.problems if p.outcome != "skipped"]
    assert row["level accuracy"]["value"] == pytest.approx(mean(p.level == 0 for p in attempted))


def test_comparisons_are_paired_and_signed():
    (score, easy) = table_records(aims_table(ITEMS))
    assert (score["A"], score["B"], score["compared in"], score["n"]) == (
        *("mft · metacognitive", "base · direct", "score", 90),
    )
    assert easy["compared in"] == "score in easy order"
    for row, side in ((score, "main"), (easy, "easy")):
        differences = [
            getattr(MFT.scored[exam][0], side).score - getattr(BASE.scored[exam][0], side).score for exam in BASE.scored
        ]
        assert row["A − B"]["value"] == pytest.approx(mean(differences))
        assert row["A's"] - row["B's"] == pytest.approx(mean(differences))
    assert score["A − B"]["low"] > 0
    assert score["p"] < 0.01


def test_every_aim_of_the_issue_is_compared():
    stages = {
        asked: StageRun(asked[0], run_of(everything, asked[1], seed=seed))
        for seed, asked in enumerate({asked for first, second, _ in AIMS for asked in (first, second)})
    }
    rows = table_records(aims_table(list(stages.values())))
    assert [(row["A"], row["B"]) for row in rows] == [(" · ".join(a), " · ".join(b)) for a, b, _ in AIMS]
    against_mft = {row["B"] for row in rows if row["A"].startswith("mft") and row["compared in"] == "score"}
    prompts = ("direct", "plan_and_solve", "least_to_most", "metacognitive")
    assert against_mft == {*(f"base · {prompt}" for prompt in prompts), "mft · greedy_knapsack"}


def test_cells_are_not_mixed():
    other = StageRun("mft", run_of(only_solvable, "metacognitive", order="medium", seed=5))
    assert aims_table([ITEMS[0], other]).rows == ()
    rows = table_records(summary_table([ITEMS[0], other, ITEMS[1]]))
    assert [(row["mode"], row["stage"]) for row in rows] == [("hard", "base"), ("hard", "mft"), ("medium", "mft")]


def test_tables_for_people_fit_and_hold_the_same_numbers():
    summary = summary_table(ITEMS)
    views = summary_views(summary)
    names = [column.name for column in summary.columns]
    shown = set()
    for view in views:
        lines = to_text(view, 160).splitlines()
        assert max(map(len, lines)) <= 170
        shown |= {column.name for column in view.columns}
        for row, whole in zip(view.rows, summary.rows, strict=True):
            assert row == tuple(whole[names.index(column.name)] for column in view.columns)
        assert "n/a" in to_markdown(view) or view.name != "stage_choices"
    assert set(names) - shown == {"mode", "budget", "skip recall"}


# ---------------------------------------------------------------- the model card

MAKING = Making(
    *("roi-bench train mft tiny --out DIR", {"labelled problems": 4000, "exams": 8000}, 3.25, "2 CPU cores"),
    {"trl": "1.16.0", "torch": "2.13.0"},
)


def parts(card):
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def write_summary(path: Path) -> Path:
    content = {"stages": table_records(summary_table(ITEMS)), "aims": table_records(aims_table(ITEMS))}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_card_says_how_the_model_was_made(tmp_path):
    measured = measured_tables(write_summary(tmp_path / "stages.json"), "mft")
    front, body = parts(stage_card("mft", load_recipe("tiny", ["seed=7"]), MAKING, measured))
    assert front["license"] == "apache-2.0"
    assert (front["library_name"], front["pipeline_tag"]) == ("transformers", "text-generation")
    assert "base_model" not in front, "the shipped model is on no hub"
    assert {"roi-bench", "mft"} <= set(front["tags"])
    for said in (
        *(
            "roi-bench train mft tiny --out DIR",
            "seed 7",
            "128 and 256 tokens",
            "4,000 labelled problems",
            "3.2 minutes",
        ),
        *("trl 1.16.0", "2 CPU cores", "Meta-Cognitive Fine-Tuning", "the tiny model that comes with roi-bench"),
    ):
        assert said in body
    score = table_records(summary_table(ITEMS))[1]["score"]
    assert f"| v1 hard {BUDGET} | metacognitive | 90 | {score['value']:.2f} [{score['low']:.2f}, " in body
    assert "base · direct" in body
    assert "| direct | 90 |" not in body, "rows of other stages do not belong here"


def test_a_card_of_a_hub_model_names_it_and_claims_no_licence():
    recipe = load_recipe("tiny", ["model=Qwen/Qwen2.5-1.5B-Instruct", "family=v1", "budgets=[512]"])
    front, body = parts(stage_card("rarl", recipe, MAKING))
    assert front["base_model"] == "Qwen/Qwen2.5-1.5B-Instruct"
    assert "license" not in front
    assert parts(stage_card("rarl", recipe, replace(MAKING, license="mit")))[0]["license"] == "mit"
    assert "only where its level" in body
    assert "roi-bench train evaluate" in body
    unpaid = load_recipe("tiny", ["rarl.reward.level=false"])
    assert "only where its level" not in stage_card("rarl", unpaid, MAKING)


def test_a_card_holds_no_path_of_this_machine(tmp_path):
    (tmp_path / "my-base").mkdir()
    recipe = load_recipe("tiny", [f"model={tmp_path / 'my-base'}"])
    card = stage_card("mft", recipe, MAKING)
    assert str(tmp_path) not in card
    assert "`my-base` (a local folder)" in card


def test_the_base_gets_no_card():
    with pytest.raises(UsageError, match="'base'"):
        stage_card("base", load_recipe("tiny"), MAKING)


@pytest.mark.parametrize("content", ["", "[]", '{"stages": [{}], "aims": []}', '{"stages": 3, "aims": []}'])
def test_a_damaged_summary_is_refused(tmp_path, content):
    path = tmp_path / "stages.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=r"stages\.json"):
        measured_tables(path, "mft")


def test_a_stage_that_was_not_evaluated_has_no_table(tmp_path):
    with pytest.raises(RecordError, match=r"stages\.json.*'rarl'"):
        measured_tables(write_summary(tmp_path / "stages.json"), "rarl")
    with pytest.raises(RecordError, match=r"nowhere\.json.*FileNotFoundError"):
        measured_tables(tmp_path / "nowhere.json", "rarl")
