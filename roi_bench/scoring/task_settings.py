"""What a task is asked to do, and the labels of a run that does something other than its task's name promises. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS
from roi_bench.exams.sets import EXAM_SETS
from roi_bench.scoring.kinds import KINDS, Kind
from roi_bench.scoring.prompts import PROMPTS, find_prompt

Decoding = Literal["neutral", "model"]
"""``neutral``: what the task's name promises. ``model``: what the model's own configuration asks for, labelled."""

MARK = "decoding"
"""Generation argument of a task that asks for the model's own decoding; it reaches only models that know it."""

BUDGET_ALIASES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Generation arguments that set the budget, most binding first, as lm_eval orders them."""

GREEDY: dict[str, Any] = {"until": [], "do_sample": False, "temperature": 0.0}
"""Generation arguments of every exam task besides its budget; without ``until`` lm_eval would stop at blank lines."""

SAMPLED: dict[str, Any] = {"until": [], "do_sample": True, "temperature": 0.7}
"""Generation arguments of solo tasks: a profile is a distribution, so its samples must be able to differ."""

SAMPLED_REPEATS = 16
"""Samples of each document of a task that means a distribution, unless ``--metadata`` says otherwise."""

METADATA_KEYS = ("budget", "repeats", "exam_seed", "paraphrase", MARK)
"""What ``--metadata`` may change of a task."""

FIXED_KEYS = ("exam_set", "order", "prompt")
"""What only another task name can change."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """The settings of one task.

    Attributes:
        exam_set: ``v1``, ``fresh`` or ``tiny``.
        order: ``medium`` or ``hard`` (the easy order is always asked too); None for problems asked alone.
        prompt: Name of the prompt.
        budget: Budget in generated tokens.
        exam_seed: Seed of generated exam sets; None for the frozen one.
        repeats: Samples per exam and order.
        paraphrase: Number of the paraphrase in which the prompt was asked, 0 for its canonical text.
        decoding: Whether the model's own configuration may shape how tokens are chosen.
    """

    exam_set: str
    order: str | None
    prompt: str
    budget: int
    exam_seed: int | None
    repeats: int
    paraphrase: int = 0
    decoding: Decoding = "neutral"

    @property
    def kind(self) -> Kind:
        """What it asks."""
        return KINDS[PROMPTS[self.prompt].kind]

    @property
    def named_generation(self) -> dict[str, Any]:
        """Generation arguments that the task's name implies, besides its budget."""
        return SAMPLED if self.kind.is_sampled else GREEDY

    @property
    def generation(self) -> dict[str, Any]:
        """Generation arguments of the settings, besides the budget and the user's additions."""
        return dict(self.named_generation if self.decoding == "neutral" else {"until": [], MARK: self.decoding})


def task_settings(named: Mapping[str, Any], metadata: Mapping[str, Any]) -> TaskSettings:
    """Return the settings of a task from its YAML (``named``) and what ``--metadata`` overrides.

    Raises:
        UsageError: A value is invalid, or a key is missing.
    """
    _refuse_misspelt(metadata)
    exam_set = _choice("exam_set", named.get("exam_set"), EXAM_SETS)
    seed = _whole("exam_seed", metadata.get("exam_seed", named.get("exam_seed", 0)), least=0)
    if exam_set == "v1" and "exam_seed" in metadata:
        raise UsageError(
            "exam_seed was given, but the exams of version 1 are frozen; use a roi_fresh_… task for new ones"
        )
    prompt = _choice("prompt", named.get("prompt", "direct"), tuple(PROMPTS))
    kind = KINDS[PROMPTS[prompt].kind]
    repeats = SAMPLED_REPEATS if kind.is_sampled else 1
    paraphrase = _whole("paraphrase", metadata.get("paraphrase", 0), least=0)
    find_prompt(prompt, paraphrase)
    return TaskSettings(
        exam_set=exam_set,
        order=None if not kind.has_order else _choice("order", named.get("order"), ORDERS),
        prompt=prompt,
        budget=_whole("budget", metadata.get("budget", named.get("budget"))),
        exam_seed=None if exam_set == "v1" else seed,
        repeats=_whole("repeats", metadata.get("repeats", named.get("repeats", repeats))),
        paraphrase=paraphrase,
        decoding=asked_decoding(metadata),
    )


def asked_decoding(metadata: Mapping[str, Any]) -> Decoding:
    """Return the decoding that ``--metadata`` asks for.

    Raises:
        UsageError: It is none that there is.
    """
    value = metadata.get(MARK, "neutral")
    if value not in get_args(Decoding):
        raise UsageError(f"unknown decoding {value!r} in --metadata; {nearest(str(value), get_args(Decoding))}")
    return cast(Decoding, value)


def paraphrase_label(paraphrase: int) -> str:
    """Return the label of a run that was asked in a paraphrase of its prompt."""
    return f"paraphrase={paraphrase}"


def budget_of(generation: Mapping[str, Any], default: int) -> int:
    """Return the budget that ``generation`` arguments set, or ``default``.

    Raises:
        UsageError: Two aliases disagree, or the value is not a positive whole number.
    """
    given = {name: _whole(name, generation[name]) for name in BUDGET_ALIASES if name in generation}
    changed = {value for value in given.values() if value != default}
    if len(changed) > 1:
        raise UsageError(f"generation arguments name several budgets: {given}; give one of them")
    return changed.pop() if changed else default


def temperature_of(generation: Mapping[str, Any]) -> float:
    """Return the sampling temperature of ``generation`` arguments, 0 where none is set.

    Raises:
        UsageError: It is not a number.
    """
    try:
        return float(generation.get("temperature") or 0)
    except (TypeError, ValueError) as error:
        raise UsageError(f"temperature must be a number, not {generation['temperature']!r}") from error


def deviations(
    named: Mapping[str, Any],
    settings: TaskSettings,
    generation: Mapping[str, Any],
    system_instruction: str | None,
    omitted: str | None = None,
) -> tuple[str, ...]:
    """Return a label for everything in which a run differs from what its task's name promises.

    Args:
        named: The settings that the task's name promises.
        settings: The actual settings.
        generation: Generation arguments.
        system_instruction: The run's system instruction, if any.
        omitted: Generation arguments that were not sent because the model does not take them (``omit`` of roi-api).
    """
    labels = []
    if settings.budget != named["budget"]:
        labels.append(f"budget={settings.budget}")
    if settings.exam_seed not in (None, named.get("exam_seed", 0)):
        labels.append(f"exam_seed={settings.exam_seed}")
    if settings.paraphrase:
        labels.append(paraphrase_label(settings.paraphrase))
    plain = {**settings.named_generation, **dict.fromkeys(BUDGET_ALIASES, settings.budget)}
    labels += [f"{key}={generation[key]}" for key in sorted(generation) if plain.get(key) != generation[key]]
    if system_instruction:
        labels.append("system_instruction")
    if omitted:
        labels.append(f"omit={omitted}")
    return tuple(labels)


def _refuse_misspelt(metadata: Mapping[str, Any]) -> None:
    """Refuse misspelt keys of ours; the metadata also contain model arguments, so other keys are allowed."""
    for key in metadata:
        if key in FIXED_KEYS:
            raise UsageError(f"--metadata cannot change {key!r}, which the task's name fixes; choose another task")
        if key not in METADATA_KEYS and (close := difflib.get_close_matches(key, METADATA_KEYS, n=1, cutoff=0.8)):
            raise UsageError(f"unknown key {key!r} in --metadata; did you mean {close[0]!r}?")


def _choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"unknown {name} {value!r}; {nearest(str(value), known)}")
    return str(value)


def _whole(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value
