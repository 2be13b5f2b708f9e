r"""Answers and skips outside boxes: answer lines, and NA in a header line or as a section's first line.

An answer line (SPEC section 5) is a line, sentence or bold run that begins with Answer, Final answer, "The (final)
answer is" or one of their translations (a closed list), or with ``####``, ``A:`` or an ``<answer>`` tag. A connective
(So, Thus, Therefore …) may stand before it.

- The answer runs to the first end of a sentence, to "because" or "since", or to the line's end. If nothing stands there
  it is the next line that holds more than marks (at most :data:`_FAR` characters further on).
- A line that names a problem ("The answer to problem 2 is 7") answers only that problem.
- ``<answer>`` tags, bold marks and closing punctuation are not part of the answer.
- After ``####`` and ``A:`` it must be one number or formula without words (``#### Step 2`` is a heading).
- A line cut off by the budget does not count.

All functions take text whose lines end with line feeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from roi_bench.reading.marks import BLANK

_FAR = 200
"""Characters behind an opener within which the line of its answer begins."""

_LONGEST = 300
_LAST_LINES = 800
"""Characters at the end of a long section that are looked at first."""

_SKIP_NOISE = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|bf|rm)(?![A-Za-z])|[\s${}*_\"'`\\().]"
)
_SKIPS = frozenset({"na", "n/a"})
_SKIPS_IN_WORDS = _SKIPS | {"skip", "skipped", "skipping"}

_STEM = (
    rf"(?:(?:so|thus|hence|therefore|finally|then|and|consequently),?{BLANK}{{1,3}}){{0,2}}"
    rf"(?:(?:the|my|our){BLANK}{{1,3}})?(?:(?:final|correct|required|desired){BLANK}{{1,3}})?answer"
)
_TRANSLATED = (
    r"(?:la[ ])?respuesta(?:[ ]final)?|(?:la[ ])?r[ée]ponse(?:[ ]finale)?|(?:die[ ])?(?:endg[üu]ltige[ ])?antwort|"
    r"endergebnis|"
    r"(?:la[ ])?risposta(?:[ ]finale)?|(?:a[ ])?resposta(?:[ ]final)?|(?:het[ ])?(?:definitieve[ ])?antwoord|"
    r"(?:ostateczna[ ])?odpowied[źz]|odpov[ěe][ďd]|svar(?:et)?|(?:nihai[ ])?cevap|"
    r"(?:đáp[ ](?:án|số)|câu[ ]trả[ ]lời)"
    r"(?:[ ]cuối[ ]cùng)?|"
    r"jawaban(?:[ ]akhir)?|(?:окончательный[ ])?ответ|відповідь|(?:τελική[ ])?απάντηση|(?:अंतिम[ ])?उत्तर|"
    r"(?:الإجابة|الجواب)(?:[ ]النهائية|[ ]النهائي)?|"
    r"(?:最[终終後后]的?)?答案|答|(?:最終的?な?)?(?:答え|解答|回答)|(?:최종[ ])?(?:정답|답변|답)"
)
_HINTS = (
    *("answer", "####", "a:", "a\uff1a", "respuesta", "réponse", "reponse", "antwo", "endergebnis", "sposta", "odpo"),
    *("svar", "cevap", "đáp", "câu trả", "jawaban", "ответ", "відповідь", "απάντηση", "उत्तर", "الإجابة", "الجواب"),
    *("答", "정답", "답"),
)
"""Every opener of an answer line holds one of these, in lower case."""

_ASCII_HINTS = tuple(hint for hint in _HINTS if hint.isascii())
_LETTERS_OF_HINTS = "\uff1aéđảтпάउج答답"
"""Every hint that is not ASCII holds one of these."""

_VERB = r"is|are|was|es|est|lautet|ist|è|é|to|är|là|adalah|是|为|為|は|은|는"
_ABOUT = rf"(?:{BLANK}(?:to|for|of){BLANK}[^\n:.=]{{1,60}}?)?"
_WORDED = (
    rf"(?:{_STEM}{_ABOUT}|{_TRANSLATED})[*_}}]{{0,4}}{BLANK}{{0,3}}"
    rf"(?:[:\uff1a=]|[\u2013\u2014-](?={BLANK})|(?:{_VERB})(?![A-Za-z])[:\uff1a]?|(?={BLANK}{{0,9}}(?:\n|\Z)))"
)
_CLOSED = rf"[^<]{{1,{_LONGEST}}}</answer>"
_STRICT = r"(?P<strict>\#{4}(?!\#)|A[:\uff1a])"
_BULLETS = (
    rf"(?:{BLANK}|[#>*_+\u2022`|-]|\\(?:textbf|textit|text|section|subsection|paragraph)\*?\{{|\\boxed(?=\n)){{0,12}}?"
)
_OPENER = rf"(?:{_WORDED}|<answer>)"
# Where no line begins, each alternative starts with one of a few characters: the expression is tried at every offset.
_ANSWER = re.compile(
    rf"^(?:{BLANK}{{0,6}}{_STRICT}|{_BULLETS}{_OPENER})"
    rf"|\*\*{_OPENER}|{BLANK}(?<=[.!?:;)\]}}$*\\]{BLANK}){BLANK}{{0,2}}{_OPENER}|<answer>",
    re.IGNORECASE | re.MULTILINE,
)
_TAG_CLOSED = re.compile(_CLOSED, re.IGNORECASE)
_OPENER_HERE = re.compile(rf"{_BULLETS}(?:{_WORDED}|<answer>(?={_CLOSED}))", re.IGNORECASE)
_NO_OPENER = "0123456789$("
"""No opener begins with one of these: looking for it costs more than all else about a short answer."""

_NOISE = re.compile(r"(?:</?answer>|[\s*_`$#:>]|\\[\[\]()])*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z|</answer>)|\u3002|</answer>", re.IGNORECASE)
_ABBREVIATION = re.compile(
    r"(?:approx|\bca|\bno|\ba\.m|\bp\.m|\bi\.e|\be\.g|\bvs|\bmrs?|\bms|\bdr|\bst)\Z", re.IGNORECASE
)
_REASON = re.compile(rf"(?<=\S),?{BLANK}(?:because|since)(?![A-Za-z])")
_PROBLEM = r"(?:problem|question|exercise|task)"
_OTHER = re.compile(
    rf"{_PROBLEM}{BLANK}{{1,3}}(?:\#|no\.?)?{BLANK}{{0,3}}(?P<number>[0-9]{{1,3}})(?![0-9])"
    rf"|(?P<nth>first|second|third){BLANK}{{1,3}}{_PROBLEM}(?![a-z])",
    re.IGNORECASE,
)
_NTH = {"first": 1, "second": 2, "third": 3}
_BEFORE = re.compile(r"(?:[\s:\uff1a]|</?answer>|[*_]{1,3}(?=\s|[^*_]))*", re.IGNORECASE)
_COMMAND = re.compile(r"\\(?:begin|end)\{[A-Za-z]+\*?\}|\\[A-Za-z]+|sqrt|pi|sin|cos|tan|log|ln|exp", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_QUANTITY = re.compile(r"[$€£]?[-+]?[0-9][0-9.,/]*%?(?:[ ][A-Za-z]+){0,2}")
_WORD = re.compile(r"[^\W\d_]{2}")

_REMARKS = frozenset(
    {
        *("correct", "right", "wrong", "incorrect", "clear", "complete", "below", "above", "obvious", "unknown"),
        *("given", "not", "the", "a", "as", "in", "found", "shown"),
    }
)
"""Words that say something of an answer and are none."""

_FIRST_LINES = 400
_LEVEL = re.compile(r"<predicted_level>[^<\n]{0,30}</predicted_level>", re.IGNORECASE)
_RULE = re.compile(r"\s*(?:[-*_=]{3,}|[`~]{3,}[A-Za-z]{0,20})?\s*")
_SKIPPED_IN_TITLE = re.compile(
    r"(?:^|[(\[\u2013\u2014:-])\s*(?:skip(?:ped)?|n/?a|n\.a\.?)\s*[)\]]?[\s.*_]*\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """An answer outside a box.

    Attributes:
        start: Offset of the answer's first character.
        end: Offset just behind its last one.
        text: The answer without the marks around it.
        place: Offset of its line, which decides its place in the order rule.
        named: The problem that the line names ("The answer to problem 2 is 7"), 0 if it names none.
    """

    start: int
    end: int
    text: str
    place: int
    named: int = 0

    def may_answer(self, number: int) -> bool:
        """Return whether the line may answer problem ``number``: it does not name another one."""
        return self.named in (0, number)


def is_skip(answer: str, words: bool = False) -> bool:
    r"""Return whether ``answer`` spells NA: ``NA``, ``N/A``, ``n.a.``, in any case, also in ``\text{}`` or bold.

    Args:
        answer: What stands in the box or line.
        words: ``skip`` and ``skipped`` spell it too (outside boxes).
    """
    return (
        len(answer) <= 100
        and not answer.isdecimal()
        and _SKIP_NOISE.sub("", answer).casefold() in (_SKIPS_IN_WORDS if words else _SKIPS)
    )


def is_formula(text: str) -> bool:
    """Return whether ``text`` is one number or formula without words."""
    return text.isdecimal() or (any(map(str.isalnum, text)) and _WORD.search(_COMMAND.sub(" ", text)) is None)


def is_bare_value(text: str) -> bool:
    """Return whether ``text`` is one number or formula without words, a quantity with its unit, or a skip."""
    return is_formula(text) or _QUANTITY.fullmatch(text) is not None or is_skip(text, words=True)


def _is_value(text: str) -> bool:
    """Return whether ``text`` can be an answer: it has a digit or a formula, or at most two words."""
    if any(map(str.isdigit, text)) or any(mark in text for mark in "$\\^=") or is_formula(text):
        return True
    words = text.casefold().split()
    return len(words) <= 2 and not _REMARKS.intersection(words)


def answer_lines(text: str, start: int, end: int, cut_off: bool) -> Iterator[AnswerLine]:
    """Yield the answer lines of ``text[start:end]`` in order.

    Args:
        text: Any string.
        start: Offset to search from.
        end: Offset to search to; no answer reaches beyond it.
        cut_off: The budget ended the text, so that a line ending with it is not whole.
    """
    return _lines_within(text, _hinted_lines(text, start, end), end, cut_off)


def _lines_within(text: str, lines: list[tuple[int, int]], end: int, cut_off: bool) -> Iterator[AnswerLine]:
    """Yield the answer lines that begin in ``lines``, ``(start, end)`` offsets in order."""
    seen = 0
    for line_start, line_stop in lines:
        for match in _ANSWER.finditer(text, line_start, line_stop):
            if match.end() < seen:
                continue  # this opener is part of the answer before it
            # ``<answer>`` opens an answer only if it is closed; the closing tag may be some lines below.
            if text[match.end() - 1] == ">" and _TAG_CLOSED.match(text, match.end(), end) is None:
                continue
            strict = match["strict"] is not None
            span = _find_answer(text, match.end(), end, cut_off)
            if span is None:
                continue
            answer = text[slice(*span)]
            # ``####`` and ``A:`` also begin headings and dialogue: behind them only a bare number or formula counts.
            if is_formula(answer) if strict else _is_value(answer):
                seen = span[1]
                yield AnswerLine(*span, answer, match.start(), 0 if strict else _named(match[0], answer))


def _named(opener: str, answer: str) -> int:
    """Return the number of the problem that an answer line names, 0 if it names none."""
    name = _OTHER.search(opener) or _OTHER.match(answer)
    if name is None:
        return 0
    return int(name["number"]) if name["number"] is not None else _NTH[name["nth"].casefold()]


def _hinted_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of the lines that hold a word an answer line may begin with: most lines hold none."""
    lower = text[start:end].lower()
    if len(lower) != end - start:
        return [(start, end)]  # a character whose lower case is longer
    lines = set()
    # A loop over str.find, because most of the reading's time is spent here; a regular expression is slower.
    foreign = not lower.isascii() and any(letter in lower for letter in _LETTERS_OF_HINTS)
    for word in _HINTS if foreign else _ASCII_HINTS:
        place = lower.find(word)
        while place >= 0:
            stop = lower.find("\n", place)
            stop = len(lower) if stop < 0 else stop
            lines.add((start + lower.rfind("\n", 0, place) + 1, start + stop))
            place = lower.find(word, stop)
    return sorted(lines)


def last_answer_line(text: str, start: int, end: int, cut_off: bool, number: int) -> AnswerLine | None:
    """Return the last of :func:`answer_lines` that may answer problem ``number``, None if there is none.

    It is mostly near the end, so the last lines are tried before all of them.
    """
    if end - start > 2 * _LAST_LINES:
        # Lines within _FAR of the cut may go with lines before it, so only groups that begin later are trusted.
        near = text.rfind("\n", start, end - _LAST_LINES) + 1
        found = _last_from(text, near, end, cut_off, number, near + _FAR) if near > start else None
        if found is not None:
            return found
    return _last_from(text, start, end, cut_off, number, start)


def _last_from(text: str, start: int, end: int, cut_off: bool, number: int, least: int) -> AnswerLine | None:
    """Return the last answer line that may answer ``number``, among groups of lines that begin after ``least``.

    Lines are read from the end, group by group: no answer is farther than :data:`_FAR` from its opener,
    so lines farther apart cannot affect each other.
    """
    lines = _hinted_lines(text, start, end)
    stop = len(lines)
    while stop:
        first = stop - 1
        while first and lines[first][0] - lines[first - 1][1] <= _FAR:
            first -= 1
        if lines[first][0] < least:
            return None
        last = None
        for line in _lines_within(text, lines[first:stop], end, cut_off):
            last = line if line.may_answer(number) else last
        if last is not None:
            return last
        stop = first
    return None


def value_behind(text: str, start: int, end: int, cut_off: bool) -> AnswerLine | None:
    """Return the value behind a label in its line (``Problem k: a``); None if it has words in it."""
    stop = line_end(text, start, end)
    opener = _OPENER_HERE.match(text, start, stop)
    line = read_answer(text, start if opener is None else opener.end(), stop, cut_off)
    return None if line is None or not (opener is not None or is_bare_value(line.text)) else line


def read_answer(text: str, start: int, end: int, cut_off: bool) -> AnswerLine | None:
    """Return the answer at ``start`` or in the next line with content, None if there is none."""
    span = _find_answer(text, start, end, cut_off)
    return None if span is None else AnswerLine(*span, text[slice(*span)], start)


def _find_answer(text: str, start: int, end: int, cut_off: bool) -> tuple[int, int] | None:
    # "The final answer is:" with nothing behind it: the answer is the next line with content, if that is near.
    place, stop = start, line_end(text, start, end)
    far = min(end, start + _FAR)
    while _NOISE.fullmatch(text, place, min(stop, place + _LONGEST)) is not None:
        if stop >= far:
            return None
        place = stop + 1
        stop = line_end(text, place, end)
    for _ in range(2):  # "Final Answer: The final answer is 4"
        before = _BEFORE.match(text, place, stop)
        place = place if before is None else before.end()
        again = None if text[place : place + 1] in _NO_OPENER else _OPENER_HERE.match(text, place, stop)
        if again is None:
            break
        place = again.end()
    # The answer ends with its sentence, or before "because" and "since".
    sentence = next(sentence_ends(text, place, stop), None)
    closed = sentence is not None
    stop = stop if sentence is None else sentence
    reasoned = text.find("because", place, stop) >= 0 or text.find("since", place, stop) >= 0
    if reasoned and (reason := _REASON.search(text, place, stop)) is not None:
        stop, closed = reason.start(), True
    if cut_off and not closed and stop == len(text):
        return None  # the budget cut this line: what is there may be half a number
    answer = _trimmed(text[place:stop])
    if not answer or len(answer) > _LONGEST or _BOX.search(answer) is not None:
        return None
    place = text.index(answer, place)
    return place, place + len(answer)


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the ends of sentences in ``text[start:end]``; the full stop of an abbreviation ends none."""
    for mark in _SENTENCE_END.finditer(text, start, end):
        if _ABBREVIATION.search(text, max(start, mark.start() - 8), mark.start()) is None:
            yield mark.start()


def line_end(text: str, start: int, end: int) -> int:
    """Return the end of the line at ``start``; of a very long line only the beginning is read."""
    end = min(end, start + 4 * _LONGEST)
    found = text.find("\n", start, end)
    return end if found < 0 else found


def _trimmed(answer: str) -> str:
    answer = answer.strip().strip("*_`").strip().rstrip(".,;:!").strip().strip("*_`").strip()
    while answer.endswith("}") and answer.count("}") > answer.count("{"):
        answer = answer[:-1].rstrip()
    return answer


def find_last_skip(text: str, start: int, end: int, cut_off: bool) -> AnswerLine | None:
    """Return the last line with content of ``text[start:end]`` if it says only that the problem is skipped."""
    # From the end upwards, over empty lines and rules, to the last line with content.
    stop = end
    for _ in range(20):
        first = max(text.rfind("\n", start, stop) + 1, start)
        if stop - first > _FIRST_LINES:
            return None
        line = _LEVEL.sub("", text[first:stop])
        if _RULE.fullmatch(line) is None:
            if not is_skip(line, words=True) or (cut_off and stop == len(text)):
                return None
            return AnswerLine(first, stop, line.strip().strip("*_`.() "), first)
        if first <= start:
            return None
        stop = first - 1
    return None


def find_skip(text: str, header_end: int, end: int) -> AnswerLine | None:
    """Return where a section skips its problem in words: in its header line or as its first line.

    Args:
        text: Any string.
        header_end: Offset just behind the header of the section.
        end: Offset of the section's end; only its first lines are read.
    """
    # In the header line, "(skipped)" or NA anywhere in the title counts; below it, only a line that says nothing else.
    stop = line_end(text, header_end, min(end, header_end + _FIRST_LINES))
    title = _LEVEL.sub("", text[header_end:stop])
    if (found := _SKIPPED_IN_TITLE.search(title)) is not None or is_skip(title, words=True):
        start = text.find(title.strip(" \t:.*_"), header_end, stop)
        start = header_end if start < 0 else start
        words = title if found is None else found[0]
        return AnswerLine(start, stop, words.strip(" \t:.*_()[]\u2013\u2014-"), header_end)
    return _skip_below(text, stop, end)


def _skip_below(text: str, place: int, end: int) -> AnswerLine | None:
    far = min(end, place + _FIRST_LINES)
    while place < far:
        start, place = place + 1, line_end(text, place + 1, end)
        if place - start > _FIRST_LINES:
            return None
        line = _LEVEL.sub("", text[start:place])
        if _RULE.fullmatch(line) is not None:
            continue
        return AnswerLine(start, place, line.strip().strip("*_`.() "), start) if is_skip(line, words=True) else None
    return None
