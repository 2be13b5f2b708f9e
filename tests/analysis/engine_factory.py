"""Runs of tiny exams on invented engines, with responses and token counts that a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roi_bench.analysis.engines.agreement import Engine, EngineRun, SentPrompts
from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.tiny import tiny_exams
from roi_bench.records.regrade import score_recorded
from roi_bench.records.results import RecordedDocument, RecordedTask, RunRecord
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import prompt_sha256
from roi_bench.scoring.tokens import Usage
from tests.support.exam_factory import WordCounter, respond
from tests.support.graders import EqualityGrader

EXAMS = {exam.id: exam for exam in tiny_exams(0, 4)}
IDS = tuple(EXAMS)
BUDGET = 128

Texts = Mapping[tuple[int, str], Response]
"""Responses that are not the right one, by index of the exam and order."""


def answered(index: int, order: str, wrong: int = 0, work: str = "some work") -> str:
    """The response to exam ``index`` whose last ``wrong`` answers are wrong."""
    answers = [problem.answer for problem in EXAMS[IDS[index]].ordered(order)]
    return respond([*answers[: 3 - wrong], *["-1"] * wrong], work=work)


def counted(text: str, more: int = 1, finish: Any = "stop") -> Response:
    """A response whose engine counted its words, and ``more`` tokens."""
    return Response(text, Usage(len(text.split()) + more, finish, "generated"))


def task_of(texts: Texts | None = None, exams: Sequence[int] = range(4), **changes: Any) -> RecordedTask:
    record: dict[str, Any] = {
        "form": "exam",
        "exam_set": "tiny",
        "exam_seed": 0,
        "order": "hard",
        "budget": BUDGET,
        "repeats": 1,
        "prompt": "direct",
        "prompt_sha256": prompt_sha256("direct"),
        "tokenizer": None,
        "tokenizer_revision": None,
        "text_is_whole": True,
        "deviations": (),
    }
    decoding = changes.pop("decoding", {"do_sample": False, "temperature": 0.0})
    given = texts or {}
    documents = tuple(
        RecordedDocument(
            IDS[i], tuple((given.get((i, order), counted(answered(i, order))),) for order in ("hard", "easy"))
        )
        for i in exams
    )
    made = RunRecord(**{**record, **changes})
    return RecordedTask("task", Path("a/results_1.json"), Path("a/s.jsonl"), made, "m", decoding, {}, documents)


def engine_run(
    name: str = "one",
    texts: Texts | None = None,
    *,
    facts: Mapping[str, str] | None = None,
    engine: str = "",
    asked: Mapping[str, SentPrompts] | None = None,
    with_tokenizer: bool = True,
    **changes: Any,
) -> EngineRun:
    """A run whose responses answer everything right, but for ``texts``; a token is a word."""
    task = task_of(texts, **changes)
    scored = score_recorded(task, EXAMS, EqualityGrader(), WordCounter())
    return EngineRun(
        name=name,
        engine=Engine(engine or name, dict(facts or {})),
        run=ScoredRun(name, task, EXAMS, scored),
        asked={exam: SentPrompts((f"{exam} hard", f"{exam} easy")) for exam in IDS} if asked is None else asked,
        encode=_words if with_tokenizer else None,
    )


def _words(text: str) -> list[int]:
    return [hash(word) for word in text.split()]
