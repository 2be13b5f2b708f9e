r"""Plain-text and Unicode notation → LaTeX: what models type where a book would set mathematics. Pure, linear.

``√(13)``, ``3√13``, ``∛5``, ``³√5``, ``⅓``, ``2½``, ``x⁴``, ``x⁻¹``, ``¹⁄₃``, ``a₁``; ``sqrt(51)``, ``cbrt(5)``,
``exp(16)``, ``abs(x)``; ``2*pi``, ``x**2``, ``2^10``, ``x^(n+1)``, ``x^-1``, ``3 x 10^5``; ``<=``, ``>=``, ``!=``,
``+/-``, ``infinity``, ``theta``, ``sin``, ``log`` and their like as words. Markdown marks around an answer
(``**18**``, `` `18` ``) go.

In LaTeX ``2^10`` is set as 2¹0 and ``\sqrt12`` as √1 2; nobody means that, so both take the whole number.
"""

from __future__ import annotations

import re
import unicodedata

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
_BRACKETED = re.compile(r"(\^|\\sqrt\s*(?:\[[^\[\]]*\])?|\\exp)\s*\(")
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
    matches = {match.end() - 1: match[1] for match in _BRACKETED.finditer(text)}
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
