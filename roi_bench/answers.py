r"""Normal form of a final answer: one spelling for what LaTeX and models spell in many ways. Pure, linear.

The idea is that of the MATH data set's own checker (Hendrycks et al. 2021, arXiv 2103.03874, ``math_equivalence.py``):
two answers are equal if they are the same string after harmless differences of spelling are removed. The code and
the list of differences are ours:

- Unicode signs (minus, ×, π, ∞, ≤, ², …) become LaTeX; ``\dfrac``/``\tfrac``/``\cfrac`` or ``\leq``/``\leqslant`` get
  one name;
- math delimiters, ``\left``/``\right``, sizes, styles and spacing commands go;
- units after a value go, in ``\text{}`` or as plain words from a list, with their power; so do ``$`` and ``^\circ``
  (not inside trigonometric functions, where 13° and 13 differ). ``a.m.``/``p.m.`` stay: they are not units;
- a text that is the whole answer loses its ``\text{}``; ``and``/``or`` between values become a comma;
- thousands separators go: ``1,234``, ``1{,}234``, ``1,\!234``, ``1\,234`` and ``1 234``; inside brackets only the
  typographic ones, because ``(1,234)`` is a point;
- one-token arguments get braces: ``\frac12``, ``\sqrt3``, ``x^2``, ``8_9``;
- white space goes, except where it separates a command from a letter or two numbers; closing punctuation goes.

``%`` stays; :mod:`roi_bench.numerals` knows what it means.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_ANSWER_CHARACTERS = 2000
"""Longer answers are not looked into (the longest real gold answer has fewer than 200 characters)."""

_UNICODE = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d", "-")
    | dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u202f\u3000", " ")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff€£¢", "")
    | {"×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "±": r"\pm "}
    | {"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset "}
    | {"°": r"^\circ ", "²": "^2", "³": "^3", "½": r"\frac12 ", "¼": r"\frac14 ", "¾": r"\frac34 ", "θ": r"\theta "}
    | {"，": ",", "’": "'"}
)
_STYLES = ("left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "textstyle")
_TEXTS = ("textbf", "textit", "textrm", "mathrm", "mathbf", "mathit", "mathsf", "mbox", "operatorname", "hbox")
_RENAMED = (
    dict.fromkeys((*_STYLES, "limits", "boxed", "fbox", "$", "(", ")", "[", "]", "!"), "")
    | dict.fromkeys((",", ";", ":", " ", ">", "\n", "\r", "\t", "quad", "qquad"), " ")
    | dict.fromkeys(_TEXTS, r"\text")
    | dict.fromkeys(("dfrac", "tfrac", "cfrac"), r"\frac")
    | dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|")
    | {"leq": r"\le", "leqslant": r"\le", "geq": r"\ge", "geqslant": r"\ge", "neq": r"\ne", "lt": "<", "gt": ">"}
    | {"times": r"\cdot", "ast": r"\cdot", "cdots": r"\dots", "ldots": r"\dots", "%": "%", "colon": ":"}
    | {"degree": r"^\circ", "varnothing": r"\emptyset", "infin": r"\infty", "lor": ",", "vee": ","}
    | {"lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]"}
)
_CONTROL = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}(?:\s*\^\s*(?:\{\s*-?[0-9]\s*\}|-?[0-9]))?")
_DEGREES = re.compile(r"\s*\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})\s*[CF]?(?![A-Za-z])")
_TYPOGRAPHIC_COMMA = re.compile(r"(?<=[0-9])\s*(?:\{\s*,\s*\}|,\s*\\!|\\,(?=[0-9]{3}))\s*(?=[0-9])")
_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:,[0-9]{3})+|(?: [0-9]{3})+)(?![0-9]|,[0-9]|, ?[0-9])")
_BRACKETED = re.compile(r"\\[{}]|[()\[\]]")
_MIXED = re.compile(r"(?<![0-9./}])([0-9]{1,9})\s+([0-9]{1,9})\s*/\s*([0-9]{1,9})(?![0-9.])")
_CONJUNCTION = re.compile(r",?\s(?:and|or)\s")
_UNIT_WORD = (
    "degrees?|radians?|dollars?|cents?|percent|cm|mm|km|kg|gm|mg|ml|mph|ft|sq|cubic|square|squared|cubed|inch|inches|feet|"
    "foot|yards?|miles?|meters?|metres?|centimeters?|kilometers?|grams?|kilograms?|pounds?|ounces?|liters?|litres?|units?|"
    "gallons?|quarts?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|per|each|sec|min|hrs?|people|ways|students"
)
_UNITS = re.compile(rf"(?<=[0-9}})])\s*(?:(?:{_UNIT_WORD})(?:\s*\^\s*(?:\{{[23]\}}|[23]))?(?![A-Za-z0-9])[\s/.]*)+\Z")
_WORDS = re.compile(
    r"(?<=[0-9}).%])[\s/]*(?:(?:[A-Za-z]{2,}|(?<=[\s/])[mgshlL])(?:\s*\^\s*(?:\{[23]\}|[23]))?(?![A-Za-z0-9])[\s/.]*)+\Z"
)
_CLOCK = re.compile(r"(?<=[0-9])\s*([AaPp])\.?\s?[Mm](?![A-Za-z])\.?")
_KEPT_SPACE = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])|([0-9.])\s+(?=[0-9.])|\s+")
_ARGUMENT = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_ARITY = {r"\frac": 2, r"\sqrt": 1, "^": 1, "_": 1}


@lru_cache(maxsize=4096)
def normalize_answer(answer: str, any_unit: bool = False) -> str:
    """Return the normal form of ``answer``.

    Args:
        answer: A final answer of at most :data:`MAX_ANSWER_CHARACTERS` characters; a longer one is only stripped.
        any_unit: Whether any words behind a value are units (numeric pools), not only listed ones.
    """
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return answer.strip()
    text = _TYPOGRAPHIC_COMMA.sub("", answer.strip().translate(_UNICODE))
    text = _CONTROL.sub(_rename, text).replace("~", " ").replace("$", "").replace("\x00", "")
    text = " ".join(text.split())
    # Before the units go: 45^\circ,135^\circ are two numbers.
    text = _strip_texts(_join_thousands(text))
    if _TRIGONOMETRIC.search(text) is None:
        text = _DEGREES.sub("", text)
    text = _CONJUNCTION.sub(",", _CLOCK.sub(r" \1m", text).lstrip(" ,;:").rstrip(" .,;:"))
    text = (_WORDS if any_unit else _UNITS).sub("", text).rstrip(" .,;:*")
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _KEPT_SPACE.sub(lambda match: f"{match[1] or match[2]} " if match[1] or match[2] else "", text)
    return _unwrap_group(_brace_arguments(text))


def _rename(match: re.Match[str]) -> str:
    name = match[1]
    new = _RENAMED.get(name)
    if new is None:
        return match[0]
    return new + " " if new[1:].isalpha() else new


def _strip_texts(text: str) -> str:
    """Remove units in ``\\text{}`` behind a value; replace any other ``\\text{}`` by its content."""
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
        if word in ("and", "or"):
            parts.append(",")
        elif not value or not closing or word in ("am", "pm") or any(character.isdigit() for character in content):
            parts.append(f" {match[1]} ")
            value = value or any(character.isdigit() for character in content)
        position = match.end()
    return "".join([*parts, text[position:]])


def _join_thousands(text: str) -> str:
    """Remove thousands separators outside brackets."""
    parts: list[str] = []
    position = depth = 0
    for match in [*_BRACKETED.finditer(text), None]:
        stop = len(text) if match is None else match.start()
        piece = text[position:stop]
        parts.append(
            piece if depth else _THOUSANDS.sub(lambda group: group[0].replace(",", "").replace(" ", ""), piece)
        )
        if match is not None:
            parts.append(match[0])
            depth = max(0, depth + (1 if match[0][-1] in "([{" else -1))
            position = match.end()
    return "".join(parts)


def _brace_arguments(text: str) -> str:
    r"""Put braces around one-token arguments of ``\frac``, ``\sqrt``, ``^`` and ``_``."""
    parts: list[str] = []
    wanted = [0]  # arguments still to come, by brace depth
    optional = False  # inside the [n] of a root
    for match in _ARGUMENT.finditer(text):
        piece = match[0]
        if piece == " " and wanted[-1]:
            continue
        if optional or (piece == "[" and parts and parts[-1] == r"\sqrt"):
            optional = piece != "]"
        elif piece == "{":
            wanted[-1] = max(0, wanted[-1] - 1)
            wanted.append(0)
        elif piece == "}":
            if len(wanted) > 1:
                wanted.pop()
        elif piece in _ARITY:
            wanted[-1] = max(0, wanted[-1] - 1) + _ARITY[piece]
        elif wanted[-1]:
            wanted[-1] -= 1
            piece = "{" + piece + "}"
        parts.append(piece)
    return "".join(parts)


def _unwrap_group(text: str) -> str:
    """Remove one pair of braces around the whole text."""
    if not (text.startswith("{") and text.endswith("}")):
        return text
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:-1] if index == len(text) - 1 else text
    return text
