r"""Whether an answer names something else than what is asked for: a time of day, or another unit. Pure.

Units mean nothing to the grader, so ``5 cents`` would be right where five dollars are asked for, or where the gold
answer says dollars; and ``6:00`` is six only where a time is asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache

from roi_bench.grading.number_words import write_digits

_KINDS = (
    ("dollars", "cents"),
    ("seconds", "minutes", "hours", "days", "weeks", "months", "years"),
    ("millimeters", "centimeters", "meters", "kilometers", "inches", "feet", "yards", "miles"),
    ("milligrams", "grams", "kilograms", "ounces", "pounds", "tons"),
    ("milliliters", "liters", "cups", "pints", "quarts", "gallons"),
    ("degrees", "radians"),
    ("celsius", "fahrenheit"),
)
_KIND_OF = {unit: kind for kind, units in enumerate(_KINDS) for unit in units}
_PLURALS = dict(zip(_KIND_OF, _KIND_OF, strict=True))
_PLURALS |= {re.sub("(met|lit)ers", r"\1res", name): unit for name, unit in _PLURALS.items()}
_SPELLINGS = _PLURALS | {name.removesuffix("s"): unit for name, unit in _PLURALS.items()}
_SPELLINGS |= {"inch": "inches", "foot": "feet", "in": "inches", "ft": "feet", "yd": "yards", "mi": "miles"}
_SPELLINGS |= {"mm": "millimeters", "cm": "centimeters", "m": "meters", "km": "kilometers", "ml": "milliliters"}
_SPELLINGS |= {"¢": "cents", "mg": "milligrams", "g": "grams", "kg": "kilograms"}
_SPELLINGS |= {"sec": "seconds", "secs": "seconds", "min": "minutes", "mins": "minutes", "hr": "hours", "hrs": "hours"}
_SPELLINGS |= {"deg": "degrees", "rad": "radians", "rads": "radians"}
_SPELLINGS |= {"degrees celsius": "celsius", "degrees fahrenheit": "fahrenheit"}
_SPELLINGS |= {"oz": "ounces", "lb": "pounds", "lbs": "pounds", "penny": "cents", "pennies": "cents"}
_NAMES = "|".join(sorted(map(re.escape, _SPELLINGS), key=len, reverse=True))
_NAMES = re.sub(r"(?<=\|)in(?=\|)", r"in(?![\\s}]+[A-Za-z])", _NAMES)  # 5 in total
_LONG = "|".join(sorted((name for name in _SPELLINGS if len(name) > 2 or name in ("cm", "km")), key=len, reverse=True))
_ASKED = re.compile(
    rf"\bhow\s+(?:many|much)\s+(?:(?!(?:an?|per|each|every)\s)[a-z]+\s+){{0,2}}?({_LONG})\b|\b(?:in|number\s+of)\s+(?:whole\s+)?({_LONG})\b"
    rf"|\b({_LONG})\s+(?:and|or)\s+({_LONG})\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?:(?<=[0-9}})])|(?<=\\pi)|(?<=π))[\s~\\,!;-]*(?:(?:more|full|whole|extra|additional|total)\s+)?"
    rf"(?:\\?(?:text|mbox|textrm|mathrm)\s*\{{\s*)?({_NAMES})(?![A-Za-z])|(\\\$)\s*[0-9.]",
    re.IGNORECASE,
)
_DEGREE_SIGN = re.compile(r"\s*(?:\^\s*\{?\s*\\circ(?![A-Za-z])\s*\}?|\\degree(?![A-Za-z])|°)")
_SCALE_OF_DEGREES = re.compile(
    r"degrees?[\s~\\,]*(?:\\?(?:text|mbox|textrm|mathrm)\s*\{\s*)?(?:(C|celsius)|F|fahrenheit)(?![A-Za-z])",
    re.IGNORECASE,
)
_PI = re.compile(r"\\pi(?![A-Za-z])|π|(?<![A-Za-z])pi(?![A-Za-z])")
_ZERO = re.compile(r"[\s$\\-]*0*\.?0*[\s$]*")
_BARE = re.compile(r"\s*\$?\s*-?[0-9.,]+\s*\$?\s*")
_CLOCK = re.compile(r"[0-9]\s*:\s*[0-5][0-9][\s.$)}*]*\Z")
_MARKED = re.compile(
    r"(?<=[0-9])[\s~\\]*(?:\\?text\s*\{\s*)?(?:[ap]\s?\.?\s?m(?![A-Za-z])|o\s?['’]\s?clock)", re.IGNORECASE
)
_TIME_ASKED = re.compile(
    r"\bwhat\s+time|\btime\s+(?:of|is|was|will|did|does|do)\b|\bwhen\b|\bo['’]\s?clock|\bwhat\s+hour"
    r"|[0-9]\s*[ap]\.?\s?m\b|\bclock\b",
    re.IGNORECASE,
)


def is_other_thing(gold: str, answer: str, question: str) -> bool:
    """Return whether ``answer``, as written, names a time of day or a unit that the ``gold`` answer cannot mean.

    A bare gold number has the unit that the question asks for.
    """
    if _BARE.fullmatch(gold) is None:
        return _names_other_unit(gold, answer, question)
    return _is_idle_time(answer, question) or (bool(question) and _has_other_unit(gold, answer, question))


def _names_other_unit(gold: str, answer: str, question: str) -> bool:
    r"""Return whether gold answer and answer name different units of one kind: ``90^\circ`` is not 90 radians.

    Degrees and multiples of ``\pi`` in radians are compared by value, and not told apart here.
    """
    expected, gold_has_pi = _stated_by(gold)
    if not expected and not gold_has_pi:
        return False
    named, answer_has_pi = _named_units(answer), _PI.search(answer) is not None
    if not expected and answer_has_pi and "degree" not in question.casefold():
        expected = frozenset(("radians",))
    by_value = gold_has_pi != answer_has_pi and "radians" in named | expected
    return not by_value and _other_of_one_kind(expected, named)


@lru_cache(maxsize=2048)
def _stated_by(gold: str) -> tuple[frozenset[str], bool]:
    """Return the units that a gold answer names, and whether it is a multiple of π."""
    return _named_units(gold), _PI.search(gold) is not None


def _is_idle_time(answer: str, question: str) -> bool:
    """Return whether a time of day is stated that nobody asked for.

    Where no question is known, ``6:00`` is one, and ``6 p.m.`` is taken for what was asked for.
    """
    marked = _MARKED.search(answer) is not None
    if not marked and _CLOCK.search(answer) is None:
        return False
    return not (_TIME_ASKED.search(question) if question else marked)


def _has_other_unit(gold: str, answer: str, question: str) -> bool:
    """Return whether a unit behind the number is not one that is asked for, but one of the same kind."""
    asked = _asked_units(question)
    return bool(asked) and _ZERO.fullmatch(gold) is None and _other_of_one_kind(asked, _named_units(answer))


def _other_of_one_kind(expected: frozenset[str], named: frozenset[str]) -> bool:
    """Return whether units are named, all other than expected, and one at least of a kind that is expected."""
    kinds = {_KIND_OF[unit] for unit in expected}
    return named.isdisjoint(expected) and any(_KIND_OF[unit] in kinds for unit in named)


def _named_units(text: str) -> frozenset[str]:
    """Return the units that stand behind numbers."""
    if "°" in text or r"\circ" in text or r"\degree" in text:
        text = _DEGREE_SIGN.sub(" degrees ", text)
    if "egree" in text:
        text = _SCALE_OF_DEGREES.sub(lambda match: "celsius" if match[1] else "fahrenheit", text)
    text = write_digits(text)
    return frozenset(_SPELLINGS[(match[1] or "dollar").casefold()] for match in _NAMED.finditer(text))


@lru_cache(maxsize=2048)
def _asked_units(question: str) -> frozenset[str]:
    names = (name for match in _ASKED.finditer(question) for name in match.groups() if name)
    return frozenset(_SPELLINGS[name.casefold()] for name in names)
