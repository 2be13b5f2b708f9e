r"""Numbers in words and in short: ``twenty-one`` is 21, ``five (5)`` is 5, ``$1.2k`` is 1.2 thousand. Pure, linear."""

from __future__ import annotations

import re

_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL_NUMBERS = {word: value for value, word in enumerate(_UNITS.split())}
SMALL_NUMBERS |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)}
"""The words for whole numbers below a hundred that are one word, and their values."""

_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = rf"(?:{'|'.join(sorted((*SMALL_NUMBERS, *_LARGE, 'hundred'), key=len, reverse=True))})(?![A-Za-z])"
_RUN = re.compile(
    rf"(?<![A-Za-z\\'’-])(?:(an?)\s+(?=dozen|gross)|(?:a\s+(?=hundred|thousand|million|billion))?{_WORD}"
    rf"(?:(?:\s*-\s*|\s+and\s+|\s+){_WORD})*)(?!['’]|\s*-\s*[A-Za-z]|\s+of\b)",
    re.IGNORECASE,
)
_SMALL = "|".join(SMALL_NUMBERS)
_NAMED = re.compile(
    r"(\b(?:the|these|those|his|her|their|our|my|its|all|both|each|every|any|this|that|other|last|first|next|in|after|for|within"
    rf"|during|over|on|per|at|below)\s+)?(?<![A-Za-z-])(?:{_SMALL})(?![A-Za-z]|-[A-Za-z])(?<!\bone(?=\sof\b))",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(rf"\s*(?:{_SMALL})\s+(?=[A-Za-z])(?!(?:{_SMALL}|and|or)\b)", re.IGNORECASE)
_LAST = re.compile(rf"(?<![A-Za-z])(?:{_SMALL})\s*\Z", re.IGNORECASE)
_GLOSS = re.compile(r"\s*\(\s*([0-9]+)\s*\)")
_GLOSSED = re.compile(r"(?<![0-9.,])([0-9]+)\s*\(\s*([A-Za-z]+(?:[\s-]+[A-Za-z]+)*)\s*\)")
_DIGIT = re.compile(r"[0-9]")
_SHORT_MONEY = re.compile(r"(?<=\$)(\s*[0-9][0-9,.]*)(k|m|mn|mil|b|bn)(?![A-Za-z0-9$])", re.IGNORECASE)
_SHORT = re.compile(r"(?<=[0-9])k(?![A-Za-z0-9$^_{])", re.IGNORECASE)
_SHORT_NAMES = {"k": "thousand", "m": "million", "b": "billion"}


def number_of_words(words: str) -> int | None:
    """Return the value of a whole number in words (``one hundred and five``), or None."""
    total = group = 0
    scale_above = 10**12
    found = re.split(r"[\s-]+", words.strip().casefold())
    if found == ["zero"]:
        return 0
    for position, word in enumerate(found):
        small = SMALL_NUMBERS.get(word)
        if word == "and" and position and found[position - 1] in ("hundred", *_LARGE):
            continue
        if word == "a" and position == 0 and len(found) > 1:
            group = 1
        elif small:
            if group % (10 if small < 10 else 100) or (small < 10 and group % 100 == 10):
                return None
            group += small
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif word in _LARGE and group and _LARGE[word] < scale_above:
            scale_above = _LARGE[word]
            total, group = total + group * scale_above, 0
        else:
            return None
    return total + group


def write_digits(text: str) -> str:
    r"""Write the number of ``text`` in digits, if it has one in words and none in digits, or the same in both.

    Short forms become words: ``1.2k`` is ``1.2 thousand``; millions and billions so only behind a dollar sign.
    """
    if len(text) > 1 and _DIGIT.search(text) is not None:
        text = _SHORT_MONEY.sub(lambda match: f"{match[1]} {_SHORT_NAMES[match[2][0].casefold()]}", text)
        text = _SHORT.sub(" thousand", text)
        text = _GLOSSED.sub(lambda match: match[1] if number_of_words(match[2]) == int(match[1]) else match[0], text)
        return text if "(" not in text else _drop_glosses(text)
    runs = list(_RUN.finditer(text))
    if len(runs) != 1:
        return text
    value = 1 if runs[0][1] else number_of_words(runs[0][0])
    return text if value is None else f"{text[: runs[0].start()]}{value}{' ' * bool(runs[0][1])}{text[runs[0].end() :]}"


def _drop_glosses(text: str) -> str:
    """Write ``five (5)`` as 5."""
    for run in reversed(list(_RUN.finditer(text))):
        gloss = _GLOSS.match(text, run.end())
        if gloss is not None and number_of_words(run[0]) == int(gloss[1]):
            text = f"{text[: run.start()]}{gloss[1]}{text[gloss.end() :]}"
    return text


def names_number(words: str, behind: bool = False) -> bool:
    """Return whether ``words`` name a number that does not only tell of whom or when: ``the two``, ``in two days``.

    Args:
        words: Words before or behind a number.
        behind: Whether they stand behind it, so that a number word at once belongs to a noun: 18 ``one dollar bills``.
    """
    if behind:
        adjective = _ADJECTIVE.match(words)
        words = words if adjective is None else words[adjective.end() :]
    elif _LAST.search(words) is not None:
        return True
    return any(match[1] is None for match in _NAMED.finditer(words))
