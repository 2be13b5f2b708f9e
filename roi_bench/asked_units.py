r"""Whether an answer names something else than what the question asks for: a time of day, or another unit. Pure.

Units mean nothing to the grader, so ``5 cents`` would be right where five dollars are asked for; and ``6:00`` is six
only where a time is asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache

_KINDS = (
    ("dollars", "cents"),
    ("seconds", "minutes", "hours", "days", "weeks", "months", "years"),
    ("millimeters", "centimeters", "meters", "kilometers", "inches", "feet", "yards", "miles"),
    ("milligrams", "grams", "kilograms", "ounces", "pounds", "tons"),
    ("milliliters", "liters", "cups", "pints", "quarts", "gallons"),
)
_KIND_OF = {unit: kind for kind, units in enumerate(_KINDS) for unit in units}
_PLURALS = dict(zip(_KIND_OF, _KIND_OF, strict=True))
_PLURALS |= {re.sub("(met|lit)ers", r"\1res", name): unit for name, unit in _PLURALS.items()}
_SPELLINGS = _PLURALS | {name.removesuffix("s"): unit for name, unit in _PLURALS.items()}
_SPELLINGS |= {"inch": "inches", "foot": "feet", "in": "inches", "ft": "feet", "yd": "yards", "mi": "miles"}
_SPELLINGS |= {"mm": "millimeters", "cm": "centimeters", "m": "meters", "km": "kilometers", "ml": "milliliters"}
_SPELLINGS |= {"¢": "cents", "mg": "milligrams", "g": "grams", "kg": "kilograms"}
_SPELLINGS |= {"sec": "seconds", "secs": "seconds", "min": "minutes", "mins": "minutes", "hr": "hours", "hrs": "hours"}
_SPELLINGS |= {"oz": "ounces", "lb": "pounds", "lbs": "pounds", "penny": "cents", "pennies": "cents"}
_NAMES = "|".join(sorted(map(re.escape, _SPELLINGS), key=len, reverse=True))
_LONG = "|".join(sorted((name for name in _SPELLINGS if len(name) > 2 or name in ("cm", "km")), key=len, reverse=True))
_ASKED = re.compile(
    rf"\bhow\s+(?:many|much)\s+(?:(?!(?:an?|per|each|every)\s)[a-z]+\s+){{0,2}}?({_LONG})\b|\b(?:in|number\s+of)\s+(?:whole\s+)?({_LONG})\b"
    rf"|\b({_LONG})\s+(?:and|or)\s+({_LONG})\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?<=[0-9}}])[\s~\\,-]*(?:\\?(?:text|mathrm)\s*\{{\s*)?({_NAMES})(?![A-Za-z])|(\\\$)\s*[0-9.]", re.IGNORECASE
)
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
    """Return whether ``answer``, as written, names a time of day or a unit that a bare ``gold`` number cannot mean."""
    if _BARE.fullmatch(gold) is None:
        return False
    return _is_idle_time(answer, question) or (bool(question) and _has_other_unit(answer, question))


def _is_idle_time(answer: str, question: str) -> bool:
    """Return whether a time of day is stated that nobody asked for.

    Where no question is known, ``6:00`` is one, and ``6 p.m.`` is taken for what was asked for.
    """
    marked = _MARKED.search(answer) is not None
    if not marked and _CLOCK.search(answer) is None:
        return False
    return not (_TIME_ASKED.search(question) if question else marked)


def _has_other_unit(answer: str, question: str) -> bool:
    """Return whether a unit behind the number is not one that is asked for, but one of the same kind."""
    asked = _asked_units(question)
    if not asked:
        return False
    named = {_SPELLINGS[(match[1] or "dollar").casefold()] for match in _NAMED.finditer(answer)}
    return named.isdisjoint(asked) and bool({_KIND_OF[unit] for unit in named} & {_KIND_OF[unit] for unit in asked})


@lru_cache(maxsize=2048)
def _asked_units(question: str) -> frozenset[str]:
    names = (name for match in _ASKED.finditer(question) for name in match.groups() if name)
    return frozenset(_SPELLINGS[name.casefold()] for name in names)
