r"""Words in a final answer: units, "and"/"or", scale words such as million, number bases, remarks. Pure, linear.

The steps of :func:`grading.answers.normalize_answer` that have to know English. All take and return LaTeX in which
every kind of text command is already called ``\text``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Numbers in words and in short: ``twenty-one`` is 21, ``five (5)`` is 5, ``$1.2k`` is 1.2 thousand. Pure, linear.

_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen
"""
_TENS_OF_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL_NUMBERS = {word: value for value, word in enumerate(_UNITS.split())}
SMALL_NUMBERS |= {word: 10 * tens for tens, word in enumerate(_TENS_OF_WORDS.split(), 2)}
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
    """Return whether ``words`` name a number, other than in phrases of whom or when: ``the two``, ``in two days``.

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


_TENS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "quadrillion": 15}
_TENS |= {"tenth": -1, "hundredth": -2, "thousandth": -3, "millionth": -6}
_SCALE_WORD = r"(?:(?:hundred|thousand|million|billion)(?:th)?|trillion|quadrillion|tenth|dozen|gross)s?(?![A-Za-z])"
_DOZENS = {"dozen": 1, "gross": 2}
_LETTERS = {"k": " thousand ", "M": " million "}
_SCALE = re.compile(rf"(?:[\s-]*{_SCALE_WORD})+", re.IGNORECASE)
_SCALED = re.compile(rf"(?<=[0-9}})])(?:[\s-]*{_SCALE_WORD})+", re.IGNORECASE)

_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}(\s*\^\s*(?:\{\s*-?[0-9]\s*\}|-?[0-9]))?")
_PER = re.compile(r"(?:\bper\s+|/\s*)[A-Za-z]+", re.IGNORECASE)
_CONJUNCTION = re.compile(r"(?:\s*,)?\s+(and|or)\s")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])")
_VARIABLES = frozenset("einxyz")
"""Letters that stay even in ``\\text{}`` behind a value: no unit is called so."""

_MEASURES = """
degree degrees deg radian radians celsius fahrenheit
dollar dollars buck bucks cent cents percent cm mm km kg gm mg ml cl mph kph kmh
ft sq cubic square squared cubed inch inches feet foot yard yards yd yds mile miles mi meter meters metre metres
centimeter centimeters centimetre centimetres millimeter millimeters kilometer kilometers kilometre kilometres gram
grams kilogram kilograms pound pounds lb lbs ounce ounces oz ton tons tonne tonnes liter liters litre litres unit
units gallon gallons quart quarts pint pints cup cups tablespoon tablespoons tbsp teaspoon teaspoons tsp second
seconds minute minutes hour hours day days week weeks month months year years per each sec secs min mins hr hrs acre
acres hectare hectares volt volts watt watts calorie calories mol usd eur gbp inr jpy euro euros rupee rupees yen
yuan peso pesos franc francs pence penny pennies nickel nickels dime dimes
"""
_COUNTED = """
people person persons ways way students student children child adult adults men man women woman boy boys girl girls
kids teacher teachers members teams team games game players player books book pages page apples apple oranges orange
eggs egg coins coin marbles marble balls ball boxes box bags bag cards card points point toys toy tickets ticket
pieces piece items item numbers number integers integer digits digit values value solutions solution elements
factors divisors multiples primes terms edges faces vertices sides diagonals triangles squares rectangles circles
lines regions paths routes arrangements permutations combinations outcomes choices possibilities pairs sets subsets
groups rows columns tiles blocks cubes steps times trips votes words letters questions problems matches rounds trees
flowers plants animals dogs dog cats cat birds fish cows horses chickens sheep cars trucks buses bikes wheels seats
rooms houses shelves bottles cans jars slices cakes cookies candies pencils pens stamps stickers beads shirts shoes
meals intersections zeros roots functions sequences
"""
_UNIT_WORDS = frozenset((_MEASURES + _COUNTED).split())
"""Units and things counted: after a number they are ignored, as are the words of the question."""

_NUMBER_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|hundred|half|power|third|fourth"
)
_CHANGING = re.compile(
    r"\A\s*(?:(?:squared|cubed|tens|scores?|lakhs?|lacs?|crores?|bn|mn|tn|mil|bil|mln|myriads?|factorial|half|halves|thirds|fourths"
    r"|(?:fif|six|seven|eigh|nin|eleven|twelf|(?:thir|four|fif|six|seven|eigh|nine)teen|twentie|thirtie|fortie|fiftie)ths"
    r"|doubled|tripled|quadrupled|halved|negatives?)(?![A-Za-z])"
    rf"|(?:plus|minus|times|point|over|without|less|except|excluding|(?:divided|multiplied)\s+by|to\s+the)\s+(?:{_NUMBER_WORD})(?![A-Za-z])"
    r"|(?:percents?|per\s+cent)\s+off(?![A-Za-z])|(?:[A-Za-z]+\s+){0,3}?below(?:\s+(?:zero|freezing)|\s*\Z))",
    re.IGNORECASE,
)
"""Words behind a number that change its value, and so are no units: ``5 squared``, ``5 lakh``, ``5 below zero``."""
_RELATING = re.compile(
    r"\bthan\b|\btimes\s+(?:as|more|less|fewer|the|that|his|her|their|its|what|larger|bigger|greater|smaller|older|higher)\b",
    re.IGNORECASE,
)
"""Words behind a number that only relate something to something else: ``5 more than``, ``5 times as many``."""
_RESTRICTING = re.compile(
    r"\bat\s+(?:the\s+)?(?:very\s+)?(?:least|most|best|worst|minimum|maximum)\b|\bor\s+(?:so|more|less|fewer|thereabouts)\b"
    r"|\A\s*(?:is|was|does|would|can|could|seems)\s*(?:not|n't|never|wrong|incorrect|impossible|false|too)\b|\A\s*cannot\b"
    r"|\A\s*[A-Za-z]+\s+(?:is|are|was|were)\s+too\b|\bminus\b|\bplus\s+(?:an?|the|some|his|her|their)\b|\b(?:divided|multiplied)\s+by\b"
    r"|\bmod(?:ulo)?\b",
    re.IGNORECASE,
)
"""Words behind a number that make it a bound, or take it back."""
_NEVER_UNITS = frozenset(("squared", "cubed", "factorial", "negative", "negatives", "plus", "minus", "times", "point"))
"""Those of them that are no units even where the question has the word."""
_PERCENT_OFF = re.compile(r"\s*%\s*off(?![A-Za-z])", re.IGNORECASE)
_PERCENT_WORD = re.compile(
    r"(?<=[0-9})])\s*-?(?:\\text\s*\{\s*per\s?cents?\s*\}|per\s?cents?(?![A-Za-z])(?!\s+off(?![A-Za-z])))",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"(?:(?<=\A)|(?<=[=,(:])|(?<=\bis))\s*(?:negative|minus)\s+(?=[0-9.\\])", re.IGNORECASE)

_GLUE = frozenset(["of", "in", "the", "per", "a", "an", "for", "by", "at", "total", "altogether", "each"])
_TRAILING = re.compile(
    r"(?:(?<=[0-9})%])|(?<=\\pi)(?=\s))(\s*)((?:[A-Za-z]+(?:\s*\^\s*(?:\{[23]\}|[23]))?(?![A-Za-z0-9])[\s/.-]*)+)\Z"
)
_PLAIN_WORD = re.compile(r"[A-Za-z]+")
_WORDS = re.compile(
    rf"(?<=[0-9}}).%])[\s/]*(?:(?:(?!(?<!per\s)(?<!/)(?i:{_SCALE_WORD}))[A-Za-z]{{2,}}|(?<=[\s/0-9])[mgshlL])"
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


_MATHEMATICS = re.compile(r"\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[A-Za-z]+", re.DOTALL)
_SCALE_NAMES = "dozen|gross|hundred|thousand|million|billion|trillion"
_ASKED_SCALE = re.compile(
    rf"\bhow\s+many\s+(?:[a-z]+\s+)??({_SCALE_NAMES})s?\b|\bin\s+(?:the\s+|units\s+of\s+)?({_SCALE_NAMES})s\b"
    rf"|\bnumber\s+of\s+({_SCALE_NAMES})s\b|\bin\s+({_SCALE_NAMES})s?\s+of\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:(?:so|thus|hence|therefore|and)[,\s]+)*"
    r"(?:(?:the\s+|my\s+|our\s+)?(?:(?:final|correct|exact|numerical)\s+)*(?:answer|ans|result|solution|value|total)\b\.?"
    r"(?:\s+(?:is|are|equals)\b\s*:?|\s*[:=])|[A-Za-z]{2,}(?:\s+[A-Za-z]+)*\s*:(?!=))\s*(?=\S)",
    re.IGNORECASE,
)
_UNIT_TEXT = r"\s*\\text\s*\{[A-Za-z\s.]*\}\s*(?:\^\s*\{?[0-9]\}?\s*)?"
_UNIT_QUOTIENT = re.compile(rf"(?<=[0-9}}\s])\\frac\s*\{{{_UNIT_TEXT}\}}\s*\{{{_UNIT_TEXT}\}}")
_PER_TEXT = re.compile(r"/\s*\\text")
_COMPARISON_ASKED = re.compile(
    r"\bhow\s+(?:many|much)\s+(?:[a-z]+\s+){0,2}?(?:more|less|fewer|older|younger|taller|shorter|longer|heavier|lighter|cheaper|faster"
    r"|slower|bigger|larger|smaller|greater|higher|lower|further|farther|closer|earlier|later|warmer|colder|hotter|wider|deeper)\b"
    r"|\bhow\s+many\s+times\b|\bdifference\b",
    re.IGNORECASE,
)
_WHICH = re.compile(r"\b(?:which|what)\s+([A-Za-z]+)", re.IGNORECASE)
_BASE_LETTER = re.compile(r"\bbase[\s-]*\$?([a-z])\b", re.IGNORECASE)
_LETTER_BASE = re.compile(r"(?<![0-9A-Za-z.^{])(-?[0-9]+)_\{([A-Za-z])\}")
_ENDING = r"(st|nd|rd|th)"
_ORDINAL = re.compile(
    rf"(?<![0-9.])([0-9]+)\s*(?:\^\s*(?:\{{\s*\\text\s*\{{\s*{_ENDING}\s*\}}\s*\}}|\{{\s*{_ENDING}\s*\}}"
    rf"|\\text\s*\{{\s*{_ENDING}\s*\}})|\\text\s*\{{\s*-?{_ENDING}\s*\}}|-?{_ENDING}(?![A-Za-z]))"
)


@dataclass(frozen=True, slots=True)
class AskedWords:
    """The units that a question asks for in its answer.

    Attributes:
        scales: Scale words that are its units: ``dozen`` where it asks how many dozens.
        words: All its words of at least three letters, in lower case.
        bases: Letters that it calls the base of a numeral.
        compares: Whether it asks how much more or less something is, or how many times as much.
        numbered: Nouns of which it asks for the number of one: ``day`` where it asks on which day.
    """

    scales: frozenset[str]
    words: frozenset[str]
    bases: frozenset[str]
    compares: bool = False
    numbered: frozenset[str] = frozenset()


NOT_ASKED = AskedWords(frozenset(), frozenset(), frozenset("b"))
"""For an unknown question."""


@lru_cache(maxsize=2048)
def asked_words(question: str) -> AskedWords:
    """Return what ``question`` says of the units of its answer."""
    plain = _MATHEMATICS.sub(" ", question)
    scales = {name.casefold() for match in _ASKED_SCALE.finditer(plain) for name in match.groups() if name}
    words = {word.casefold() for word in _PLAIN_WORD.findall(plain) if len(word) > 2}
    words -= {"and", "not", "sqrt", "sin", "cos", "tan", "log", "mod"}
    return AskedWords(
        frozenset(scales),
        frozenset(words),
        NOT_ASKED.bases | set(_BASE_LETTER.findall(question)),
        _COMPARISON_ASKED.search(plain) is not None,
        frozenset(map(str.casefold, _WHICH.findall(plain))),
    )


def strip_ordinals(text: str) -> str:
    r"""Remove the ending of an ordinal number, if it is the right one: ``12^{\text{th}}``, ``21st``."""
    return _ORDINAL.sub(_cardinal, text)


def _cardinal(match: re.Match[str]) -> str:
    number, ending = match[1], next(group for group in match.groups()[1:] if group)
    teen = len(number) > 1 and number[-2] == "1"
    return number if ending == ("th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")) else match[0]


def strip_letter_bases(text: str, asked: AskedWords) -> str:
    """Remove the base of a numeral if it is only a letter that stands for a base, and so says nothing: ``100100_b``."""
    return _LETTER_BASE.sub(lambda match: match[1] if match[2] in asked.bases else match[0], text)


def strip_label(text: str) -> str:
    """Remove what introduces an answer: ``The final answer is``, ``Total cost:``."""
    match = _LABEL.match(text)
    return text if match is None else text[match.end() :]


def changes_value(words: str, asked: AskedWords) -> bool:
    """Return whether ``words`` behind a number make it another number; a word that the question has is a unit."""
    if (
        (not asked.compares and _RELATING.search(words))
        or _RESTRICTING.search(words)
        or names_number(words, behind=True)
    ):
        return True
    match = _CHANGING.match(words)
    if match is None:
        return False
    found = _PLAIN_WORD.findall(match[0].casefold())
    return not asked.words.intersection(found) or not _NEVER_UNITS.isdisjoint(found)


def percent_signs(text: str) -> str:
    r"""Replace ``percent`` behind a value by its sign; ``20\% off`` is said in words, because 80 % is what is left."""
    if "%" in text:
        text = _PERCENT_OFF.sub(" percent off", text)
    return _PERCENT_WORD.sub("%", text)


def sign_words(text: str) -> str:
    """Replace ``negative`` and ``minus`` in front of a number by the sign that they mean."""
    return _NEGATIVE.sub("-", text)


def strip_texts(text: str, asked: AskedWords = NOT_ASKED) -> str:
    r"""Remove units in ``\text{}`` behind a value; replace any other ``\text{}`` by its content.

    Scale words (``5\text{ million people}``) and bases (``101\text{ (base 2)}``) are not units: they stay.
    """
    text = _UNIT_QUOTIENT.sub(r"\\text{per}", text)
    parts: list[str] = []
    position, value = 0, False
    for match in _TEXT.finditer(text):
        before = text[position : match.start()]
        value = value or any(character.isalnum() for character in before)
        content = match[1].strip()
        word = content.replace(".", "").casefold()
        rest = text[match.end() :].lstrip()
        closing = not rest or rest[0] in ".,;)}]" or _PER_TEXT.match(rest) is not None
        parts.append(before)
        if not value or not closing or word in ("am", "pm", "and", "or") or _is_no_unit(content, asked):
            parts.append(f" {match[1]} " if match[2] is None else f" {match[1]}{match[2]}")  # a power of no unit stays
            value = value or any(character.isdigit() for character in content)
        elif content in _LETTERS:
            parts.append(_LETTERS[content])
        elif (scale := _SCALE.match(content)) is not None and not before.rstrip().endswith("/"):
            parts.append("" if _is_asked(scale[0], asked) else f" {scale[0]} ")
        position = match.end()
    return "".join([*parts, text[position:]])


def _is_no_unit(content: str, asked: AskedWords) -> bool:
    if changes_value(content, asked):
        return True
    if (
        content in _VARIABLES
        or "\\" in content
        or any(character.isdigit() for character in content)
        or _BASE_TEXT.search(content) is not None
    ):
        return True
    return _SCALE.match(content) is None and _SCALE.search(_PER.sub("", content)) is not None


def join_conjunctions(text: str) -> str:
    r"""Replace ``and``/``or`` between values, with or without a comma before it, by a comma.

    Between inequalities they become the sign of the intersection or union that they mean.
    """
    if _INEQUALITY.search(text) is not None:
        return _CONJUNCTION.sub(lambda match: r"\cup " if match[1] == "or" else r"\cap ", text)
    return _CONJUNCTION.sub(",", text)


def strip_remarks(text: str) -> str:
    r"""Remove ``=``, ``\approx``, ``approximately`` and the like from the beginning."""
    while (remark := _REMARK.match(text)) is not None:
        text = text[remark.end() :]
    return text


def multiply_scales(text: str, asked: AskedWords = NOT_ASKED) -> str:
    r"""Replace scale words behind a value by the power they stand for: ``5 million`` by ``5\cdot10^{6}``.

    A dozen becomes ``\cdot12^{1}``, so that a number remains one factor times one power. A scale word that the question
    asks for is a unit.
    """
    return _SCALED.sub(lambda match: "" if _is_asked(match[0], asked) else _power(match), text)


def _is_asked(scale: str, asked: AskedWords) -> bool:
    return bool(asked.scales) and scale.strip(" -").casefold().removesuffix("s") in asked.scales


def _power(match: re.Match[str]) -> str:
    words = re.findall("gross|[a-z]+?(?=s?(?![a-z]))", match[0].casefold())
    powers = ((base, [table[word] for word in words if word in table]) for base, table in ((10, _TENS), (12, _DOZENS)))
    return "".join(rf"\cdot{base}^{{{sum(exponents)}}}" for base, exponents in powers if exponents)


def strip_units(text: str, any_unit: bool, asked: AskedWords = NOT_ASKED) -> str:
    """Remove units from the end, also in parentheses: ``18 (eggs)``.

    Units are listed words and the words of the question, or any words if ``any_unit``.
    """
    remark = _PARENTHESIZED.search(text)
    if remark is None:
        return _without_words(text, asked) if any_unit else _without_units(text, asked)
    value = text[: remark.start()]
    words = remark[1].strip()
    whole = f"{value} {words}"
    stripped = _without_words(whole, asked) if any_unit else _without_units(whole, asked)
    return value if not words or stripped == value else text


def _without_words(text: str, asked: AskedWords) -> str:
    match = _WORDS.search(text)
    return text if match is None or changes_value(match[0], asked) else text[: match.start()]


def _without_units(text: str, asked: AskedWords) -> str:
    match = _TRAILING.search(text)
    if match is None or changes_value(match[2], asked):
        return text
    words = _PLAIN_WORD.findall(match[2])
    known = [word.casefold() in _UNIT_WORDS for word in words]
    if not known[0] and not match[1]:
        return text  # 18abc is a product
    if all(
        unit or (position > 0 and word.casefold() in _GLUE) or word.casefold() in asked.words
        for position, (word, unit) in enumerate(zip(words, known, strict=True))
    ):
        return text[: match.start()]
    return text


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
