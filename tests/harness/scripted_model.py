"""A model for tests that answers from a function of the request: injected where the harness expects a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from roi_bench.exams.sets import find_exam
from tests.support.exam_factory import respond

Responder = Callable[[Instance, int], str | None]


class ScriptedModel(LM):
    """Answers with ``responder(instance, sample index)`` and remembers the prompts."""

    def __init__(self, responder: Responder) -> None:
        super().__init__()
        self.responder = responder
        self.prompts: list[str] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str | None]:
        asked: dict[int, int] = {}
        responses = []
        for request in requests:
            sample = asked.get(id(request), 0)
            asked[id(request)] = sample + 1
            self.prompts.append(str(request.args[0]))
            responses.append(self.responder(request, sample))
        return responses

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        raise NotImplementedError


def oracle(instance: Instance, _: int = 0) -> str:
    """Answer everything right."""
    exam = find_exam(instance.doc["exam_id"])
    return respond([problem.answer for problem in exam.ordered(instance.doc["order"])])


def always(text: str | None) -> Responder:
    """Answer every request with ``text``."""
    return lambda _instance, _sample: text
