r"""Words in a final answer: units, "and"/"or", scale words such as million, number bases, remarks. Pure, linear.

The steps of :func:`roi_bench.answers.normalize_answer` that have to know English. All take and return LaTeX in which
every kind of text command is already called ``\text``.
"""

from __future__ import annotations

import re

_TENS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "quadrillion": 15}
_TENS |= {"tenth": -1, "hundredth": -2, "thousandth": -3, "millionth": -6}
_SCALE_WORD = r"(?:(?:hundred|thousand|million|billion)(?:th)?|trillion|quadrillion|tenth|dozen|gross)s?(?![A-Za-z])"
_DOZENS = {"dozen": 1, "gross": 2}
_LETTERS = {"k": " thousand ", "M": " million "}
_SCALE = re.compile(rf"(?:[\s-]*{_SCALE_WORD})+", re.IGNORECASE)
_SCALED = re.compile(rf"(?<=[0-9}})])(?:[\s-]*{_SCALE_WORD})+", re.IGNORECASE)

_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}(?:\s*\^\s*(?:\{\s*-?[0-9]\s*\}|-?[0-9]))?")
_PER = re.compile(r"(?:\bper\s+|/\s*)[A-Za-z]+", re.IGNORECASE)
_CONJUNCTION = re.compile(r"(?:\s*,)?\s+(?:and|or)\s")
_VARIABLES = frozenset("einxyz")
"""Letters that stay even in ``\\text{}`` behind a value: no unit is called so."""

_UNIT_WORD = (
    "degrees?|radians?|dollars?|cents?|percent|cm|mm|km|kg|gm|mg|ml|mph|ft|sq|cubic|square|squared|cubed|inch|inches|feet|"
    "foot|yards?|miles?|meters?|metres?|centimeters?|kilometers?|grams?|kilograms?|pounds?|ounces?|liters?|litres?|units?|"
    "gallons?|quarts?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|per|each|sec|min|hrs?|people|ways|students"
)
_UNITS = re.compile(rf"(?<=[0-9}})])\s*(?:(?:{_UNIT_WORD})(?:\s*\^\s*(?:\{{[23]\}}|[23]))?(?![A-Za-z0-9])[\s/.]*)+\Z")
_WORDS = re.compile(
    rf"(?<=[0-9}}).%])[\s/]*(?:(?:(?!(?<!per\s)(?<!/)(?i:{_SCALE_WORD}))[A-Za-z]{{2,}}|(?<=[\s/])[mgshlL])"
    r"(?:\s*\^\s*(?:\{[23]\}|[23]))?(?![A-Za-z0-9])[\s/.]*)+\Z"
)
_PARENTHESIZED = re.compile(r"(?<=[0-9}%])\s*\(([A-Za-z\s/.]*)\)\Z")

_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASES |= {"eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16}
_BASES |= {"binary": 2, "ternary": 3, "octal": 8, "decimal": 10, "hexadecimal": 16}
_BASE = re.compile(rf"(?:in)?\s*(?:base[\s:-]*)?([0-9]+|{'|'.join(_BASES)})")
_SUBSCRIPT = re.compile(r"_\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|\\text\s*\{([^{}]*)\})")
_TWO_DIGITS = re.compile(r"(?:(?<=[0-9)}])|(?<=[0-9][A-Z]))\s*_\s*([0-9]{2})(?![0-9])")
_SUBSCRIPT_MARKUP = re.compile(r"\\text(?![A-Za-z])|[{}()]|\s")
_BASE_NAMED = rf"(?:in\s+)?(?:base[\s-]*(?:[0-9]+|{'|'.join(_BASES)})|binary|ternary|octal|hexadecimal)(?![A-Za-z0-9])"
_BASE_SUFFIX = re.compile(rf"(?<=[0-9A-Z)}}])\s*(?:\(\s*({_BASE_NAMED})\s*\)|({_BASE_NAMED}))", re.IGNORECASE)
_BASE_TWICE = re.compile(r"_\s*\{?([0-9]+)\}?\s*_\{\1\}")
_BASE_TEXT = re.compile(r"base|binary|ternary|octal|hexadecimal", re.IGNORECASE)
_GROUPED_NUMERAL = re.compile(r"(?<![A-Za-z0-9)}\]^_])[({]\s*(-?[0-9][0-9A-Z.]*)\s*[)}]\s*(?=_)")
_REMARK = re.compile(
    r"(?:(?:\\approx|\\simeq|\\sim|=)(?![A-Za-z])\s*(?=.)"
    r"|(?:approximately|approx\.?|about|roughly|around|exactly)\s*(?=[-+0-9.\\(]))",
    re.IGNORECASE,
)


def strip_texts(text: str) -> str:
    r"""Remove units in ``\text{}`` behind a value; replace any other ``\text{}`` by its content.

    Scale words (``5\text{ million people}``) and bases (``101\text{ (base 2)}``) are not units: they stay.
    """
    parts: list[str] = []
    position, value = 0, False
    for match in _TEXT.finditer(text):
        before = text[position : match.start()]
        value = value or any(character.isalnum() for character in before)
        content = match[1].strip()
        word = content.replace(".", "").casefold()
        rest = text[match.end() :].lstrip()
        closing = not rest or rest[0] in ".,;)}]"
        parts.append(before)
        if not value or not closing or word in ("am", "pm", "and", "or") or _is_no_unit(content):
            parts.append(f" {match[1]} ")
            value = value or any(character.isdigit() for character in content)
        elif content in _LETTERS:
            parts.append(_LETTERS[content])
        elif (scale := _SCALE.match(content)) is not None and not before.rstrip().endswith("/"):
            parts.append(f" {scale[0]} ")
        position = match.end()
    return "".join([*parts, text[position:]])


def _is_no_unit(content: str) -> bool:
    if (
        content in _VARIABLES
        or any(character.isdigit() for character in content)
        or _BASE_TEXT.search(content) is not None
    ):
        return True
    return _SCALE.match(content) is None and _SCALE.search(_PER.sub("", content)) is not None


def join_conjunctions(text: str) -> str:
    """Replace ``and``/``or`` between values, with or without a comma before it, by a comma."""
    return _CONJUNCTION.sub(",", text)


def strip_remarks(text: str) -> str:
    r"""Remove ``=``, ``\approx``, ``approximately`` and the like from the beginning."""
    while (remark := _REMARK.match(text)) is not None:
        text = text[remark.end() :]
    return text


def multiply_scales(text: str) -> str:
    r"""Replace scale words behind a value by the power they stand for: ``5 million`` by ``5\cdot10^{6}``.

    A dozen becomes ``\cdot12^{1}``, so that a number remains one factor times one power.
    """
    return _SCALED.sub(_power, text)


def _power(match: re.Match[str]) -> str:
    words = re.findall("gross|[a-z]+?(?=s?(?![a-z]))", match[0].casefold())
    powers = ((base, [table[word] for word in words if word in table]) for base, table in ((10, _TENS), (12, _DOZENS)))
    return "".join(rf"\cdot{base}^{{{sum(exponents)}}}" for base, exponents in powers if exponents)


def strip_units(text: str, any_unit: bool) -> str:
    """Remove listed unit words (any words if ``any_unit``) from the end, also in parentheses: ``18 (eggs)``."""
    units = _WORDS if any_unit else _UNITS
    remark = _PARENTHESIZED.search(text)
    if remark is None:
        return units.sub("", text)
    value = text[: remark.start()]
    words = remark[1].strip()
    return value if not words or units.sub("", f"{value} {words}") == value else text


def name_bases(text: str) -> str:
    r"""Give subscripts one spelling: ``101_{\text{base }3}``, ``101_{three}`` and ``(101)_{(3)}`` are ``101_{3}``.

    ``101_12`` is meant as ``101_{12}``, though LaTeX sets it otherwise.
    """
    if "_" not in text:
        return text
    return _GROUPED_NUMERAL.sub(r"\1", _SUBSCRIPT.sub(_subscript, _TWO_DIGITS.sub(r"_{\1}", text)))


def _subscript(match: re.Match[str]) -> str:
    content = match[1] if match[1] is not None else match[2]
    plain = _SUBSCRIPT_MARKUP.sub("", content)
    base = _base(plain)
    if base is not None:
        return f"_{{{base}}}"
    return f"_{{{plain}}}" if r"\text" in content or match[1] is None else match[0]


def _base(name: str) -> str | None:
    match = _BASE.fullmatch(name.casefold())
    return None if match is None else str(_BASES.get(match[1], match[1]))


def append_bases(text: str) -> str:
    r"""Turn a base in words behind a numeral into its subscript: ``101 (base two)`` is ``101_{2}``."""
    text = _BASE_SUFFIX.sub(lambda match: f"_{{{_base(match[1] or match[2])}}}", text)
    return _BASE_TWICE.sub(r"_{\1}", text) if "_" in text else text
