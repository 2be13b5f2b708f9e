"""Checks before the first paid call: can this model take this exam at this budget?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from roi_bench.api.gateway import ModelFacts
from roi_bench.api.replies import one_line
from roi_bench.api.settings import CAPS, OMITTABLE, PROMPT_FIELDS, ApiSettings, texts_in
from roi_bench.errors import ModelError

MINIMUM_THINKING = 1024
"""Least thinking budget of Claude, in tokens; it counts against ``max_tokens`` and must be below it.
https://docs.claude.com/en/docs/build-with-claude/extended-thinking"""

GEMINI_MINIMUM = (("gemini-2.5-flash-lite", 512), ("gemini-2.5-pro", 128))
"""Least thinking budgets of Gemini, in tokens; that of Pro cannot be switched off.
https://ai.google.dev/gemini-api/docs/thinking"""

MOST_STOPS = 4
"""Stop sequences that OpenAI's API takes. https://platform.openai.com/docs/api-reference/chat/create"""


class GatewayLike(Protocol):
    """The part of a gateway that the checks use (:class:`roi_bench.api.gateway.Gateway`)."""

    @property
    def facts(self) -> ModelFacts:
        """Facts about the model."""
        ...

    def mapped(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as the provider takes them; raises where one would be dropped."""
        ...


def check_parameters(gateway: GatewayLike, settings: ApiSettings, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` as the provider will get them.

    Raises:
        ModelError: One is not accepted, would be dropped, or contradicts another; or the endpoint is not the model's.
    """
    facts = gateway.facts
    if settings.endpoint == "completions" and facts.mode in ("chat", "responses"):
        raise ModelError(
            f"{settings.model} is chat only and takes no raw text; leave endpoint=completions out of --model_args"
        )
    if settings.endpoint == "chat" and facts.mode == "completion":
        raise ModelError(f"{settings.model} takes raw text only; add endpoint=completions to --model_args")
    stops = parameters.get("stop") or []
    if facts.provider in ("openai", "azure") and settings.base_url is None and len(stops) > MOST_STOPS:
        raise ModelError(
            f"{settings.model} takes at most {MOST_STOPS} stop sequences, the task has {len(stops)}: a response could "
            "run on past its end; add omit=stop to --model_args to go without them"
        )
    try:
        mapped = gateway.mapped(parameters)
    except Exception as error:
        culprits = [name for name in parameters if name in str(error) and name not in CAPS]
        if switches := [name for name in culprits if name not in OMITTABLE]:
            advice = f"Take {' and '.join(switches)} out of --model_args"
        else:
            omit = "+".join(culprits) or "NAME"
            advice = f"To go without, add omit={omit} to --model_args; the results will be labelled so"
        raise ModelError(
            f"{settings.model} does not take what the task asks for, and dropping it silently would change the exam: "
            f"{one_line(error)[:160]} {advice}"
        ) from error
    if not set(CAPS) & set(parameters):
        raise ModelError("the budget is sent as max_tokens and cannot be left out; take it out of omit")
    if isinstance(settings.thinking, int) and settings.thinking and thinking_budget(mapped) != settings.thinking:
        raise ModelError(
            f"thinking={settings.thinking} would not reach {settings.model}: this provider takes no number of thinking "
            "tokens; leave it out, or use reasoning_effort"
        )
    if settings.thinking == "disabled" and mapped.get("thinkingConfig") == {}:
        raise ModelError(f"thinking=disabled has no effect on {settings.model}; add thinking=0 to --model_args instead")
    if _claude_thinks(facts, mapped) and parameters.get("temperature", 1) != 1:
        raise ModelError(
            f"{settings.model} takes no temperature but 1 while it thinks; add omit=temperature to --model_args (the "
            "results will be labelled so), or thinking=disabled"
        )
    return mapped


SHORT = 5
"""Words that a name, a stop sequence or another parameter may have."""

CAP_FIELDS = (
    *(*CAPS, "max_output_tokens", "maxOutputTokens", "maxTokens", "max_new_tokens", "maxTokenCount"),
    *("max_gen_len", "max_tokens_to_sample", "num_predict", "maxGenerationTokens"),
)
EFFORT_FIELDS = ("reasoning_effort", "effort", "thinkingLevel", "thinking_level", "reasoningEffort")
THINKING_FIELDS = ("budget_tokens", "thinkingBudget", "thinking_budget")
"""Names of the cap, of a level of reasoning and of a number of thinking tokens in providers' own bodies."""


def check_body(
    settings: ApiSettings,
    texts: Sequence[str],
    budget: int,
    body: Mapping[str, Any],
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Check that the ``body`` of a request, as litellm is about to send it, is the exam and nothing but the exam.

    Args:
        settings: The model and how it is asked.
        texts: What its messages are meant to say.
        budget: The cap, in tokens.
        body: The body, in the provider's own form.
        parameters: What it was made from: a text among them is no foreign one.

    Raises:
        ModelError: litellm puts something before or behind the exam, or a switch or the cap does not arrive.
    """
    prompt = {name: body[name] for name in PROMPT_FIELDS if name in body}
    ours = texts_in(dict(parameters))
    prose = [text for text in texts_in(body) if len(text.split()) > SHORT and text not in ours]
    missing, _ = _difference(texts, texts_in(body))
    _, foreign = _difference(texts, texts_in(prompt) or prose)
    elsewhere = [text for text in prose if prompt and text not in texts_in(prompt)]
    foreign = foreign or next(iter(elsewhere), "")
    if foreign or missing:
        what = f"puts this into it: {foreign[:160]!r}" if foreign else f"leaves this out of it: {missing[0][:160]!r}"
        switch = " Take reasoning_effort and thinking out of --model_args." if _switches(settings) else ""
        raise ModelError(f"{settings.model} would not get the exam as it is: litellm {what}; nothing was sent.{switch}")
    caps = list(_values(body, CAP_FIELDS))
    if (other := next((cap for cap in caps if cap != budget), None)) is not None:
        raise ModelError(
            f"{settings.model} would get a cap of {other} tokens instead of the budget of {budget}; nothing was sent"
        )
    if not caps and not _has_number(body, budget):
        raise ModelError(
            f"{settings.model} would get no cap: the budget of {budget} tokens is nowhere in the request; nothing was "
            "sent. If the provider has a name of its own for it, put it into extra_body"
        )
    for name, wanted in _switches(settings).items():
        if not _arrives(name, wanted, body):
            raise ModelError(
                f"{name}={wanted} would not reach {settings.model}: litellm sends nothing that says it; nothing was "
                f"sent. Take {name} out of --model_args, or put the provider's own field into extra_body"
            )


def _difference(wanted: Sequence[str], found: Sequence[str]) -> tuple[list[str], str]:
    """Return the texts of ``wanted`` that are not in ``found``, and what else is there; blanks do not count."""
    left = ["".join(text.split()) for text in found]
    missing = []
    for text in sorted(wanted, key=len, reverse=True):
        bare = "".join(text.split())
        place = next((index for index, there in enumerate(left) if bare in there), None)
        if place is None:
            missing.append(text)
        else:
            left[place] = left[place].replace(bare, "", 1)
    extra = next(filter(None, left), "")
    shown = next((text for text in found if extra and extra[:40] in "".join(text.split())), "")
    return missing, shown


def _values(value: object, names: Sequence[str]) -> Iterator[Any]:
    """Yield the values under ``names`` at any depth of ``value``."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in names:
                yield item
            yield from _values(item, names)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, names)


def _has_number(value: object, wanted: int) -> bool:
    if isinstance(value, Mapping):
        return any(_has_number(item, wanted) for item in value.values())
    if isinstance(value, list):
        return any(_has_number(item, wanted) for item in value)
    return value == wanted and not isinstance(value, bool)


def _switches(settings: ApiSettings) -> dict[str, Any]:
    thinking: Any = settings.thinking
    if isinstance(thinking, dict):
        thinking = thinking.get("budget_tokens", thinking.get("type"))
    given = {"reasoning_effort": settings.reasoning_effort, "thinking": thinking}
    return {name: value for name, value in given.items() if value is not None}


def _arrives(name: str, wanted: int | str, body: Mapping[str, Any]) -> bool:
    """Return whether ``body`` says what a switch wants, under any name."""
    tokens = [item for item in _values(body, THINKING_FIELDS) if isinstance(item, int)]
    kinds = [item.get("type") for item in _values(body, ("thinking",)) if isinstance(item, Mapping)]
    efforts = [str(item).casefold() for item in _values(body, EFFORT_FIELDS)]
    is_off = 0 in tokens or "disabled" in kinds or "none" in efforts
    if name == "reasoning_effort":
        is_level = str(wanted).casefold() in efforts or any(number > 0 for number in tokens)
        return is_off if wanted in ("none", "disable") else is_level
    if wanted in (0, "disabled"):
        return is_off
    return wanted in tokens if isinstance(wanted, int) else wanted in kinds


def why_not_applicable(
    facts: ModelFacts, mapped: Mapping[str, Any], budget: int, longest_prompt: int | None = None
) -> str | None:
    """Return why the model cannot take exams at ``budget``, or None if it can.

    Args:
        facts: Facts about the model.
        mapped: Parameters as the provider will get them.
        budget: Budget in generated tokens, hidden reasoning included.
        longest_prompt: Tokens of the longest prompt, if counted.
    """
    thinking = thinking_budget(mapped)
    least = _least_thinking(facts, mapped)
    if thinking is not None and thinking < least:
        return f"a thinking budget of {thinking} tokens is below the provider's minimum of {least}"
    if thinking is not None and thinking >= budget > 0:
        return (
            f"its thinking budget of {thinking} tokens is not below the budget of {budget}, which has to hold the "
            "answers as well"
        )
    if facts.max_output_tokens is not None and budget > facts.max_output_tokens:
        return f"the model writes at most {facts.max_output_tokens} tokens, fewer than the budget of {budget}"
    if longest_prompt is not None and facts.max_input_tokens is not None and longest_prompt > facts.max_input_tokens:
        return f"the longest prompt has about {longest_prompt} tokens, the model takes {facts.max_input_tokens}"
    if longest_prompt is not None and facts.context is not None and longest_prompt + budget > facts.context:
        both = f"the longest prompt (about {longest_prompt} tokens) and the budget of {budget}"
        return f"{both} do not fit into max_length={facts.context}"
    return None


def _least_thinking(facts: ModelFacts, mapped: Mapping[str, Any]) -> int:
    """Return the least number of thinking tokens that the provider takes, besides none where it can be switched off."""
    if _claude_thinks(facts, mapped):
        return MINIMUM_THINKING
    least = next((tokens for name, tokens in GEMINI_MINIMUM if name in facts.name), 0)
    can_be_off = "pro" not in facts.name
    return 0 if can_be_off and thinking_budget(mapped) == 0 else least


def thinking_budget(mapped: Mapping[str, Any]) -> int | None:
    """Return the tokens set aside for thinking in a provider's own parameters, or None.

    Known: Claude (``thinking.budget_tokens``), Gemini (``thinkingConfig.thinkingBudget``; 0 is off, −1 dynamic).
    """
    claude, gemini = mapped.get("thinking"), mapped.get("thinkingConfig")
    if isinstance(claude, Mapping) and isinstance(claude.get("budget_tokens"), int):
        return int(claude["budget_tokens"])
    if isinstance(gemini, Mapping) and isinstance(gemini.get("thinkingBudget"), int):
        return int(gemini["thinkingBudget"]) if gemini["thinkingBudget"] >= 0 else None
    return None


def _claude_thinks(facts: ModelFacts, mapped: Mapping[str, Any]) -> bool:
    thinking = mapped.get("thinking")
    is_claude = "claude" in facts.name or facts.provider == "anthropic"
    return is_claude and isinstance(thinking, Mapping) and thinking.get("type") not in (None, "disabled")
