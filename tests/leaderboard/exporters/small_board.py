"""A small board whose runs have responses: tiny exams (asked together, and one problem at a time) and exams of the
licensed pools with invented texts. Numbers with intervals come from the responses."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from roi_bench.analysis.runs import ScoredRun
from roi_bench.leaderboard.board.board import Board, CellTable, Entry, Reported, Standing
from roi_bench.leaderboard.board.graded import Allocation, GradedSubmission, Number
from roi_bench.leaderboard.submission.schema import Metadata, Submission
from roi_bench.records.regrade import score_recorded
from roi_bench.records.results import RecordedDocument, RecordedTask, RunRecord
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256
from roi_bench.scoring.statistics import confidence_interval
from roi_bench.scoring.tokens import Usage
from tests.leaderboard.invented_board import invented_run, invented_task
from tests.leaderboard.scored_runs import tiny
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import EqualityGrader

ID = "model-0123456789ab"
SECRET = "the licensed text"


def licensed(count=3):
    """Return exams of the licensed pools with invented texts that say so, by id."""
    exams = {}
    for index in range(count):
        exam = make_exam(index, answers=("7001", "7002", "7003"))
        problems = tuple(replace(problem, question=f"{SECRET} {problem.question}") for problem in exam.problems)
        exams[f"v1/{index:03d}"] = replace(exam, id=f"v1/{index:03d}", problems=problems)
    return exams


def scored_run(exams, exam_set, prompt="direct", repeats=1, budget=128):
    """Return a run: request r of exam i has i + r + k (modulo 4) right answers in sample k, all others are skipped."""
    form = PROMPTS[prompt].kind
    record = RunRecord(
        *(form, exam_set, None if exam_set == "v1" else 0, "hard", budget, repeats, prompt, prompt_sha256(prompt)),
        *(None, None, True, ()),
    )
    documents = []
    for index, exam in enumerate(exams.values()):
        if form == "knapsack":
            asked = [[problem] for problem in exam.problems]
        else:
            asked = [exam.ordered("hard"), exam.ordered("easy")]
        requests = []
        for request, problems in enumerate(asked):
            samples = []
            for sample in range(repeats):
                right = (index + request + sample) % 4
                answers = [p.answer if place < right else "NA" for place, p in enumerate(problems)]
                level = [0] * len(problems) if form == "knapsack" else None
                text = respond(answers, work="some\u2028work", level=level)  # a line separator that is no line feed
                samples.append(Response(text, Usage(40, "stop", "generated")))
            requests.append(tuple(samples))
        documents.append(RecordedDocument(exam.id, tuple(requests)))
    name = f"roi_{exam_set}_hard_{budget}_{prompt}"
    task = RecordedTask(name, Path("r.json"), Path("s.jsonl"), record, "made-up/model", {}, {}, tuple(documents))
    return ScoredRun(prompt, task, exams, score_recorded(task, exams, EqualityGrader(), WordCounter()))


def graded_run(run, number=1):
    """Return the run with its own numbers in place of the invented ones that follow from the responses."""
    record = run.task.record
    blank = invented_run(run.cell, record.prompt, 1.0, len(run.scored), number, np.random.default_rng(0))
    numbers = {}
    for name, estimate in run.estimates().items():
        low, high = confidence_interval(estimate) or (None, None)
        numbers[{"gsm8k_acc": "easy_acc", "math_acc": "middle_acc", "aime_acc": "hard_acc"}.get(name, name)] = Number(
            estimate.value, low, high
        )
    return replace(
        blank,
        task=run.task.name,
        form=record.form,
        repeats=record.repeats,
        numbers=numbers,
        score_fixed=Number(numbers["score"].value, 0.5, 2.5),
        exam_ids=tuple(run.scored),
    )


@lru_cache(maxsize=1)
def small_runs():
    """Return three scored runs and what they are graded."""
    runs = (
        scored_run(tiny(5), "tiny", repeats=2),
        scored_run(tiny(5), "tiny", "greedy_knapsack"),
        scored_run(licensed(), "v1", budget=512),
    )
    return runs, tuple(graded_run(run) for run in runs)


def small_board(**metadata):
    """Return ``(board, runs by slug)`` of one submission."""
    runs, graded = small_runs()
    graded = list(graded)
    allocation = Allocation(*(Number(value, value - 0.1, value + 0.1) for value in (1.5, 1.2, 0.8, 1.1, 0.3)))
    graded[0] = replace(graded[0], allocation=allocation, decoding="temperature=0.7", deviations=("temperature=0.7",))
    tasks = [invented_task(run) for run in graded]
    tasks[0] = replace(tasks[0], decoding={"temperature": 0.7, "do_sample": True, "top_p": "0.9"})
    about = {"date": "2026-11-24", "contamination": "None.", "contact": "nobody@example.org", **metadata}
    submission = Submission(ID, Metadata(**{"model": "made-up/model", **about}), {"lm_eval": "0.4.13"}, tuple(tasks))
    entry = Entry(GradedSubmission(submission, "a" * 64, 1, tuple(graded), (), (), False), "regraded", None, None)
    tables = [
        CellTable(
            cell,
            tuple(Standing(entry, run, (1, 1), 1, None) for run in graded if run.cell == cell),
            (),
            (Reported("A paper's model", "MFT + RARL", cell, 0.93, None, "arXiv"),) if cell.exam_set == "v1" else (),
        )
        for cell in dict.fromkeys(run.cell for run in graded)
    ]
    board = Board("A small board", "For tests.", "https://board.example/", (entry,), tuple(tables), (), False)
    return board, {run.slug: scored for run, scored in zip(graded, runs, strict=True)}


def with_entries(board, *entries):
    """Return the board with other entries and their runs in its tables."""
    tables = [
        replace(
            table,
            standings=tuple(
                Standing(entry, run, (1, 1), 1, None)
                for entry in entries
                for run in entry.graded.runs
                if run.cell == table.cell
            ),
        )
        for table in board.cells
    ]
    return replace(board, entries=entries, cells=tuple(tables))


def changed(entry, *, submission=None, metadata=None, **more):
    """Return an entry with changes to its submission, the metadata in it, and itself."""
    found = entry.graded.submission
    found = replace(found, metadata=replace(found.metadata, **(metadata or {})), **(submission or {}))
    return replace(entry, graded=replace(entry.graded, submission=found), **more)
