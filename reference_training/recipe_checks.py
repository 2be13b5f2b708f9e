"""What a recipe may hold: known keys, values of the right type, values that can be meant; changes to one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS

if TYPE_CHECKING:
    from roi_bench.reference_training.recipe import Recipe

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}

SEEDS = 2**31
"""Seeds below this one. NumPy takes them up to 2**32, and the trainers add the number of a process to them."""

Rule = tuple[bool, str, object, str]
"""Whether a rule holds; key, value and expectation for the message where it does not."""


def check_settings(kind: type, data: Mapping[Any, Any], where: str, prefix: str = "") -> None:
    """Check that ``data`` has only keys that the dataclass ``kind`` has, all that it needs, and values of their types.

    Args:
        kind: A dataclass of settings.
        data: The settings as read from YAML.
        where: Their source, for messages.
        prefix: What stands before the keys in messages: the keys above, with dots.

    Raises:
        UsageError: The first key or value, at any depth, for which this is not so.
    """
    hints = get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for key in data:
        if key not in known:
            raise UsageError(f"recipe {where}: unknown key {prefix + str(key)!r}; {nearest(str(key), known)}")
    for item in fields(kind):
        if item.name in data:
            _check_type(hints[item.name], data[item.name], where, prefix + item.name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise UsageError(f"recipe {where}: {prefix + item.name} is missing; it has no default")


def _check_type(hint: Any, value: object, where: str, key: str) -> None:
    choices = get_args(hint)
    if type(None) in choices:  # X | None
        if value is None:
            return
        hint = choices[0]
        choices = get_args(hint)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            known = ", ".join(item.name for item in fields(hint))
            raise _fault(where, key, value, f"settings: {known}")
        check_settings(hint, value, where, f"{key}.")  # type: ignore[arg-type]
    elif get_origin(hint) is Literal:
        if value not in choices:
            known_ones = [str(choice) for choice in choices]
            raise _fault(where, key, value, f"one of {', '.join(known_ones)}{_near(value, known_ones)}")
    elif get_origin(hint) in (tuple, dict):
        _check_container(hint, value, where, key)
    elif hint is not Any and not _is_a(hint, value):
        raise _fault(where, key, value, _NAMES[hint] + exponent_remark(hint, value))


def _check_container(hint: Any, value: object, where: str, key: str) -> None:
    first, second = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise _fault(where, key, value, f"a list, such as [{value}]")
        for index, item in enumerate(value):
            _check_type(first, item, where, f"{key}[{index}]")
        return
    if not isinstance(value, Mapping):
        raise _fault(where, key, value, "keys with values")
    for name, item in value.items():
        _check_type(first, name, where, f"a key of {key}")
        _check_type(second, item, where, f"{key}.{name}")


def _is_a(kind: type, value: object) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def exponent_remark(kind: type, value: object) -> str:
    """Return a remark for the one way in which YAML surprises: 1e-5 without a point is text."""
    if kind is not float or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, mark, exponent = value.lower().partition("e")
    if not mark:
        return f", without quotes: {number}"
    return f" (YAML takes this for text; write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d})"


def _near(value: object, known: list[str]) -> str:
    hint = nearest(str(value), known)
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _fault(where: str, key: str, value: object, expected: str) -> UsageError:
    return UsageError(f"recipe {where}: {key} is {value!r:.80}; expected {expected}")


def apply_change(data: dict[str, Any], change: str) -> None:
    """Set one value in the settings ``data``; ``change`` is ``key=value``, with dots for nested keys, the value YAML.

    Raises:
        UsageError: It has no key or no value, or the key lies below a single value.
    """
    import yaml

    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UsageError(f"cannot read the change {change!r}; write key=value, e.g. mft.epochs=2")
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        inner = place[parent] = {} if place.get(parent) is None else place[parent]
        if not isinstance(inner, dict):
            raise UsageError(f"cannot set {key!r}: {parent!r} is a single value")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"cannot read the value of {key!r}: {value!r} is not YAML") from error


def check_values(recipe: Recipe, where: str) -> None:
    """Check that every value can be meant; ``where`` names the source of the recipe in messages.

    Raises:
        UsageError: The first value that cannot.
    """
    for holds, key, value, expected in (*_general(recipe), *_mft(recipe), *_rarl(recipe)):
        if not holds:
            raise _fault(where, key, value, expected)
    mft, rarl = recipe.mft, recipe.rarl
    responses = rarl.prompts * rarl.generations
    whole = [
        ("mft.batch_size", mft.batch_size, "mft.device_batch_size", mft.device_batch_size),
        ("rarl.prompts × rarl.generations", responses, "rarl.device_batch_size", rarl.device_batch_size),
    ]
    for name, total, divisor_name, divisor in whole:
        if divisor < 1 or total < 1 or total % divisor:
            raise UsageError(f"recipe {where}: {name} is {total}, which {divisor_name} ({divisor}) does not divide")


def _general(recipe: Recipe) -> Iterator[Rule]:
    budgets, sampling, labels, lora = recipe.budgets, recipe.sampling, recipe.labels, recipe.lora
    evaluation, asked = recipe.evaluation, recipe.sampling.problems
    ascending = all(left < right for left, right in pairwise(budgets))
    yield bool(budgets) and min(budgets) > 0, "budgets", budgets, "at least one, each above 0"
    yield ascending, "budgets", budgets, "different ones, the tightest first"
    yield 0 <= recipe.seed < SEEDS, "seed", recipe.seed, f"0 to {SEEDS - 1}"
    counts = (asked.easy, asked.middle, asked.hard)
    yield min(counts) > 0, "sampling.problems", counts, "at least 1 of each tier"
    yield sampling.samples > 0, "sampling.samples", sampling.samples, "at least 1"
    yield sampling.temperature > 0, "sampling.temperature", sampling.temperature, "above 0"
    yield sampling.cap is None or sampling.cap > 0, "sampling.cap", sampling.cap, "at least 1, or null"
    yield sampling.batch_size > 0, "sampling.batch_size", sampling.batch_size, "at least 1"
    range_correct = f"1 to sampling.samples ({sampling.samples})"
    holds = 0 < labels.minimum_correct <= sampling.samples
    yield holds, "labels.minimum_correct", labels.minimum_correct, range_correct
    yield 0.25 <= labels.largest_share <= 1, "labels.largest_share", labels.largest_share, "0.25 to 1 (four levels)"
    if lora is not None:
        yield lora.rank > 0, "lora.rank", lora.rank, "at least 1"
        yield lora.alpha > 0, "lora.alpha", lora.alpha, "above 0"
        yield 0 <= lora.dropout < 1, "lora.dropout", lora.dropout, "0 or more, below 1"
    limit = evaluation.limit
    yield limit is None or limit > 0, "evaluation.limit", limit, "at least 1, or null for all exams"
    yield evaluation.batch_size > 0, "evaluation.batch_size", evaluation.batch_size, "at least 1"
    yield evaluation.samples >= 0, "evaluation.samples", evaluation.samples, "at least 0"


def _mft(recipe: Recipe) -> Iterator[Rule]:
    mft = recipe.mft
    for name, count in (("singles", mft.singles), ("exams", mft.exams), ("solo", mft.solo)):
        yield count >= 0, f"mft.{name}", count, "at least 0"
    yield mft.singles + mft.exams > 0, "mft.exams", mft.exams, "some examples"
    yield 0 <= mft.over_budget_kept <= 1, "mft.over_budget_kept", mft.over_budget_kept, "0 to 1"
    yield _are_shares(mft.orders), "mft.orders", mft.orders, "shares of easy, medium and hard"
    yield mft.learning_rate > 0, "mft.learning_rate", mft.learning_rate, "above 0"
    yield mft.epochs > 0, "mft.epochs", mft.epochs, "above 0"


def _are_shares(orders: Mapping[str, float]) -> bool:
    return set(orders) <= set(ORDERS) and sum(orders.values()) > 0 and min(orders.values()) >= 0


def _rarl(recipe: Recipe) -> Iterator[Rule]:
    rarl = recipe.rarl
    curriculum = rarl.curriculum
    yield rarl.steps > 0, "rarl.steps", rarl.steps, "at least 1"
    yield rarl.generations > 1, "rarl.generations", rarl.generations, "at least 2: a group of one has no baseline"
    yield rarl.learning_rate > 0, "rarl.learning_rate", rarl.learning_rate, "above 0"
    yield rarl.temperature > 0, "rarl.temperature", rarl.temperature, "above 0"
    yield _are_shares(rarl.orders), "rarl.orders", rarl.orders, "shares of easy, medium and hard"
    parts = set(curriculum) <= set(recipe.budgets) and sum(curriculum.values()) <= 1
    expected = f"shares of the steps (together at most 1) for budgets out of {list(recipe.budgets)}"
    yield parts and min(curriculum.values(), default=0) >= 0, "rarl.curriculum", curriculum, expected
    fault = rarl.reward.format_fault
    yield fault >= 0, "rarl.reward.format_fault", fault, "at least 0"
    yield rarl.evaluate_every >= 0, "rarl.evaluate_every", rarl.evaluate_every, "at least 0"
    held_out = rarl.evaluation_exams
    yield held_out > 0 or rarl.evaluate_every == 0, "rarl.evaluation_exams", held_out, "at least 1"
    yield held_out >= 0, "rarl.evaluation_exams", held_out, "at least 0"
    judged = rarl.evaluate_every > 0 or rarl.patience == 0
    yield rarl.patience >= 0 and judged, "rarl.patience", rarl.patience, "at least 0, and 0 where evaluate_every is 0"
