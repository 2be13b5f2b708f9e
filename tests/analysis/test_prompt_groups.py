"""Paraphrase runs beside their canonical run: which belong together, and that they are ranked nowhere."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from roi_bench.analysis.prompt_noise import PromptGroup, group_prompts, prompt_noise_table
from roi_bench.analysis.reports.report import report_tables
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import ScoredRun, in_order, run_names
from roi_bench.records.results import Sending
from tests.support.simulated_runs import (
    CANONICAL,
    GROUP,
    OTHERS,
    RIVAL,
    everything,
    named,
    reworded,
    rows_of,
    run_of,
)


def test_paraphrase_runs_are_grouped_with_the_canonical_run_and_kept_out_of_all_else() -> None:
    told: list[str] = []
    runs, groups = group_prompts([OTHERS[2], CANONICAL, RIVAL, *OTHERS[:2]], told.append)
    assert runs == [CANONICAL, RIVAL]
    assert groups == [GROUP]
    assert told == []
    tables = named(report_tables(runs, groups=groups))
    for name, table in tables.items():
        shown = {cell for row in table.rows for cell in row if isinstance(cell, str)}
        assert bool(shown & {run.name for run in OTHERS}) == (name == "runs"), name
    assert len(tables["comparisons"].rows) == 1
    assert [row["run"] for row in rows_of(tables["runs"])] == ["direct", "plan_and_solve", *(r.name for r in OTHERS)]


def sent(run: ScoredRun, sending: Sending) -> ScoredRun:
    """The run with its prompts sent in that way."""
    return replace(run, task=replace(run.task, record=replace(run.task.record, **asdict(sending))))


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (Sending("text"), Sending("chat template", "1" * 64)),
        (Sending("chat template", "1" * 64), Sending("chat template", "2" * 64)),
        (Sending("text", None, "1" * 64), Sending("text", None, "2" * 64)),
        (Sending(), Sending("text")),
    ],
)
def test_a_paraphrase_that_was_sent_in_another_way_is_no_paraphrase_of_it(own: Sending, other: Sending) -> None:
    told: list[str] = []
    canonical = sent(CANONICAL, own)
    assert group_prompts([canonical, sent(OTHERS[0], other)], told.append) == ([canonical], [])
    (line,) = told
    assert [fact for fact in ("direct 1", CANONICAL.cell.title, other.title, own.title) if fact not in line] == []
    worded = sent(OTHERS[0], own)
    assert group_prompts([canonical, sent(OTHERS[0], other), worded])[1] == [PromptGroup(canonical, (worded,))]


def test_the_spread_stands_beside_the_usual_interval() -> None:
    (group,) = group_prompts([CANONICAL, *OTHERS])[1]
    score, regret = rows_of(prompt_noise_table([group]))
    values = [run.estimates()["score"].value for run in (CANONICAL, *OTHERS)]
    assert (score["number"], score["prompts"], score["n"]) == ("score", 4, 90)
    assert score["min"] == pytest.approx(min(v for v in values if v is not None))
    assert score["max"] == pytest.approx(max(v for v in values if v is not None))
    usual, wide = score["value"], score["with prompt noise"]
    assert isinstance(usual, Interval)
    assert isinstance(wide, Interval)
    assert wide.value == usual.value == values[0]
    assert wide.low is not None
    assert usual.low is not None
    assert 0 <= wide.low < usual.low
    assert 0 < score["prompt SD"] < score["SD"]  # type: ignore[operator]
    assert regret["number"] == "regret"
    fixed = rows_of(prompt_noise_table([group], "fixed"))[0]
    assert fixed["with prompt noise"] != wide


def test_a_number_undefined_under_one_prompt_is_shown_as_such() -> None:
    silent = reworded(run_of(lambda *_: 0, "direct"), 2)  # nothing is right in easy order: no regret
    assert silent.estimates()["regret"].value is None
    (group,) = group_prompts([CANONICAL, OTHERS[0], silent])[1]
    score, regret = rows_of(prompt_noise_table([group]))
    assert isinstance(score["with prompt noise"], Interval)
    assert (regret["number"], regret["prompts"], regret["n"]) == ("regret", 3, None)
    assert (regret["with prompt noise"], regret["min"], regret["prompt SD"]) == (None, None, None)


def test_without_paraphrases_nothing_is_said_about_prompts() -> None:
    assert group_prompts([CANONICAL, RIVAL]) == ([CANONICAL, RIVAL], [])
    assert prompt_noise_table([]) is None
    assert "prompt_noise" not in named(report_tables([CANONICAL, RIVAL]))


@pytest.mark.parametrize(
    "other",
    [
        reworded(OTHERS[0], 1, model="another"),
        reworded(OTHERS[0], 1, decoding={"temperature": 0.7}),
        reworded(OTHERS[0], 1, labels=("system_instruction",)),
        reworded(run_of(everything, "direct", order="medium"), 1),
        reworded(run_of(everything, "direct", budget=77), 1),  # type: ignore[arg-type]
        replace(
            OTHERS[0], task=replace(OTHERS[0].task, record=replace(OTHERS[0].task.record, repeats=2))
        ),
    ],
)  # fmt: skip
def test_what_was_run_otherwise_belongs_to_no_canonical_run(other: ScoredRun) -> None:
    told: list[str] = []
    assert group_prompts([CANONICAL, other], told.append) == ([CANONICAL], [])
    (line,) = told
    assert line.startswith(f"direct 1, {other.cell.title}: ")


def test_a_second_run_of_one_paraphrase_is_no_further_prompt() -> None:
    told: list[str] = []
    second = reworded(OTHERS[1], 1, name="direct 1 #2")
    _, (group,) = group_prompts([CANONICAL, OTHERS[0], second], told.append)
    assert group.paraphrases == (OTHERS[0],)
    (line,) = told
    assert line.startswith(f"direct 1 #2, {second.cell.title}: ")


def test_a_deviation_that_all_share_parts_nobody() -> None:
    alike = [reworded(run, number, labels=("temperature=0.7",)) for number, run in enumerate([CANONICAL, *OTHERS[:2]])]
    (group,) = group_prompts(alike)[1]
    assert len(group.paraphrases) == 2


def test_paraphrase_runs_are_listed_and_named_behind_the_canonical_one() -> None:
    tasks = in_order([OTHERS[1].task, OTHERS[0].task, CANONICAL.task])
    assert run_names(tasks) == ["direct", "direct [paraphrase=1]", "direct [paraphrase=2]"]
