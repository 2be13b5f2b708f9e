r"""Normal form of a final answer: one spelling for what LaTeX and models spell in many ways. Pure, linear.

The idea is that of the MATH data set's own checker (Hendrycks et al. 2021, arXiv 2103.03874, ``math_equivalence.py``):
two answers are equal if they are the same string after harmless differences of spelling are removed. The code and
the list of differences are ours:

- Unicode signs (minus, ×, π, ∞, ≤, ², …) become LaTeX; ``\dfrac``/``\tfrac``/``\cfrac`` or ``\leq``/``\leqslant`` get
  one name;
- math delimiters, ``\left``/``\right``, sizes, styles, colours and spacing commands go;
- units after a value go, in ``\text{}`` or as plain words from a list, with their power; so do ``$`` and ``^\circ``
  (not inside trigonometric functions, where 13° and 13 differ). ``a.m.``/``p.m.`` stay: they are not units, and
  neither are words that change the value (``5 squared``, ``5 lakh``); ``negative 5`` is ``-5``;
- a text that is the whole answer loses its ``\text{}``; ``and``/``or`` between values become a comma, ``5 million``
  becomes ``5\cdot10^{6}``, ``101\text{ (base two)}`` becomes ``101_{2}``; a leading ``=`` or ``\approx`` goes;
- repeating decimals: ``0.333...`` and ``0.\bar3`` are ``0.\overline{3}``;
- in numeric pools sentences go down to the number that they state, which may be in words;
- thousands separators go: ``1,234``, ``1{,}234``, ``1,\!234``, ``1\,234`` and ``1 234``; inside brackets only the
  typographic ones, because ``(1,234)`` is a point;
- one-token arguments get braces: ``\frac12``, ``\sqrt3``, ``x^2``, ``8_9``;
- white space goes, except where it separates a command from a letter or two numbers; closing punctuation goes.

``%`` stays; :mod:`roi_bench.grading.numerals` knows what it means.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from roi_bench.grading.answer_words import (
    NOT_ASKED,
    append_bases,
    asked_words,
    join_conjunctions,
    multiply_scales,
    name_bases,
    percent_signs,
    sign_words,
    strip_label,
    strip_letter_bases,
    strip_ordinals,
    strip_remarks,
    strip_texts,
    strip_units,
    write_digits,
)
from roi_bench.grading.sentences import stated

# Plain-text and Unicode notation → LaTeX: what models type where a book would set mathematics. Pure, linear.
#
# ``√(13)``, ``3√13``, ``∛5``, ``³√5``, ``⅓``, ``2½``, ``x⁴``, ``x⁻¹``, ``¹⁄₃``, ``a₁``; ``sqrt(51)``, ``cbrt(5)``,
# ``exp(16)``, ``abs(x)``; ``2*pi``, ``x**2``, ``2^10``, ``x^(n+1)``, ``x^-1``, ``3 x 10^5``; ``<=``, ``>=``, ``!=``,
# ``+/-``, ``infinity``, ``theta``, ``sin``, ``log`` and their like as words. Markdown marks around an answer
# (``**18**``, `` `18` ``) go.
#
# LaTeX sets ``2^10`` as 2¹0 and ``\sqrt12`` as √1 2, which no one means, so both take the whole number.

_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\ufe0e\ufe0f\u00ad"
_CURRENCIES = "€£¢¥₹₽₩₪₫₱฿₦₴₺₿￥￡￠"
_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ι": "iota",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
    "π": "pi",
    "ϕ": "phi",
    "ϑ": "theta",
    "ϵ": "epsilon",
    "ς": "sigma",
    "µ": "mu",
    "ℓ": "ell",
}
_FRACTIONS = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5)}
_FRACTIONS |= {"⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}
_FRACTIONS |= {"⅑": (1, 9), "⅒": (1, 10), "↉": (0, 3)}
_SIGNS = {
    "×": r"\cdot ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "•": r"\cdot ",
    "∗": "*",
    "÷": "/",
    "∕": "/",
    "∞": r"\infty ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "⩽": r"\le ",
    "⩾": r"\ge ",
    "≠": r"\ne ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "∠": r"\angle ",
    "≈": r"\approx ",
    "≅": r"\approx ",
    "≃": r"\approx ",
    "ℝ": r"\mathbb{R}",
    "…": r"\dots ",
    "⟨": r"\langle ",
    "“": '"',
    "”": '"',
    "⟩": r"\rangle ",
    "〈": r"\langle ",
    "〉": r"\rangle ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "，": ",",
    "、": ",",
    "。": ".",
    "：": ":",
    "’": "'",
    "‘": "'",
    "′": "'",
    "∨": r"\lor ",
    "∧": r"\land ",
    "∣": "|",
    "│": "|",
    "ⅈ": "i",
    "ⅇ": "e",
    "˙": "",
}
_MAP = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\u2015\ufe63\uff0d", "-")
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_INVISIBLE + _CURRENCIES, "")
    | {sign: rf"\{name} " for sign, name in _GREEK.items()}
    | {sign: rf"\frac{{{top}}}{{{bottom}}}" for sign, (top, bottom) in _FRACTIONS.items()}
    | _SIGNS
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in "，：－"}
)
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵃᵇᶜᵏᵐᵗʰˢᵈʳ", "0123456789+-()nixyabckmthsdr", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼ", "0123456789+-()aeoxhklmnpstij", strict=True))
_RAISED_MAP, _LOWERED_MAP = str.maketrans(_RAISED), str.maketrans(_LOWERED)
_RUN = f"[{''.join(_RAISED)}]+"
_LOW_RUN = f"[{''.join(_LOWERED)}]+"
_STACKED = re.compile(rf"([{''.join(_RAISED)[:10]}]+)[⁄/∕]([{''.join(_LOWERED)[:10]}]+)")
_INDEXED_ROOT = re.compile(rf"(?<![0-9A-Za-z)}}\]πθ])([{''.join(_RAISED)[2:10]}ⁿ]){{1}}√")
_RAISED_RUN, _LOWERED_RUN = re.compile(_RUN), re.compile(_LOW_RUN)
_ROOTS = {"√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] "}

_MARKS = re.compile(r"(\*{1,3}|_{1,3}|`{1,3}|\"|')(?=\S)(.*\S)\1", re.DOTALL)
_EXCHANGED = (
    (re.compile(r"(?<!\\)(?:\\text\s*\{\s*sqrt\s*\}|sqrt(?![a-z]))"), r"\\sqrt "),
    (re.compile(r"(?<!\\)cbrt(?![a-z])"), r"\\sqrt[3] "),
    (re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"(?<![A-Za-z\\])exp(?=\s*[({])"), r"\\exp "),
    (re.compile(r"(?<![A-Za-z\\])(a(?:rc)?)(sin|cos|tan)(?=\s*[({])"), r"\\arc\2 "),
    (re.compile(r"(?<![A-Za-z\\])log(2|10)(?=\s*\()"), r"\\log_{\1}"),
    (
        re.compile(r"(?<![A-Za-z\\])(sinh?|cosh?|tanh?|cot|csc|sec(?=\s*\()|ln|log)(?=\s*[({0-9A-Za-z\\^_])(?![a-z])"),
        r"\\\1 ",
    ),
    (re.compile(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])"), r"\\infty "),
    (re.compile(r"(?<![A-Za-z\\])(alpha|beta|gamma|delta|theta|lambda|omega|sigma|phi)(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"<\s*=|=\s*<"), r"\\le "),
    (re.compile(r">\s*="), r"\\ge "),
    (re.compile(r"(?<![0-9)\]}])!=|=/=|<>"), r"\\ne "),
    (re.compile(r"=="), "="),
    (re.compile(r"\+\s?/\s?-"), r"\\pm "),
    (re.compile(r"(?<=[0-9])\s*[xX]\s*(?=10\s*(?:\^|\*\*))"), r"\\cdot "),
    (re.compile(r"(?<=[^\s^{(,*])\s*\*\*\s*(?=[^\s}*])"), "^"),
    (re.compile(r"(?<=[^\s^{(,*])\s*(?<!\\)\*\s*(?=[^\s)},*])"), r"\\cdot "),
)
_PLAIN = re.compile(
    r"[*]|[<>=!/]\s?[<>=]|sqrt|cbrt|pi|exp|sin|cos|tan|cot|csc|sec|log|ln|inf|oo|alpha|beta|gamma|delta|theta|lambda|omega"
    r"|sigma|phi|[xX]\s*10|\+\s?/|=/="
)
_BRACKETED_NOTATION = re.compile(r"(\^|\\sqrt\s*(?:\[[^\[\]]*\])?|\\exp)\s*\(")
_ABSOLUTE = re.compile(r"(?<![A-Za-z\\])abs\s*\(")
_EXPONENTIAL = re.compile(r"\\exp\s*(?:(?=\{)|(\\?[A-Za-z]+|[0-9.]+))")
_WHOLE_NUMBER = re.compile(
    r"(\^|\\sqrt\s*(?:\[[^\[\]]*\])?)\s*((?<=\^)-?\s*[0-9]+(?:\.[0-9]+)?|(?<=\^ )-?\s*[0-9]+"
    r"|[0-9]+(?:\.[0-9]+)?)(?![0-9])"
)
_NEGATIVE_POWER = re.compile(r"\^\s*-\s*(\\?[A-Za-z]+|[0-9]+(?:\.[0-9]+)?)")


def strip_marks(text: str) -> str:
    """Remove markdown marks around all of ``text`` (bold, slanted, code), and quotation marks."""
    for _ in range(4):
        match = _MARKS.fullmatch(text)
        if match is None or match[1] in match[2]:
            break
        text = match[2].strip()
    return text


def to_latex(text: str) -> str:
    """Return ``text`` with Unicode and plain-text notation turned into LaTeX."""
    if not text.isascii():
        text = _from_unicode(text)
    if _PLAIN.search(text) is not None:
        for pattern, replacement in _EXCHANGED:
            text = pattern.sub(replacement, text)
    if "(" in text:
        text = _braced(text)
    if r"\exp" in text:
        text = _EXPONENTIAL.sub(lambda match: "e^" + (f"{{{match[1]}}}" if match[1] else ""), text)
    if "^" in text or r"\sqrt" in text:
        text = _WHOLE_NUMBER.sub(r"\1{\2}", text)
        text = _NEGATIVE_POWER.sub(r"^{-\1}", text)
    return text


def _from_unicode(text: str) -> str:
    text = _STACKED.sub(lambda m: rf"\frac{{{m[1].translate(_RAISED_MAP)}}}{{{m[2].translate(_LOWERED_MAP)}}}", text)
    text = _INDEXED_ROOT.sub(lambda match: rf"\sqrt[{match[1].translate(_RAISED_MAP)}] ", text)
    text = _RAISED_RUN.sub(lambda match: f"^{{{match[0].translate(_RAISED_MAP)}}}", text)
    text = _LOWERED_RUN.sub(lambda match: f"_{{{match[0].translate(_LOWERED_MAP)}}}", text)
    for sign, command in _ROOTS.items():
        text = text.replace(sign, command)
    text = text.translate(_MAP).replace("⁄", "/")
    if any(ord(character) >= 0x1D400 for character in text):  # letters and digits of mathematical alphabets
        text = "".join(unicodedata.normalize("NFKC", c) if 0x1D400 <= ord(c) <= 0x1D7FF else c for c in text).translate(
            _MAP
        )
    return text


def _braced(text: str) -> str:
    r"""Turn the parentheses behind ``^``, ``\sqrt`` and ``\exp`` into braces, and ``abs(…)`` into bars."""
    matches = {match.end() - 1: match[1] for match in _BRACKETED_NOTATION.finditer(text)}
    bars = {match.end() - 1: match.start() for match in _ABSOLUTE.finditer(text)}
    if not matches and not bars:
        return text
    pieces = list(text)
    open_at: list[int] = []
    for index, character in enumerate(text):
        if character == "(":
            open_at.append(index)
        elif character == ")" and open_at:
            start = open_at.pop()
            if start in matches:
                pieces[start], pieces[index] = "{", "}"
            elif start in bars:
                pieces[bars[start] : start + 1] = [""] * (start + 1 - bars[start])
                pieces[start] = pieces[index] = "|"
    return "".join(pieces)


MAX_ANSWER_CHARACTERS = 2000
"""Longer answers are not looked into (the longest real gold answer has fewer than 200 characters)."""


class Check(NamedTuple):
    """An answer to grade.

    Attributes:
        pool: The problem's pool.
        answer: The answer given.
        accepted: The accepted gold answers.
        question: The problem's question, or empty: what it asks for in dozens is a number of dozens.
    """

    pool: str
    answer: str
    accepted: tuple[str, ...]
    question: str = ""


_STYLES = ("left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "textstyle")
_SWITCHES = ("rm", "bf", "it", "sf", "tt", "em", "bfseries", "itshape", "large", "Large", "LARGE", "huge", "Huge")
_TEXTS = ("textbf", "textit", "textrm", "texttt", "textsf", "textnormal", "mbox", "hbox", "emph", "operatorname")
_FONTS = ("mathrm", "mathbf", "mathit", "mathsf", "mathtt", "boldsymbol", "bm", "pmb")
_NOTHING = ("limits", "boxed", "fbox", "underline", "uline", "$", "(", ")", "[", "]", "!")
_RENAMED = (
    dict.fromkeys((*_STYLES, *_SWITCHES, *_NOTHING), "")
    | dict.fromkeys((",", ";", ":", " ", ">", "\n", "\r", "\t", "quad", "qquad"), " ")
    | dict.fromkeys((*_TEXTS, *_FONTS), r"\text")
    | dict.fromkeys(("dfrac", "tfrac", "cfrac"), r"\frac")
    | dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|")
    | {"leq": r"\le", "leqslant": r"\le", "geq": r"\ge", "geqslant": r"\ge", "neq": r"\ne", "lt": "<", "gt": ">"}
    | {"times": r"\cdot", "ast": r"\cdot", "cdots": r"\dots", "ldots": r"\dots", "%": "%", "colon": ":", "&": " and "}
    | {"degree": r"^\circ", "varnothing": r"\emptyset", "infin": r"\infty"}
    | {"lor": " or ", "vee": " or ", "land": " and ", "wedge": " and ", "cosec": r"\csc", "tg": r"\tan"}
    | {"lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]"}
)
_BOLD = re.compile(r"(?<![0-9A-Za-z)}\]*])\*\*([^*\n]+)\*\*(?![0-9A-Za-z({\[*])")
_COLOR = re.compile(r"\\(?:textcolor|color|colorbox|fcolorbox\s*\{[^{}]*\})\s*(?:\[[^\]]*\]\s*)?\{[^{}]*\}")
_FONT = re.compile(r"\\(?:mathbf|mathit|boldsymbol|bm|pmb)\s*\{\s*([A-Za-z])\s*\}")
_SET = re.compile(rf"\\(?:{'|'.join((*_TEXTS, *_FONTS, 'text'))})\s*\{{")
_SET_TOKEN = re.compile(rf"{_SET.pattern}|\\.|[{{}}]", re.DOTALL)
_SWITCHED = re.compile(r"\{\s*\\(?:rm|bf|it|sf|tt|em|bfseries|itshape)(?![A-Za-z])\s*([^{}]*)\}")
_CHOOSE = re.compile(r"(?:\{|\A)([^{}]*?)\s*\\choose(?![A-Za-z])\s*([^{}]*?)(?:\}|\Z)")
_ROW_SKIP = re.compile(r"\\\\\*?\s*\[\s*-?[0-9.]+\s*(?:pt|pc|em|ex|mm|cm|in|mu)\s*\]")
_CONTROL = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"\s*\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})\s*[CF]?(?![A-Za-z])")
_TYPOGRAPHIC_COMMA = re.compile(r"(?<=[0-9])\s*(?:\{\s*,\s*\}|,\s*\\!|\\,(?=[0-9]{3}))\s*(?=[0-9])")
_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:,[0-9]{3})+|(?: [0-9]{3})+)(?![0-9]|,[0-9]|, ?[0-9])")
_SIMPLE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_CURRENCY = re.compile(
    r"\A\s*(-?)\s*(?:\\text\s*\{\s*(?:US|CA|AU|NZ|HK|SG|[ACS])?\s*\\?\$\s*\}|(?:US|CA|AU|NZ|HK|SG|[ACS])\s*\\?\$(?=\s*[0-9.])"
    r"|(?:USD|EUR|GBP|INR|JPY|CNY|RMB|CAD|AUD|CHF|Rs)\.?\s*(?=[0-9.\\$]))"
)
_BRACKETED = re.compile(r"\\[{}]|[()\[\]]")
_MIXED = re.compile(r"(?<![0-9./}])([0-9]{1,9})\s+([0-9]{1,9})\s*/\s*([0-9]{1,9})(?![0-9.])")
_CLOCK = re.compile(r"(?<=[0-9])\s*([AaPp])\.?\s?[Mm](?![A-Za-z])\.?")
_O_CLOCK = re.compile(r"(?<=[0-9])\s*o'\s?clock(?![A-Za-z])", re.IGNORECASE)
_PERIOD = re.compile(
    r"(?<=[0-9.])\\(?:(?:overline|bar)\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))|dot\s*\{?\s*([0-9])\}?(?![0-9]*\\dot))"
)
_ELLIPSIS = re.compile(
    r"(?<![0-9.])([0-9]{0,30}\.[0-9]{0,30}?)(?:([0-9])\2{2,}|([0-9]{2,12}?)\3+)\s*(?:\.(?:\s?\.){2,}|\\dots(?![A-Za-z]))"
)
_KEPT_SPACE = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])|([0-9.])\s+(?=[0-9.])|\s+")
_ARGUMENT = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_ARITY = {r"\frac": 2, r"\sqrt": 1, "^": 1, "_": 1}


@lru_cache(maxsize=8192)
def normalize_answer(answer: str, any_unit: bool = False, question: str = "") -> str:
    """Return the normal form of ``answer``.

    Args:
        answer: A final answer of at most :data:`MAX_ANSWER_CHARACTERS` characters; a longer one is only stripped.
        any_unit: Whether any words behind a value are units (numeric pools), not only listed ones.
        question: The problem's question, where known: a scale word that it asks for is a unit (*how many dozens*), and
            so is any word of it behind a number.
    """
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return answer.strip()
    if _SIMPLE.fullmatch(answer) is not None:
        return answer
    text = (write_digits(_BOLD.sub(r"\1", answer)) if any_unit else answer).strip().strip("$").strip()
    if text.startswith((r"\boxed{", r"\fbox{")):
        text = _unwrap_group(text[text.index("{") :])
    text = to_latex(strip_marks(text))
    text = _TYPOGRAPHIC_COMMA.sub("", _plain_type(text))
    text = _CONTROL.sub(_rename, _CURRENCY.sub(r"\1", text)).replace("~", " ").replace("$", "").replace("\x00", "")
    if "." in text:
        text = _name_periods(text)
    text = _unwrap_group(" ".join(text.split()))
    words = asked_words(question) if question else NOT_ASKED
    # Before the units go: 45^\circ,135^\circ are two numbers.
    text = append_bases(strip_texts(name_bases(strip_ordinals(percent_signs(_join_thousands(text)))), words))
    if _TRIGONOMETRIC.search(text) is None:
        text = _DEGREES.sub("", text)
    text = strip_label(strip_marks(text.strip()).lstrip(" ,;:#"))
    text = sign_words(stated(text, words) if any_unit else text)
    if ";" in text and _BRACKETED.search(text) is None:
        text = text.replace(";", ",")  # 2; 3; 5
    text = join_conjunctions(
        _CLOCK.sub(lambda match: f" {match[1].lower()}m", _O_CLOCK.sub(":00", text)).rstrip(" .,;:")
    )
    text = strip_units(multiply_scales(strip_remarks(text), words), any_unit, words).rstrip(" .,;:*/")
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _KEPT_SPACE.sub(lambda match: f"{match[1] or match[2]} " if match[1] or match[2] else "", text)
    text = _unwrap_group(_brace_arguments(text))
    return strip_letter_bases(text, words) if "_" in text else text


def _plain_type(text: str) -> str:
    """Remove colours, bold and slanted type, and the skips between the rows of a matrix."""
    if "\\" not in text:
        return text
    text = _unset_formulas(text)
    if r"\choose" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _SWITCHED.sub(r"\\text{\1}", _FONT.sub(r" \1 ", _COLOR.sub("", text)))
    return _ROW_SKIP.sub(r"\\\\", text)


def _name_periods(text: str) -> str:
    r"""Give repeating decimals one spelling: ``0.\bar3`` and ``0.333...`` are ``0.\overline{3}``.

    Digits before an ellipsis repeat if one stands there three times, or a block of several twice.
    """
    if "\\" in text:
        text = _PERIOD.sub(lambda match: rf"\overline{{{match[1] or match[2] or match[3]}}}", text)
    if "..." in text or r"\dots" in text or ". ." in text:
        text = _ELLIPSIS.sub(lambda match: rf"{match[1]}\overline{{{match[2] or match[3]}}}", text)
    return text


def _unset_formulas(text: str) -> str:
    r"""Remove the type around formulas: ``\mathbf{\frac{5}{13}}`` is ``\frac{5}{13}``; words keep theirs."""
    if _SET.search(text) is None:
        return text
    parts: list[str] = []
    opened: list[tuple[int, bool]] = []  # where a brace stands among the parts, and whether it belongs to a type
    position = 0
    for match in _SET_TOKEN.finditer(text):
        parts.append(text[position : match.start()])
        position = match.end()
        if match[0] == "}" and opened:
            start, is_type = opened.pop()
            inner = "".join(parts[start + 1 :])
            if is_type and ("\\" in inner or "{" in inner):
                keep = text[position : position + 1] in ("^", "_")  # what is raised as a whole stays a group
                parts[start:] = ["{" if keep else "", inner]
                parts.append("}" if keep else "")
                continue
        elif match[0][-1] == "{":
            opened.append((len(parts), match[0] != "{"))
        parts.append(match[0])
    return "".join([*parts, text[position:]])


def _rename(match: re.Match[str]) -> str:
    name = match[1]
    new = _RENAMED.get(name)
    if new is None:
        return match[0]
    return new + " " if new[1:].isalpha() else new


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
