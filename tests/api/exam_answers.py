"""A provider's answers to exams: right or wrong by the prompt's hash, the same every time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from roi_bench.exams.exam import ORDERS
from roi_bench.exams.sets import load_exams
from roi_bench.scoring.prompts import RESPONSE_CUE, Message, as_text, exam_messages
from tests.api.provider_server import Reply, prompt_of
from tests.support.exam_factory import respond

BUDGETS = (128, 256)
CUE = f"\n\n{RESPONSE_CUE}"


@cache
def _answers() -> dict[str, list[str]]:
    """Return the right answers of every tiny exam by its prompt, without the cue of raw text."""
    return {
        _said(exam_messages([problem.question for problem in exam.ordered(order)], budget)): [
            problem.answer for problem in exam.ordered(order)
        ]
        for exam in load_exams("tiny")
        for order in ORDERS
        for budget in BUDGETS
    }


def _said(messages: list[Message]) -> str:
    return as_text(messages).removesuffix(CUE)


def tokens_of(prompt: str) -> int:
    """Return how many tokens the reply to ``prompt`` is said to take."""
    return 20 + int(hashlib.sha256(prompt.encode()).hexdigest()[:4], 16) % 80


def answer_exam(body: dict[str, Any]) -> Reply:
    """Answer a tiny exam: each problem right in three of four cases."""
    prompt = prompt_of(body).removesuffix(CUE)
    digest = hashlib.sha256(prompt.encode()).digest()
    given = [right if digest[k] % 4 else "0.5" for k, right in enumerate(_answers()[prompt])]
    return Reply(respond(given), completion_tokens=tokens_of(prompt))


def empty_for(share: int) -> Callable[[dict[str, Any]], Reply]:
    """Return a responder that answers ``content: null`` after hidden reasoning for one prompt in ``share``."""

    def reply(body: dict[str, Any]) -> Reply:
        prompt = prompt_of(body)
        if hashlib.sha256(prompt.encode()).digest()[9] % share:
            return answer_exam(body)
        return Reply(None, 128, "length", reasoning="hmm, let me think", reasoning_tokens=128)

    return reply
