"""Runs of the simulated model that allocate by known policies, paraphrased ones too, and rows of tables of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roi_bench.analysis.prompt_noise import PromptGroup
from roi_bench.analysis.reports.tables import Table
from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import Exam
from roi_bench.records.results import RecordedTask, RunRecord
from roi_bench.scoring.prompts import prompt_sha256
from tests.analysis.simulated_model import BUDGET, Decide, invented_exams, simulated_model

EXAMS = invented_exams(90)
MODEL = simulated_model(EXAMS, seed=1)
PROFILE = MODEL.profile(samples=8, seed=2)


def everything(_exam: Exam, _order: str, _position: int, left: int) -> int:
    return left


def at_random(seed: int) -> Decide:
    generator = np.random.default_rng(seed)
    return lambda _exam, _order, _position, left: left if generator.random() < 0.5 else None


def only_hard(exam: Exam, order: str, position: int, left: int) -> int | None:
    return left if exam.tiers(order)[position] == "hard" else None


def only_solvable(exam: Exam, order: str, position: int, left: int) -> int | None:
    """Skip the hard problem, work on the others."""
    return left if exam.tiers(order)[position] != "hard" else None


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


def reworded(run: ScoredRun, number: int, *, name: str = "", labels: tuple[str, ...] = (), **changes: Any) -> ScoredRun:
    """The run as one of a paraphrase."""
    label = (f"paraphrase={number}",) if number else ()
    record = replace(
        run.task.record,
        paraphrase=number,
        prompt_sha256=prompt_sha256("direct", number),
        deviations=(*label, *labels),
    )
    return replace(run, name=name or f"direct {number}", task=replace(run.task, record=record, **changes))


RUNS = [run_of(everything, "direct"), run_of(only_hard, "plan_and_solve"), run_of(only_solvable, "metacognitive")]
CANONICAL = run_of(everything, "direct")
OTHERS = [
    reworded(run_of(everything, "direct", seed=4), 1),
    reworded(run_of(only_solvable, "direct"), 2),
    reworded(run_of(only_hard, "direct"), 3),
]
GROUP = PromptGroup(CANONICAL, tuple(OTHERS))
RIVAL = run_of(only_hard, "plan_and_solve")


def named(tables: list[Table]) -> dict[str, Table]:
    return {table.name: table for table in tables}


def rows_of(table: Table | None) -> list[dict[str, object]]:
    assert table is not None
    heads = [column.name for column in table.columns]
    return [dict(zip(heads, row, strict=True)) for row in table.rows]
