"""Marks in the text of a response, each found in one linear pass: boxes, code, reasoning, headers, level tags."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Marks in the text of a response: final-answer boxes, code, visible reasoning. Each is found in one linear pass.

_SPACE = " \t\r\n\u00a0"
_COMMAND = r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])"
_TOKEN = re.compile(rf"{_COMMAND}|\\.|[{{}}]", re.DOTALL)
_UNBRACED = re.compile(
    rf"(?!{_COMMAND})(?:[(\[+\-\u2212\u00b1]|\\\{{){{0,4}}"
    rf"(?:\.?[0-9]|(?!{_COMMAND})\\{{1,2}}[A-Za-z]|[\u03c0\u221a\u221e]|(?i:n/?a|n\.a\.?)(?![A-Za-z]))"
)
_UNBRACED_TOKEN = re.compile(rf"({_COMMAND}|\\[)\]\s]|\\\\(?![A-Za-z])|[\s$`])|\\.|[()\[\]{{}}]", re.DOTALL)
_UNBRACED_LENGTH = 200
_LONGEST_PLACEHOLDER = 40
_PLACEHOLDERS = frozenset({"", "answer", "youranswer", "finalanswer", "theanswer", "yourfinalanswer", "answerhere"})
_PLACEHOLDER_MARKS = re.compile(r"\\(?:text|textbf|mathrm|l?dots|cdots)(?![A-Za-z])|[\s{}.\u2026_<>\[\]*?]")
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Box:
    r"""One box.

    Attributes:
        start: Offset of its backslash.
        end: Offset just behind it (the end of the text for a cut box).
        content: Its content, outer white space stripped; None for a cut box.
    """

    start: int
    end: int
    content: str | None


@dataclass(frozen=True, slots=True)
class _Span:
    """Offsets of a complete box; its text is extracted only once it is known to be an outermost one."""

    start: int
    end: int
    content_start: int
    content_end: int


def find_boxes(text: str, barriers: Sequence[int] = ()) -> list[Box]:
    """Return the outermost boxes of ``text`` by start, which do not overlap; takes time linear in ``text``.

    Args:
        text: Any string.
        barriers: Ascending offsets (of header lines) that no box may span.
    """
    spans: list[_Span] = []
    open_boxes: list[int] = []
    if (position := _first_line(text)) < 0:
        return []
    for limit in [*barriers, len(text)]:
        open_boxes = _scan(text, position, limit, spans)
        position = max(position, limit)
    boxes = []
    for span in spans:
        content = text[span.content_start : span.content_end].strip()
        if content and (len(content) > _LONGEST_PLACEHOLDER or _bare_words(content) not in _PLACEHOLDERS):
            boxes.append(Box(span.start, span.end, content))
    if open_boxes and not (boxes and boxes[-1].start > open_boxes[-1]):
        boxes.append(Box(open_boxes[-1], len(text), None))  # the innermost open box, with no complete box inside
    return boxes


def _first_line(text: str) -> int:
    """Return the start of the line with the first name of a command, -1 if there is none: most text needs no scan."""
    places = [place for name in ("boxed", "fbox") if (place := text.find(name)) >= 0]
    return text.rfind("\n", 0, min(places)) + 1 if places else -1


def _bare_words(content: str) -> str:
    return _PLACEHOLDER_MARKS.sub("", content).casefold()


def _scan(text: str, position: int, limit: int, spans: list[_Span]) -> list[int]:
    """Append the complete boxes of ``text[position:limit]`` to ``spans``; return the starts of those left open."""
    stack: list[tuple[int, int] | None] = []  # an open brace: (box start, content start), None for a plain brace
    while (token := _TOKEN.search(text, position, limit)) is not None:
        position = token.end()
        kind = token.group()
        if kind == "{":
            stack.append(None)
        elif kind == "}":
            opened = stack.pop() if stack else None
            if opened is not None:
                _close_box(text, _Span(opened[0], position, opened[1], position - 1), spans)
        elif len(kind) > 2:
            argument = _skip_space(text, position, limit)
            if argument == limit or text[argument] == "{":
                position = min(argument + 1, limit)
                stack.append((token.start(), position))
            elif _UNBRACED.match(text, argument, limit) and not _LINE_END.search(text, position, argument):
                # Only the command is stepped over: braces inside the argument are counted like any others.
                end = _unbraced_end(text, argument, limit)
                spans.append(_Span(token.start(), end, argument, end))
    return [opened[0] for opened in stack if opened is not None]


def _skip_space(text: str, position: int, limit: int) -> int:
    # At most 64 characters, so that boxes separated from their braces by long blanks cost nothing.
    stop = min(limit, position + 64)
    while position < stop and text[position] in _SPACE:
        position += 1
    return position


def _unbraced_end(text: str, start: int, limit: int) -> int:
    """Return where the unbraced argument from ``start`` ends."""
    end = min(limit, start + _UNBRACED_LENGTH)
    braces = brackets = 0
    for token in _UNBRACED_TOKEN.finditer(text, start, end):
        kind = token.group()
        braces += (kind == "{") - (kind == "}")
        brackets += (kind in ("(", "[")) - (kind in (")", "]"))
        if token.group(1) is not None or braces < 0 or brackets < 0:
            end = token.start()
            break
    return start + len(text[start:end].rstrip(".,;:!?*"))


def _close_box(text: str, box: _Span, spans: list[_Span]) -> None:
    """Append ``box`` in place of the boxes inside it; if one box fills it, with that box's content."""
    inner = None
    count = 0
    while spans and spans[-1].start > box.start:
        inner = spans.pop()
        count += 1
    # Linear: what is read here lies outside the inner box, which is gone now, so that no outer box reads it again.
    if (
        inner is not None
        and count == 1
        and not text[box.content_start : inner.start].strip()
        and not text[inner.end : box.content_end].strip()
    ):
        box = _Span(box.start, box.end, inner.content_start, inner.content_end)
    spans.append(box)


_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([A-Za-z0-9+#._-]{0,20})[^\n]*", re.MULTILINE)
_TEXT_LANGUAGES = frozenset({"", "markdown", "md", "text", "txt", "plaintext", "plain", "latex", "tex", "math"})
_FIRST_IS_HEADER = re.compile(r"\s{0,20}#{3}[ \t]*[*_]{0,3}problem[ \t]+[0-9]", re.IGNORECASE)
_HEADER_BEHIND_BLANK_LINE = re.compile(r"\n[ \t]*\n[ ]{0,3}###[ \t]*[*_]{0,3}(?i:problem)[ \t]+[0-9]")


def find_code(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` offsets of the code in ``text``, ascending and disjoint, fences included.

    Args:
        text: Any string whose lines end with line feeds.
    """
    if "```" not in text and "~~~" not in text:
        return []
    spans: list[tuple[int, int]] = []
    opened: tuple[int, str] | None = None
    seen = 0  # no header ends the open code before this offset
    wrapped = False
    first_visible = len(text) - len(text.lstrip())
    for fence in _fences(text):
        marks, language = fence[1], fence[2].casefold()
        bare = not fence[0].strip(" \t`~")
        if opened is not None:
            start, opening = opened
            header = _HEADER_BEHIND_BLANK_LINE.search(text, seen, fence.start())
            seen = max(seen, fence.start() - 1)
            if header is not None:
                spans.append((start, header.start() + 1))
                opened = None
            elif bare and marks.startswith(opening):
                spans.append((start, fence.end()))
                opened = None
                continue
            else:
                continue
        if wrapped and bare:
            wrapped = False
        elif language in _TEXT_LANGUAGES and (
            fence.start() <= first_visible or _FIRST_IS_HEADER.match(text, fence.end()) is not None
        ):
            wrapped = True
        else:
            opened, seen = (fence.start(), marks), fence.end()
    if opened is not None:
        header = _HEADER_BEHIND_BLANK_LINE.search(text, seen)
        spans.append((opened[0], len(text) if header is None else header.start() + 1))
    return spans


def _fences(text: str) -> Iterator[re.Match[str]]:
    """Yield the fences by start."""
    starts = set()
    for marks in ("```", "~~~"):
        place = text.find(marks)
        while place >= 0:
            starts.add(text.rfind("\n", 0, place) + 1)
            place = text.find("\n", place)
            place = -1 if place < 0 else text.find(marks, place)
    return filter(None, (_FENCE.match(text, start) for start in sorted(starts)))


_KNOWN = re.compile(r"[<\[](/?)think(?:ing)?[>\]]", re.IGNORECASE)

_INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)[^`\n]+\1(?!`)")

Spans = tuple[tuple[int, int], ...]
"""``(start, end)`` offsets, ascending and disjoint."""


def find_reasoning(
    text: str, starts_in_reasoning: bool = False, think_tags: Sequence[tuple[str, str]] = ()
) -> tuple[Spans, bool]:
    """Return the reasoning spans of ``text``, and whether it has a closing tag where none was open.

    Args:
        text: Any string.
        starts_in_reasoning: The prompt ended inside an open block.
        think_tags: Further pairs of opening and closing tags, as written.
    """
    tags = _tags(text, think_tags)
    if not tags and not starts_in_reasoning:
        return (), False
    spans, stray = [], False
    code = [match.span() for match in _INLINE_CODE.finditer(text)] if "`" in text else []
    opened = 0 if starts_in_reasoning else None
    for start, end, closing in tags:
        if opened is None and _within(start, code):
            continue
        if not closing:
            opened = start if opened is None else opened
        elif opened is None:
            stray = True
        else:
            spans.append((opened, end))
            opened = None
    if opened is not None and opened < len(text):
        spans.append((opened, len(text)))
    return tuple(spans), stray


def _within(offset: int, spans: list[tuple[int, int]]) -> bool:
    index = bisect_right(spans, (offset, offset)) - 1
    return index >= 0 and offset < spans[index][1]


def _tags(text: str, think_tags: Sequence[tuple[str, str]]) -> list[tuple[int, int, bool]]:
    """Return ``(start, end, closes)`` of every tag, ascending."""
    found = [(match.start(), match.end(), bool(match[1])) for match in _known_tags(text)]
    if not think_tags:
        return sorted(found)
    own = {tag: closing for pair in think_tags for tag, closing in zip(pair, (False, True), strict=True) if tag}
    own = {tag: closing for tag, closing in own.items() if _KNOWN.fullmatch(tag) is None}
    if own:
        pattern = re.compile("|".join(re.escape(tag) for tag in sorted(own, key=len, reverse=True)))
        found += [(match.start(), match.end(), own[match[0]]) for match in pattern.finditer(text)]
    return sorted(found)


def _known_tags(text: str) -> Iterator[re.Match[str]]:
    """Yield the usual tags; a text has few angle brackets, so each is checked by itself."""
    for bracket in "<[":
        place = text.find(bracket)
        while place >= 0:
            if text[place + 1 : place + 2] in "/tT" and (match := _KNOWN.match(text, place)) is not None:
                yield match
            place = text.find(bracket, place + 1)


def hide_spans(text: str, spans: Spans) -> str:
    """Return ``text`` with every character of the ``spans`` replaced by a line feed, so that offsets stay valid."""
    parts, place = [], 0
    for start, end in spans:
        parts += [text[place:start], "\n" * (end - start)]
        place = end
    return "".join([*parts, text[place:]])


# Marks in a response that name a problem or forecast its level: headers in three ranks, names in a line, level tags.
#
# - *Rank 1*: a line that starts with exactly ``###`` and ``Problem k``, in any case, bold and italics allowed. Anything
#   may follow in the line (a colon, a title, a box).
# - *Rank 2, marked*: ``#``, bold, italic, quote, list or LaTeX section marks around ``Problem k``, ``Problem #k``,
#   ``Question k``, ``Exercise k``, ``Task k`` or the word for problem in another language (a closed list), a title
#   behind allowed; behind list and quote marks alone only what may follow a bare header. ``### k/3`` is one too.
# - *Rank 3, bare*: ``Problem k`` (or another of these words but Task) alone in its line, or followed by a colon, full
#   stop, dash, parenthesis or ``/3``, never by a word.
# - ``Solution to Problem k`` and ``Solution k`` (also Answer) are candidates of rank 2 or 3; when they count is the
#   reader's to say.
# - A header with ``#`` marks may be glued to the text before it: directly, or with a blank behind the end of a
#   sentence, formula or box.
# - *Name*: ``Problem j`` anywhere in a line, followed by a colon, dash, equals sign, bar, arrow, "is", "answer:" or "'s
#   answer is"; it names what stands later in the same line, up to the end of the sentence.
# - Runs of ``=``, arrows, shapes and pictures are marks as well; ``Problem1`` and ``Problem-1`` are ``Problem 1``,
#   ``Prob.`` is a word for it; ``Solving`` may stand before it and ``Solution`` behind a bare one.
# - *Label*: a line ``Problem:`` without a number, under which a single problem is asked (Problem needs a colon or
#   marks).
# - A number directly followed by a letter (``1a``, ``1_a``), or by a separator and another digit (``Problem 1.5``,
#   ``Problem 1-3``), or by another number (``Problem 1 and 2``), names no single problem.
# - Invisible characters (a byte order mark, a zero-width space) are blanks.
# - A number outside 1…count names a problem that is not in this exam: number 0.
#
# All functions take text whose lines end with line feeds.

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
        solution: ``solution`` or ``answer`` where the number follows this word only, else an empty text.
        is_label: The line is the label of a single problem and has no number.
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
    """Return where lines begin like a header, after its marks; most lines do not."""
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
    """Return for each of the ``offsets`` the name that belongs to it, or None.

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
