"""Exact token counts of responses, taken where the model generates them.

lm_eval's backends return text only. The cost of a response (SPEC section 7) is known inside them: the Hugging Face
backend has the generated token ids, vLLM reports them with a finish reason. :class:`Meter` hooks into two places of a
backend instance: ``_model_generate``, called once a batch, and the cache hook, called once a response in the order of
that batch. So every count meets its response, duplicates and re-ordered batches included. A backend without these seams
is left alone, and its responses have no usage.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from roi_bench.errors import ModelError
from roi_bench.scoring.tokens import FinishReason, Usage


class MeteredText(str):
    """A response: a ``str`` that also carries its token usage and cost.

    Attributes:
        usage: Its token usage, or None if unknown.
        usd: Its cost in USD, or None if unknown or free.
        prompt_tokens: Tokens of the prompt as the model saw it, or None if unknown.
    """

    usage: Usage | None
    usd: float | None
    prompt_tokens: int | None

    def __new__(
        cls, text: str, usage: Usage | None = None, usd: float | None = None, prompt_tokens: int | None = None
    ) -> MeteredText:
        """Return ``text`` with the facts known about it."""
        metered = super().__new__(cls, text)
        metered.usage, metered.usd, metered.prompt_tokens = usage, usd, prompt_tokens
        return metered

    __slots__ = ("prompt_tokens", "usage", "usd")

    def __str__(self) -> str:
        """Return the text itself: lm_eval turns every response it writes into ``str``, and a copy each would count."""
        return self

    def __reduce__(self) -> tuple[type[MeteredText], tuple[str, Usage | None, float | None, int | None]]:
        return MeteredText, (str.__str__(self), self.usage, self.usd, self.prompt_tokens)


def usage_of(response: object) -> Usage | None:
    """Return the token usage of ``response``, None if it carries none."""
    return getattr(response, "usage", None)


def metered(requests: Sequence[Sequence[object]]) -> dict[str, Any]:
    """Return ``usage`` of responses by request and sample, as JSON values.

    ``usd`` stands beside it where anything cost money, and ``prompt_tokens`` where the engine counted them.
    """
    usages = [[usage_of(response) for response in request] for request in requests]
    found: dict[str, Any] = {
        "usage": [[None if usage is None else asdict(usage) for usage in request] for request in usages]
    }
    for name in ("usd", "prompt_tokens"):
        values = [[getattr(response, name, None) for response in request] for request in requests]
        if any(value is not None for request in values for value in request):
            found[name] = values
    return found


class Meter:
    """Listens to one lm_eval backend instance and adds usage to its responses.

    Args:
        lm: Any lm_eval model. Known: ``hf`` and its text subclasses, ``vllm``.
    """

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self._batch: deque[Usage] = deque()
        self._seen: dict[str, deque[tuple[str, Usage]]] = defaultdict(deque)
        count = _counter(lm)
        if count is None:
            return
        generate, hook = lm._model_generate, lm.cache_hook

        # The two hooks: one call a batch, then one call of the cache hook for each response of that batch, in its
        # order. Counts queued by the first are taken by the second.
        def counting_generate(*args: Any, **kwargs: Any) -> Any:
            output = generate(*args, **kwargs)
            self._batch = deque(count(lm, output, kwargs))
            return output

        lm._model_generate = counting_generate
        lm.set_cache_hook(_ListeningHook(hook, self._note))

    def _note(self, context: str, text: str) -> None:
        if self._batch:
            self._seen[context].append((text, self._batch.popleft()))

    def generate(self, requests: Sequence[Any]) -> list[MeteredText | None]:
        """Return the backend's responses to lm_eval ``requests`` that share their stop strings and budget.

        A response of None (there was none) stays None, and one in whose middle the engine failed becomes
        None; one that already carries its usage keeps it.

        Raises:
            ModelError: The backend returned another number of responses than requests.
        """
        self._seen.clear()
        texts = generate_until(self._lm, list(requests))
        return [self._metered(request.args[0], text) for request, text in zip(requests, texts, strict=True)]

    def _metered(self, context: str, text: str | None) -> MeteredText | None:
        if text is None or isinstance(text, MeteredText):
            return text
        noted = self._seen.get(context)
        # Backends sort stably, so equal prompts come back in the order in which they were sent. If the text differs
        # from what was noted, the count may belong to another response, and none is better than a wrong one.
        if noted and noted[0][0] == text:
            usage = noted.popleft()[1]
            return None if usage.finish_reason == "error" else MeteredText(text, usage)
        return MeteredText(text)


class _ListeningHook:
    """A cache hook that passes every response to ``note`` and then to the original ``hook``."""

    def __init__(self, hook: Any, note: Callable[[str, str], None]) -> None:
        self._hook = hook
        self._note = note

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        """Note a finished response; ``req`` is ``(context, generation arguments)``."""
        if attr == "generate_until":
            self._note(req[0], res)
        self._hook.add_partial(attr, req, res)


def generate_until(lm: Any, requests: list[Any]) -> list[str | None]:
    """Ask ``lm``, without its own progress bar where it takes that argument.

    Raises:
        ModelError: It returned another number of responses than requests.
    """
    import inspect

    quiet = "disable_tqdm" in inspect.signature(lm.generate_until).parameters
    responses: list[str | None] = lm.generate_until(requests, **({"disable_tqdm": True} if quiet else {}))
    if len(responses) != len(requests):
        raise ModelError(
            f"{type(lm).__name__} returned another number of responses ({len(responses)}) than requests "
            f"({len(requests)}), so they cannot be matched; this is a bug in that lm_eval backend, use another one"
        )
    return responses


_Counter = Callable[[Any, Any, dict[str, Any]], list[Usage]]


def _counter(lm: Any) -> _Counter | None:
    """Return how to count the tokens of one ``_model_generate`` call of ``lm``, or None for an unknown backend."""
    from roi_bench.harness.engines.protocol import HUGGING_FACE, VLLM, is_a

    if is_a(lm, HUGGING_FACE):
        return _count_hf
    return _count_vllm if is_a(lm, VLLM) else None


_VLLM_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "error", "error": "error"}


def _count_vllm(_lm: Any, outputs: Any, kwargs: dict[str, Any]) -> list[Usage]:
    """Return the usage of each of vLLM's request outputs."""
    if not kwargs.get("generate"):
        return []
    completions = [output.outputs[0] for output in outputs]
    return [
        Usage(
            tokens=len(completion.token_ids),
            finish_reason=_VLLM_REASONS.get(completion.finish_reason),
            source="generated",
        )
        for completion in completions
    ]


def _count_hf(lm: Any, output: Any, kwargs: dict[str, Any]) -> list[Usage]:
    """Return the usage of each row of a Hugging Face ``generate`` output (a batch of padded token ids)."""
    context_width: int = kwargs["context"].shape[1]
    begin = context_width if lm.backend == "causal" else 1  # an encoder-decoder starts with one start token
    budget = kwargs["max_length"] - begin
    ends = end_tokens(lm, kwargs)
    end_text = lm.tok_decode(lm.eot_token_id, skip_special_tokens=False)
    stops = [stop for stop in kwargs.get("stop") or [] if stop and stop != end_text]
    return [_count_row(row[begin:], budget, ends, stops, lm.tok_decode) for row in output.tolist()]


def end_tokens(lm: Any, kwargs: dict[str, Any]) -> frozenset[int]:
    """Return the ids at which ``generate`` ends a row and pads it from there on."""
    ends = kwargs.get("eos_token_id")
    for config in (getattr(lm.model, "generation_config", None), lm.model.config):
        if ends is None:
            ends = getattr(config, "eos_token_id", None)
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def _count_row(
    ids: list[int], budget: int, ends: frozenset[int], stops: list[str], decode: Callable[[list[int]], str]
) -> Usage:
    """Return the usage of one generated row: everything up to its first end token or its first complete stop string.

    A row that is done runs on (padding, or text after a stop string) until the whole batch is done; that is not part
    of the response, and the same row alone would not have generated it.
    """
    end = next((index + 1 for index, token in enumerate(ids) if token in ends), None)
    tokens, reason = (len(ids), "length" if len(ids) >= budget else "stop") if end is None else (end, "stop")
    # A row without an end token may have ended at a stop string inside the last token. Text only grows with tokens, so
    # the first count at which a stop string is complete is found by bisection.
    if stops:

        def stopped(count: int) -> bool:
            text = decode(ids[:count])
            return any(stop in text for stop in stops)

        if stopped(tokens):
            tokens, reason = bisect_left(range(tokens), True, key=stopped), "stop"
    finish: FinishReason = "length" if reason == "length" else "stop"
    return Usage(tokens=tokens, finish_reason=finish, source="generated")
