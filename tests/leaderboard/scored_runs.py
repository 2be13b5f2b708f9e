"""Small scored runs over tiny exams with responses that a test writes, and the graded submission that holds them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.sets import load_exams
from roi_bench.leaderboard.board.grade import letters_of
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.submission.schema import Metadata, Submission
from roi_bench.records.regrade import score_recorded
from roi_bench.records.results import RecordedDocument, RecordedTask, RunRecord
from roi_bench.scoring.metrics import exam_term, metrics_of
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256
from tests.leaderboard.invented_board import invented_run
from tests.support.exam_factory import WordCounter, respond
from tests.support.graders import EqualityGrader

ID = "a-model-0123456789ab"


def tiny(count=4):
    """Return the first tiny exams by id."""
    return {exam.id: exam for exam in load_exams("tiny")[:count]}


def right(exam, order):
    """Return the response that answers everything right."""
    return Response(respond([problem.answer for problem in exam.ordered(order)]))


def scored_run(requests, *, order="hard", budget=128, prompt="direct", exams=None, whole=True, counter=None):
    """Return the run whose responses are `requests`: by exam id, then by request and sample."""
    exams = exams or tiny()
    repeats = len(next(iter(requests.values()))[0])
    record = RunRecord(
        form=PROMPTS[prompt].kind,
        exam_set="tiny",
        exam_seed=0,
        order=order,
        budget=budget,
        repeats=repeats,
        prompt=prompt,
        prompt_sha256=prompt_sha256(prompt),
        tokenizer=None,
        tokenizer_revision=None,
        text_is_whole=whole,
        deviations=(),
    )
    documents = tuple(
        RecordedDocument(exam, tuple(tuple(request) for request in of_one)) for exam, of_one in requests.items()
    )
    name = f"roi_tiny_{order}_{budget}_{prompt}"
    task = RecordedTask(name, Path("results.json"), Path("samples.jsonl"), record, "a-model", {}, {}, documents)
    scored = score_recorded(task, exams, EqualityGrader(), counter or WordCounter())
    return ScoredRun(prompt, task, exams, scored)


def graded_run(run):
    """Return the graded form of a scored run, as far as pages of responses read it."""
    terms = {
        metric.name: {i: exam_term(metric, samples, run.exams[i].cluster) for i, samples in run.scored.items()}
        for metric in metrics_of([problem.pool for problem in next(iter(run.exams.values())).problems])
        if metric.name in ("score", "score_easy")
    }
    ids = tuple(exam for exam in run.exams if terms["score"].get(exam) is not None)
    blank = invented_run(run.cell, run.task.record.prompt, 1.0, 4, 0, np.random.default_rng(0))
    return replace(
        blank,
        task=run.task.name,
        repeats=run.task.record.repeats,
        form=run.task.record.form,
        exams=len(ids),
        usd=None,
        exam_ids=ids,
        exam_clusters=tuple(run.exams[exam].cluster for exam in ids),
        scores=tuple(terms["score"][exam].numerator for exam in ids),
        scores_easy=tuple(terms["score_easy"][exam].numerator for exam in ids),
        outcomes="".join(letters_of(run.scored[exam]) for exam in ids),
    )


def submission_of(runs, **metadata):
    """Return the graded submission of scored runs, and the runs by slug."""
    about = Metadata(**{"model": "a model", "date": "2026-11-24", "contamination": "", "contact": "", **metadata})
    graded = tuple(graded_run(run) for run in runs)
    by_slug = {found.slug: run for found, run in zip(graded, runs, strict=True)}
    submission = Submission(ID, about, {}, ())
    return GradedSubmission(submission, "0" * 64, 1, graded, (), (), False), by_slug
