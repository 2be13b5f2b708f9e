r"""Whether two mathematical answers are the same: by string, by number, by structure; the rest is for a symbolic check.

:func:`compare` is three-valued: True, False, or None where only computer algebra can tell. Structure is compared by us
because general checkers are weak there (SPEC section 6 and what we measured on math-verify):

- lists without brackets and ``\{…\}`` compare as multisets, points and intervals by order and by kind of bracket;
  a bare list equals a point with the same entries in the same order;
- ``a \pm b`` is the list ``a+b, a-b``; unions compare piece by piece in any order;
- an inequality in one variable equals the interval it describes (``k<-5`` and ``(-\infty,-5)``), and listed intervals
  equal a gold union;
- ``x=5`` and ``x\in[0,1]`` equal ``5`` and ``[0,1]``; ``x=5`` is not ``y=5``;
- matrices compare entry by entry;
- an answer in words equals only the same words (any case), choice letters with or without parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from roi_bench.answers import normalize_answer
from roi_bench.evaluation import surely_different
from roi_bench.numerals import contradicts_itself, numbers_equal, parse_number
from roi_bench.structures import Structure, is_interval, relation_interval, split_top, structure, ungrouped

Symbolic = Callable[[str, str], bool]
"""Symbolic check of two leaf answers in normal form: (gold, answer) → equal."""

MAX_ITEMS = 40
"""Lists with more items are compared as strings only."""

MAX_DEPTH = 10
"""Structures nested deeper are compared as strings only."""

_INFINITIES = (r"\infty", r"-\infty")
_ASSIGNED = re.compile(
    r"((?:[A-Za-z]|\\[a-z]+)(?:_\{[0-9A-Za-z]\})?(?:\([a-z]\))?)(?:=|\\(?:in|approx)(?![a-z]))(?=[^=<>]+\Z)"
)
_RELATIONAL = re.compile(r"[=<>]|\\(?:le|ge|ne)(?![a-z])")
_BASED = re.compile(r"(-?(?=[0-9A-Z.]*[0-9])[0-9A-Z]+(?:\.[0-9A-Z]+)?)(?:_\{([0-9A-Za-z]+)\})?")
_CLOCK = re.compile(r"([0-9]{1,2})(?::00)?((?::[0-9]{2})?[ap]m)", re.IGNORECASE)
_WORDS_IN_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm)\s*\{[^{}0-9]*[A-Za-z]{3}[^{}0-9]*\}")
_COMMA_SPACE = re.compile(r",\s+")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_CHOICE = re.compile(r"\(?([A-Z])\)?")


def compare(gold: str, answer: str, symbolic: Symbolic | None = None) -> bool | None:
    """Return whether ``answer`` equals ``gold``; None if only a symbolic check can tell and none was given."""
    if same_string(gold, answer):
        return True
    gold_text, answer_text = normalize_answer(gold), normalize_answer(answer)
    if _WORDS_IN_TEXT.fullmatch(gold.strip().strip("$")) is not None:
        return bool(gold_text) and _folded(gold_text) == _folded(answer_text)
    return not contradicts_itself(answer_text) and _same(gold_text, answer_text, symbolic, 0)


def same_string(gold: str, answer: str) -> bool:
    """Return whether two answers have the same, non-empty normal form, or differ only in the space after commas.

    (``100,200`` alone is a number with a thousands separator; beside a gold ``100, 200`` it is that list.)
    """
    text = normalize_answer(gold)
    if not text:
        return False
    return text == normalize_answer(answer) or _COMMA_SPACE.sub(",", gold.strip()) == _COMMA_SPACE.sub(
        ",", answer.strip()
    )


def _folded(text: str) -> str:
    choice = _CHOICE.fullmatch(text)
    return choice[1] if choice is not None else text.replace(" ", "").replace(".", "").strip("()").casefold()


def _same(gold: str, answer: str, symbolic: Symbolic | None, depth: int) -> bool | None:
    gold, answer = ungrouped(gold), ungrouped(answer)
    if not gold or not answer:
        return False
    if gold == answer or (_LETTERS.search(gold) and "\\" not in gold and _folded(gold) == _folded(answer)):
        return True
    if depth > MAX_DEPTH or (gold in _INFINITIES and answer in _INFINITIES):
        return False
    left, right = parse_number(gold), parse_number(answer)
    if left is not None and right is not None:
        return numbers_equal(left, right)
    assigned = _same_assignment(gold, answer, symbolic, depth)
    if assigned is not None:
        return assigned
    gold, answer, unwrapped = _strip_assignment(gold, answer)
    if unwrapped:
        return _same(gold, answer, symbolic, depth + 1)
    if (verdict := _same_notation(gold, answer)) is not None:
        return verdict
    gold, answer = _relations_to_intervals(gold, answer)
    left_form, right_form = structure(gold), structure(answer)
    if left_form is not None and right_form is not None and _decided_by_structure(left_form, right_form):
        return _same_structure(left_form, right_form, symbolic, depth)
    if (_is_several(left_form) and right is not None) or (_is_several(right_form) and left is not None):
        return False
    if surely_different(gold, answer):
        return False
    return symbolic(gold, answer) if symbolic is not None else None


def _same_notation(gold: str, answer: str) -> bool | None:
    """Compare numerals with a base and times of day; None if neither has to do with them.

    A numeral without its base equals the gold one with it (the question names the base); another base, or a subscript
    that is no base, is another answer.
    """
    left, right = _CLOCK.fullmatch(gold), _CLOCK.fullmatch(answer)
    if left is not None or right is not None:
        return left is not None and right is not None and left[1] + left[2].lower() == right[1] + right[2].lower()
    left, right = _BASED.fullmatch(gold), _BASED.fullmatch(answer)
    if all(side is None or side[2] is None for side in (left, right)):
        return None
    if left is None or right is None:
        return False
    return left[1] == right[1] and (right[2] is None or right[2] == (left[2] or "10"))


def _same_assignment(gold: str, answer: str, symbolic: Symbolic | None, depth: int) -> bool | None:
    """Compare ``x=…`` with ``y=…``; None if not both are assignments or only algebra can tell."""
    left, right = _ASSIGNED.match(gold), _ASSIGNED.match(answer)
    if left is None or right is None:
        return None
    if left[1] == right[1]:
        return _same(gold[left.end() :], answer[right.end() :], symbolic, depth + 1)
    values = parse_number(gold[left.end() :]), parse_number(answer[right.end() :])
    return None if None in values else False


def _strip_assignment(gold: str, answer: str) -> tuple[str, str, bool]:
    """Drop the ``x=`` or ``x\\in`` that only one of the two has; tell whether there was one."""
    left, right = _ASSIGNED.match(gold), _ASSIGNED.match(answer)
    if (left is None) == (right is None) or _RELATIONAL.search(answer if left is not None else gold) is not None:
        return gold, answer, False
    if left is not None:
        gold = gold[left.end() :]
    if right is not None:
        answer = answer[right.end() :]
    return gold, answer, True


def _relations_to_intervals(gold: str, answer: str) -> tuple[str, str]:
    """Rewrite an inequality as the interval it describes if the other side is an interval or a union.

    Beside a gold union, intervals listed with commas, "and" or "or" are a union too.
    """
    described = relation_interval(gold)
    pieces = split_top(answer, ",")
    if len(pieces) > 1 and r"\cup" in (described or gold) and all(map(is_interval, pieces)):
        answer = r"\cup".join(pieces)
    if described is not None and is_interval(answer):
        return described, answer
    if (interval := relation_interval(answer)) is not None and is_interval(gold):
        return gold, interval
    return gold, answer


def _same_structure(gold: Structure, answer: Structure, symbolic: Symbolic | None, depth: int) -> bool | None:
    kinds = {gold.kind, answer.kind}
    if len(kinds) > 1 and kinds not in ({"list", "set"}, {"list", "()"}):
        return False
    if len(gold.items) != len(answer.items) or len(gold.items) > MAX_ITEMS:
        return False
    if gold.ordered or answer.ordered:
        return _same_in_order(gold.items, answer.items, symbolic, depth)
    return _same_in_any_order(gold.items, answer.items, symbolic, depth)


def _same_in_order(gold: Sequence[str], answer: Sequence[str], symbolic: Symbolic | None, depth: int) -> bool | None:
    verdicts = []
    for left, right in zip(gold, answer, strict=True):
        verdicts.append(_same(left, right, symbolic, depth + 1))
        if verdicts[-1] is False:
            return False
    return None if None in verdicts else True


def _same_in_any_order(
    gold: Sequence[str], answer: Sequence[str], symbolic: Symbolic | None, depth: int
) -> bool | None:
    """Pair each gold item with an equal item of the answer; equality is transitive, so the first match will do."""
    rest = list(answer)
    undecided = False
    for left in gold:
        maybe = False
        for index, right in enumerate(rest):
            verdict = _same(left, right, symbolic, depth + 1)
            if verdict:
                del rest[index]
                break
            maybe = maybe or verdict is None
        else:
            if not maybe:
                return False
            undecided = True
    return None if undecided else True


def _decided_by_structure(gold: Structure, answer: Structure) -> bool:
    """Return whether comparing item by item decides: not for unions of unequal length and for unlike kinds of whole."""
    if gold.kind == answer.kind == "union":
        return len(gold.items) == len(answer.items)
    return all(form.kind != "union" and not form.kind.startswith("matrix") for form in (gold, answer)) or (
        gold.kind == answer.kind
    )


def _is_several(form: Structure | None) -> bool:
    return form is not None and len(form.items) > 1 and form.kind != "union"
