r"""Marks in a response that name a problem or forecast its level: headers in three ranks, names in a line, level tags.

- *Rank 1*: a line that starts with exactly ``###`` and ``Problem k``, in any case, bold and italics allowed. Anything
  may follow in the line (a colon, a title, a box).
- *Rank 2, marked*: ``#``, bold, italic, quote, list or LaTeX section marks around ``Problem k``, ``Problem #k``,
  ``Question k``, ``Exercise k``, ``Task k`` or the word for problem in another language (a closed list), a title behind
  allowed; behind list and quote marks alone only what may follow a bare header. ``### k/3`` is one too.
- *Rank 3, bare*: ``Problem k`` (or another of these words but Task) alone in its line, or followed by a colon, full
  stop, dash, parenthesis or ``/3``, never by a word.
- ``Solution to Problem k`` and ``Solution k`` (also Answer) are candidates of rank 2 or 3; when they count is the
  reader's to say.
- A header with ``#`` marks may be glued to the text before it: directly, or with a blank behind the end of a sentence,
  formula or box.
- *Name*: ``Problem j`` anywhere in a line, followed by a colon, dash, equals sign, bar, arrow, "is", "answer:" or "'s
  answer is"; it names what stands later in the same line, up to the end of the sentence.
- Runs of ``=``, arrows, shapes and pictures are marks as well; ``Problem1`` and ``Problem-1`` are ``Problem 1``,
  ``Prob.`` is a word for it; ``Solving`` may stand before it and ``Solution`` behind a bare one.
- *Label*: a line ``Problem:`` without a number, under which a single problem is asked (Problem needs a colon or marks).
- A number directly followed by a letter (``1a``, ``1_a``), or by a separator and another digit (``Problem 1.5``,
  ``Problem 1-3``), or by another number (``Problem 1 and 2``), names no single problem.
- Invisible characters (a byte order mark, a zero-width space) are blanks.
- A number outside 1…count names a problem that is not in this exam: number 0.

All functions take text whose lines end with line feeds.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

INVISIBLE = "\u200b-\u200f\u2060\ufeff"  # for a regular expression's character class
BLANK = rf"[ \t\u00a0{INVISIBLE}]"
_WORDS = (
    "problem|question|exercise|task|problema|probl[eè]me|probleem|aufgabe|pregunta|ejercicio|esercizio|exerc[ií]cio|"
    "exercice|quest[aã]o|opgave|zadanie|úloha|uppgift|soru|soal|bài(?:[ ]toán)?|feladat|tehtävä|oppgave|"
    "задача|задание|завдання|проблема|πρόβλημα|άσκηση|समस्या|प्रश्न|المسألة|مسألة|السؤال|مسئله|"
    "문제|問題|问题|題目|题目|問|โจทย์(?:ข้อที่)?"
)
_SOLUTIONS = "solution|answer"
_STARTS = "pqetaubzfosPQETAUBZFOSúÚзЗпПάΆπΠसपامم문โ问問題题第/\\\\"
_NUMBER = (
    r"(?P<number>[0-9]{1,9})(?!_{0,3}[0-9A-Za-z]|[.,\-\u2013][0-9]"
    rf"|[*_]{{0,3}}{BLANK}{{0,3}}(?:and|&|or|to|through|,){BLANK}{{0,3}}[*_]{{0,3}}(?:problem{BLANK}{{1,3}})?[0-9])"
)
_HASHES_TO_NUMBER = rf"(?:{BLANK}{{0,3}}(?:\#|no\.?|nr\.?|n°|№){BLANK}{{0,3}})?"
_SIGNS = "\u2190-\u21ff\u2460-\u24ff\u25a0-\u27bf\u2b00-\u2bff\ufe0f\U0001f300-\U0001faff"  # arrows, shapes, pictures
_MARK = (
    rf"\#{{1,6}}|[*_]{{1,3}}|>|[+\-\u2022\u00b7]|={{2,9}}|[{_SIGNS}]|[0-9]{{1,2}}[.)](?=[ \t])|"
    r"\\(?:(?:sub){0,2}section|paragraph|textbf|textit|emph|underline|large|Large|bf)\*?(?![a-z])\{?|[{\[\u3010]"
)
_HEADER = re.compile(
    rf"{BLANK}{{0,6}}(?P<marks>(?:(?:{_MARK}){BLANK}{{0,4}}){{0,4}})(?:"
    rf"(?:solving{BLANK}{{1,3}})?(?P<word>{_WORDS}|prob\.)(?:{BLANK}{{1,3}}|(?=\#|№)|(?<=[^\x00-\x7f])(?=[0-9])|(?<=problem)-?(?=[0-9])){_HASHES_TO_NUMBER}[*_]{{0,3}}{_NUMBER}"
    rf"|(?P<solution>{_SOLUTIONS}){BLANK}{{1,3}}(?P<to>(?:to|for|of){BLANK}{{1,3}}(?:the{BLANK}{{1,3}})?problem{BLANK}{{1,3}})?"
    rf"{_HASHES_TO_NUMBER}{_NUMBER.replace('number', 'solved')}"
    rf"|第{BLANK}?(?P<nth>[0-9一二三四五]){BLANK}?[题題問问道]"
    rf"|(?P<part>[0-9])/(?P<parts>[0-9])(?=[*_]{{0,3}}{BLANK}{{0,9}}(?:\n|\Z))"
    rf")",
    re.IGNORECASE,
)
_FIRST_LETTERS = (
    *("prob", "ques", "exer", "task", "aufg", "preg", "ejer", "eser", "opga", "zada", "úloh", "uppg", "soru", "soal"),
    *(
        "bài",
        "fela",
        "teht",
        "oppg",
        "зада",
        "завд",
        "проб",
        "πρόβ",
        "άσκη",
        "समस्",
        "प्रश",
        "المس",
        "مسأل",
        "مسئل",
        "السؤ",
    ),
    *("문제", "โจทย", "solu", "solv", "answ"),
)
"""First letters, at most four, of the words for problem and solution that have more than one."""

_FIRST_TWO = (
    *sorted({"".join(f"[{letter}{letter.upper()}]" for letter in letters[:2]) for letters in _FIRST_LETTERS}),
    r"\\[setulbpSETULBP]",
    "/[0-9]",  # a digit of k/3 is taken for a mark
    rf"[问問题題第](?:[0-9#№一二三四五题題目]|{BLANK})",
)
_BEGINNING = re.compile(
    rf"\n(?:{BLANK}|[#*_>+=\-\u2022\u00b70-9.)\[{{\u3010{_SIGNS}])*(?=[{_STARTS}])(?:{'|'.join(_FIRST_TWO)})"
)
"""The first two letters of a line behind its marks, where they are those of a header. Most lines do not match it."""

_ALL_FIRST_LETTERS = (*_FIRST_LETTERS, *"\\/问問题題第")

_OF_COUNT = rf"(?:{BLANK}{{0,3}}(?:/|of{BLANK}){BLANK}{{0,3}}(?P<of>[0-9]{{1,2}})(?![0-9A-Za-z]))?"
_TAIL = re.compile(
    rf"{_OF_COUNT}(?P<close>{BLANK}{{0,3}}[*_}}\]\u3011]{{0,4}})(?P<mark>{BLANK}{{0,3}}(?:[:.)\uff1a\u3001\u2013\u2014]|-(?!-))(?![0-9])[*_]{{0,3}})?",
    re.IGNORECASE,
)
_STRONG = re.compile(r"[#\\{\[\u3010]|={2}|[*_](?![ \t\u00a0*_])|[*_]{2,3}")
_PLAIN = re.compile(rf"problem{BLANK}{{1,3}}[*_]{{0,3}}[0-9]", re.IGNORECASE)
_SLASH = re.compile(r"/[0-9]")
_BARE_TAIL = re.compile(rf"{BLANK}{{0,9}}(?:\(|\||\n|solution{BLANK}{{0,3}}[:\n])", re.IGNORECASE)
_LABEL = re.compile(
    rf"^(?P<marks>{BLANK}{{0,3}}[#*]{{0,6}}{BLANK}{{0,3}}[*]{{0,3}})Problem(?P<tail>[:*]{{0,5}}){BLANK}{{0,9}}$",
    re.MULTILINE,
)
_GLUED = re.compile(rf"\#{{2,6}}{BLANK}{{0,3}}[*_]{{0,3}}problem{BLANK}{{1,3}}[0-9]", re.IGNORECASE)
_NAME = re.compile(
    rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z]_)(?<![0-9A-Za-z]__)[Pp](?i:roblem){BLANK}{{1,3}}\#?{_NUMBER}{_OF_COUNT}"
    rf"{BLANK}{{0,3}}[*_)]{{0,3}}(?:{BLANK}?\([^()\n]{{0,40}}\))?[*_]{{0,3}}(?:['\u2019]s)?"
    rf"(?:{BLANK}{{1,3}}(?i:(?:final{BLANK}{{1,3}})?answer))?{BLANK}{{0,3}}[*_]{{0,3}}{BLANK}{{0,3}}"
    rf"(?:[-=]+>|[:\uff1a=\u2013\u2014|\u2192\u21d2]|-+(?![0-9])|\$?\\(?i:(?:long)?(?:right)?(?:to|arrow))(?![a-z])\$?|(?i:is)(?![A-Za-z]))[*_]{{0,3}}"
)
_LEVEL = re.compile(r"<(?i:predicted_level>\s{0,8}level[ -]?([0-3])\s{0,8}</predicted_level>)")
_SENTENCE_END = re.compile(r"[.!?;](?=\s)|\u3002|\n")
_NUMERALS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5}
_QUOTES = "\n#`\"'\u201c\u2018"
_BEFORE_GLUED = ".!?)]}$*:;\u3002\uff01"


@dataclass(frozen=True, slots=True)
class Mark:
    """A name or level tag.

    Attributes:
        start: Offset of its first character.
        end: Offset just behind it.
        number: Problem number, 0 if it names none of this exam; for a level tag the level.
    """

    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Header:
    """A line that may head a problem.

    Attributes:
        start: Offset of its first character (of the line, where it is not glued to the text before it).
        end: Offset just behind it; a title or a box may follow in its line.
        number: Problem number, 0 if it names none of this exam.
        rank: 1 canonical, 2 marked, 3 bare.
        solution: ``solution`` or ``answer`` where only this word bears the number, else an empty text.
        is_label: The line is the label under which a single problem is asked, and bears no number.
    """

    start: int
    end: int
    number: int
    rank: int
    solution: str = ""
    is_label: bool = False


def find_headers(text: str, count: int) -> list[Header]:
    """Return the candidates for headers in ``text`` by start.

    Args:
        text: Any string.
        count: Number of problems of the exam.
    """
    lines = (_header_at(text, start, count) for start in _heading_lines(text))
    found = [header for header in lines if header is not None]
    if "##" in text:
        starts = {header.start for header in found}
        glued = [header for header in _glued(text, count) if header.start not in starts]
        found = sorted([*found, *glued], key=lambda header: header.start) if glued else found
    if count == 1 and "roblem" in text:
        labels = [
            Header(match.start(), match.end(), 0, 2, is_label=True)
            for match in _LABEL.finditer(text)
            if match["marks"].strip() or ":" in match["tail"]
        ]
        found = sorted([*found, *labels], key=lambda header: header.start) if labels else found
    return found


def _heading_lines(text: str) -> list[int]:
    """Return the starts of the lines that begin as a header does, behind its marks: most lines do not."""
    # With a line end before the text every line begins with one, and its offset there is that of the line here.
    text = "\n" + text
    return [
        match.start()
        for match in _BEGINNING.finditer(text)
        if text[match.end() - 2 : match.end() + 2].lower().startswith(_ALL_FIRST_LETTERS)
    ]


def _header_at(text: str, start: int, count: int) -> Header | None:
    match = _HEADER.match(text, start)
    if match is None:
        return None
    marks, word = match["marks"], match["word"]
    strong = _STRONG.search(marks) is not None
    if match["part"] is not None:
        whole = "#" in marks and int(match["parts"]) == count
        return Header(start, match.end(), _known(int(match["part"]), count), 2) if whole else None
    number = match["number"] or match["solved"] or match["nth"]
    tail = _TAIL.match(text, match.end())
    if tail is None:
        return None
    if (tail["of"] is None and _SLASH.match(text, match.end())) or (
        tail["of"] is not None and int(tail["of"]) != count
    ):
        return None
    if not strong and (tail["mark"] is None and _BARE_TAIL.match(text, tail.end()) is None):
        return None
    rank = 2 if marks.strip(f" \t\u00a0{chr(0x200B)}{chr(0xFEFF)}") else 3
    if rank == 3 and word is not None and word.casefold() == "task":
        return None
    hashes = marks.rstrip(" \t\u00a0*_\u200b\ufeff")
    if (
        hashes == "###"
        and word is not None
        and word.casefold() == "problem"
        and _PLAIN.match(text, match.start("word"))
    ):
        rank = 1
    solution = match["solution"].casefold() if match["solution"] is not None and match["to"] is None else ""
    digits = _NUMERALS.get(number) or int(number)
    return Header(start, tail.end(), _known(digits, count), rank, solution)


def _glued(text: str, count: int) -> list[Header]:
    found = []
    start = -1
    while (start := text.find("##", start + 1)) >= 0:
        if text[max(0, start - 1) : start] in _QUOTES or _GLUED.match(text, start) is None:
            continue
        before = text[max(0, start - 4) : start]
        stripped = before.rstrip(" \t\u00a0")
        if not stripped or stripped[-1] in _QUOTES:
            continue
        if stripped != before and stripped[-1] not in _BEFORE_GLUED:
            continue
        header = _header_at(text, start, count)
        if header is not None:
            found.append(header)
    return found


def _known(number: int, count: int) -> int:
    return number if 1 <= number <= count else 0


def find_names(text: str, count: int) -> list[Mark]:
    """Return every name of a problem in ``text``, headers included."""
    if "roblem" not in text and "ROBLEM" not in text and "roblem" not in text.lower():
        return []
    return [Mark(match.start(), match.end(), _known(int(match["number"]), count)) for match in _NAME.finditer(text)]


def find_levels(text: str) -> list[Mark]:
    """Return the level tags ``<predicted_level>Level-k</predicted_level>`` with k from 0 to 3."""
    return [Mark(match.start(), match.end(), int(match.group(1))) for match in _LEVEL.finditer(text)]


def nearest_names(text: str, offsets: list[int], names: list[Mark]) -> list[Mark | None]:
    """Return for each of the ``offsets`` the name that names it, or None.

    That is the nearest of the ``names`` before it in its own line, with no end of a sentence between the two.
    """
    if not names:
        return [None] * len(offsets)
    stops = [match.start() for match in _SENTENCE_END.finditer(text)]
    ends = [name.end for name in names]
    found: list[Mark | None] = []
    for offset in offsets:
        index = bisect_right(ends, offset) - 1
        name = names[index] if index >= 0 else None
        if name is not None and bisect_left(stops, offset) > bisect_left(stops, name.end):
            name = None
        found.append(name)
    return found
