r"""Whether two mathematical answers are the same: by string, number, structure or value, else by computer algebra.

:func:`compare` is three-valued: True, False, or None where only computer algebra can tell. Structure is compared by us
because general checkers are weak there (SPEC section 6 and what we measured on math-verify):

- lists without brackets and ``\{…\}`` compare as multisets, points and intervals by order and by kind of bracket;
  a bare list equals a point with the same entries in the same order;
- ``a \pm b`` is the list ``a+b, a-b``; unions compare piece by piece in any order;
- an inequality in one variable equals the set it describes (``k<-5`` and ``(-\infty,-5)``), and listed intervals
  equal a gold union;
- ``x=5`` and ``x\in[0,1]`` equal ``5`` and ``[0,1]``; ``x=5`` is not ``y=5``;
- ``a=b=c`` is the value of its parts where these agree, also ``f(3)=5`` and ``5!=120``; where they differ it is wrong;
- matrices compare entry by entry; a column equals the vector or point with its entries, also as ``\binom{1}{2}``;
- formulas are compared by exact algebra (:mod:`grading.algebra`), and refuted where their values certainly differ
  (:mod:`roi_bench.grading.formulas`);
- an answer in words equals only the same words (any case), choice letters with or without parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roi_bench.grading.algebra import same_exactly, same_formula, same_up_to_factor
from roi_bench.grading.answers import normalize_answer
from roi_bench.grading.formulas import evaluate, letters_of, parse_formula
from roi_bench.grading.numerals import (
    AskedPercent,
    asked_percent,
    base_value,
    clock_time,
    contradicts_itself,
    leaves_out_percent,
    numbers_agree,
    numbers_equal,
    parse_number,
    same_time,
    states_alternatives,
)
from roi_bench.grading.structures import (
    Structure,
    as_interval,
    as_vector,
    is_interval,
    is_set_as_text,
    is_vector,
    relation_interval,
    relation_variable,
    same_letters,
    split_top,
    structure,
    surely_other_sets,
    ungrouped,
)

Symbolic = Callable[[str, str], bool]
"""Symbolic check of two leaf answers in normal form: (gold, answer) → equal."""

MAX_ITEMS = 40
"""Lists with more items are compared as strings only."""

MAX_DEPTH = 10
"""Structures nested deeper are compared as strings only."""

MAX_NESTING = 30
"""A parser is not troubled with braces nested deeper, or with one kind of sign more often."""

CHAIN_ROUNDING = 0.01
"""Relative difference that the parts of a chain such as ``\\sqrt2=1.41`` may have without contradicting each other."""

_INFINITIES = (r"\infty", r"-\infty")
_ASSIGNED = re.compile(
    r"((?:[A-Za-z]|\\[a-z]+)(?:_\{[0-9A-Za-z]\})?(?:\([a-z]\))?)(?:=|\\(?:in|approx)(?![a-z]))(?=[^=<>]+\Z)"
)
_RELATIONAL = re.compile(r"[=<>]|\\(?:le|ge|ne)(?![a-z])")
_BASED = re.compile(r"(-?(?=[0-9A-Z.]*[0-9])[0-9A-Z]+(?:\.[0-9A-Z]+)?)(?:_\{([0-9A-Za-z]+)\})?")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge)(?![a-z])")
_DEGREE_SIGN = re.compile(r"\\circ(?![a-z])|\\degree|°|degrees?(?![a-z])")
_SQUEEZED = re.compile(r"[\s{}$]|\\(?:cdot|left|right|,|!|;)(?![a-z])")
_SINGLE_NAME = re.compile(r"(?:[A-Za-z]{1,3}|\\[a-z]+)(?:_\{[^{}]*\})?(?:\([^()=]*\))?")
_RATIO = re.compile(r"([^:]+):([^:]+)")
_FREE_DIGIT = re.compile(r"(?<![A-Za-z])[0-9]|[0-9](?=\s*[A-Za-z\\(^])")
_LABELLED = re.compile(r"_\{[^{}]*\}|(?:(?<![A-Za-z])[A-Za-z]|\})\([^()=]*\)")
_DECIMAL = re.compile(r"-?[0-9]*\.([0-9]+)")
_PRIME = re.compile(r"\\prime(?![A-Za-z])")
_NAMED_VALUE = re.compile(r"([A-Za-z]|\\[a-z]+)=")
_EQUALS = re.compile(r"(?:=|\\approx(?![A-Za-z]))")
_WORDS_IN_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm)\s*\{[^{}0-9]*[A-Za-z]{2}[^{}0-9]*\}")
_COMMA_SPACE = re.compile(r",\s+")
_WORDS = re.compile(r"[A-Za-z .'-]*[A-Za-z]{4}[A-Za-z .'-]*")
_CHOICE = re.compile(r"\(?([A-Z])\)?")


@dataclass(frozen=True, slots=True)
class _Options:
    """Options of a comparison, the same for all parts of the two answers.

    Attributes:
        symbolic: The symbolic check, if there is one.
        percent: Whether the question asks for or mentions percent.
        alternatives: Whether the answer joins values by *or*.
    """

    symbolic: Symbolic | None = None
    percent: AskedPercent = "unknown"
    alternatives: bool = False


def compare(gold: str, answer: str, symbolic: Symbolic | None = None, question: str = "") -> bool | None:
    """Return whether ``answer`` equals ``gold``; None if only a symbolic check can tell and none was given."""
    # Step 1 (docs/grading.md): the same string after normalisation.
    if same_string(gold, answer, question):
        return True
    gold_text, answer_text = normalize_answer(gold, question=question), normalize_answer(answer, question=question)
    # A gold answer in words equals only the same words; algebra would take its letters for variables.
    if _WORDS_IN_TEXT.fullmatch(gold.strip().strip("$")) is not None:
        return bool(gold_text) and _folded(gold_text) == _folded(answer_text)
    as_text = is_set_as_text(gold) or is_set_as_text(answer)
    if (letters := same_letters(gold_text, answer_text, question, as_text)) is not None:
        return letters
    # Only the answer loses these parts, and only where they restate the question or round the value before them.
    answer_text = _without_approximation(_without_asked(answer_text, question))
    if contradicts_itself(answer_text):
        return False
    if _DEGREE_SIGN.search(gold + answer) is not None and _same_angle(gold, gold_text, answer, answer_text):
        return True
    if is_vector(gold_text):
        answer_text = as_vector(answer_text)
    options = _Options(symbolic, asked_percent(question), states_alternatives(answer))
    return _same(gold_text, answer_text, options, 0)


def _without_approximation(text: str) -> str:
    r"""Drop the decimal behind ``\approx`` if a value that it approximates stands before it: ``9/256\approx0.035``."""
    value, sign, rounded = text.rpartition(r"\approx")
    stated = parse_formula(_EQUALS.split(value)[-1]) if sign and value else None
    decimal = parse_formula(rounded)
    if stated is None or decimal is None or letters_of(stated) or letters_of(decimal):
        return text
    values = evaluate(stated, 1.0), evaluate(decimal, 1.0)
    if values[0] is None or values[1] is None:
        return text
    return value if abs(values[0][0] - values[1][0]) <= CHAIN_ROUNDING * abs(values[0][0]) else text


def _same_angle(gold: str, gold_text: str, answer: str, answer_text: str) -> bool:
    r"""Return whether one answer is in degrees and the other one the same angle as a multiple of ``\pi``."""
    sides = [(bool(_DEGREE_SIGN.search(raw)), text) for raw, text in ((gold, gold_text), (answer, answer_text))]
    (degrees, angle), (others, radians) = sorted(sides, reverse=True)
    if not degrees or others or r"\pi" not in radians or parse_number(angle) is None:
        return False
    return same_formula(rf"({angle})\cdot\frac{{\pi}}{{180}}", radians) is True


def _without_asked(text: str, question: str) -> str:
    """Drop the left side of an equation that the question asks for: ``2x+z=5`` is 5 where it asks for 2x+z."""
    parts = _split_equations(text) if question else [text]
    if len(parts) == 2 and len(parts[0]) > 1 and _squeezed(parts[0]) in _squeezed(question):
        return parts[1]
    return text


def _squeezed(text: str) -> str:
    return _SQUEEZED.sub("", text.replace("dfrac", "frac").replace("tfrac", "frac"))


def same_string(gold: str, answer: str, question: str = "") -> bool:
    r"""Return whether two answers have the same, non-empty normal form, or differ only in the space after commas.

    (``100,200`` alone is a number with a thousands separator; beside a gold ``100, 200`` it is that list.)
    """
    text = normalize_answer(gold, question=question)
    if not text:
        return False
    return text == normalize_answer(answer, question=question) or (
        "," in gold and _COMMA_SPACE.sub(",", gold.strip()) == _COMMA_SPACE.sub(",", answer.strip())
    )


def _folded(text: str) -> str:
    choice = _CHOICE.fullmatch(text)
    return choice[1] if choice is not None else text.replace(" ", "").replace(".", "").strip("()").casefold()


def _same(gold: str, answer: str, options: _Options, depth: int) -> bool | None:
    """Compare two answers in normal form; never None where there is a symbolic check."""
    gold, answer = ungrouped(gold), ungrouped(answer)
    if not gold or not answer:
        return False
    if gold == answer or (_WORDS.fullmatch(gold) and _folded(gold) == _folded(answer)):
        return True
    if (letters := same_letters(gold, answer)) is not None:
        return letters
    if depth > MAX_DEPTH or _one_is_infinite(gold, answer):
        return False
    # Step 2: two numbers are decided exactly, with no tolerance.
    left, right = parse_number(gold), parse_number(answer)
    if left is not None and right is not None:
        return numbers_equal(left, right, options.percent)
    # ``x=5`` against ``x=5`` compares values and ``x=5`` against ``y=5`` differs, before the names are dropped.
    assigned = _same_assignment(gold, answer, options, depth)
    if assigned is not None:
        return assigned
    gold, answer, unwrapped = _strip_assignment(gold, answer)
    if unwrapped:
        return _same(gold, answer, options, depth + 1)
    # Step 3: bases, times and chains first, since the general structure would split or misread them.
    for verdict in (_same_notation(gold, answer), _same_relation(gold, answer, options, depth)):
        if verdict is not None:
            return verdict
    return _same_whole(*_relations_to_intervals(as_interval(gold), as_interval(answer)), options, depth)


def _same_whole(gold: str, answer: str, options: _Options, depth: int) -> bool | None:
    """Compare what is neither number nor equation: structures part by part, ratios, formulas."""
    left, right = structure(gold), structure(answer)
    # One value may be spelled several ways in one answer (``1/2 or 0.5``); a list of different values is not one.
    if left is None and right is not None and right.kind == "list":
        spellings = right.items
        if (options.alternatives or len(set(spellings)) == len(spellings)) and _all_equal(spellings):
            return _same(gold, spellings[0], options, depth + 1)  # 1/2 or 0.5; but 1,1 are two values
    if left is not None and right is not None and _decided_by_structure(left, right):
        return _same_structure(left, right, options, depth)
    # math-verify is lenient where kinds differ (an interval beside a point, a set beside a value): decide here.
    if surely_other_sets(gold, answer) or _of_other_kinds(gold, answer, left, right):
        return False
    if left is None and right is None and gold and answer and "%" in (gold[-1], answer[-1]):
        return _same_percentage(gold, answer, options, depth)
    if (
        left is None
        and right is None
        and (verdict := same_formula(*map(_ratio_as_quotient, (gold, answer)))) is not None
    ):
        return verdict
    # Step 5: only what is still open goes to the symbolic check, and only text that its parser can survive.
    if not (_is_readable(gold) and _is_readable(answer)) or _primes(gold) != _primes(answer):
        return False
    return options.symbolic(gold, answer) if options.symbolic is not None else None


def _all_equal(items: Sequence[str]) -> bool:
    """Return whether all values of a list are shown to be the same, so that it states one."""
    return len(items) <= MAX_ITEMS and all(_same(items[0], item, _Options(), MAX_DEPTH) for item in items[1:])


def _one_is_infinite(gold: str, answer: str) -> bool:
    """Return whether one of two unequal answers is infinity and the other one a formula or the other infinity."""
    return any(
        side in _INFINITIES and (other in _INFINITIES or parse_formula(other) is not None)
        for side, other in ((gold, answer), (answer, gold))
    )


def _is_readable(text: str) -> bool:
    """Return whether a parser has any chance: braces in pairs, nothing nested deeply, no control characters."""
    depth = deepest = 0
    for character in text:
        if character in "{}":
            depth += 1 if character == "{" else -1
            deepest = max(deepest, depth)
            if depth < 0:
                return False
    counts = [text.count(sign) for sign in ("(", "[", "|", ":", "=", "^", r"\begin", r"\sqrt", r"\frac")]
    return depth == 0 and max(deepest, *counts) <= MAX_NESTING and text.isprintable()


def _primes(text: str) -> int:
    """Count the signs of derivatives and the like, which algebra would overlook: ``y'`` is not ``y``."""
    return text.count("'") + len(_PRIME.findall(text))


def _ratio_as_quotient(text: str) -> str:
    """Return ``3:2`` as the quotient that it is; anything else as it is."""
    match = _RATIO.fullmatch(text) if ":" in text else None
    return text if match is None else f"({match[1]})/({match[2]})"


def _same_percentage(gold: str, answer: str, options: _Options, depth: int) -> bool | None:
    """Compare two values at least one of which bears a percent sign (see :func:`numerals.numbers_equal`)."""
    # A sign on both cancels. A sign on the gold answer alone may be left out or be meant as hundredths; on the answer
    # alone, either it was left out of the gold answer or it means hundredths, never both.
    plain, stated = gold.removesuffix("%"), answer.removesuffix("%")
    if gold[-1] == answer[-1]:
        return _same(plain, stated, options, depth + 1)
    if gold[-1] == "%":
        verdicts = [_same(side, stated, options, depth + 1) for side in (plain, rf"\frac{{{plain}}}{{100}}")]
        return True if True in verdicts else None if None in verdicts else False
    formula = parse_formula(plain)
    value = None if formula is None or letters_of(formula) else evaluate(formula, 1.0)
    is_decimal = (number := parse_number(plain)) is not None and number.places is not None
    if value is None or not leaves_out_percent(abs(value[0]), is_decimal, options.percent):
        stated = rf"\frac{{{stated}}}{{100}}"
    return _same(plain, stated, options, depth + 1)


def _same_relation(gold: str, answer: str, options: _Options, depth: int) -> bool | None:
    """Compare equations, and chains of equal parts with a value; None if there is none, or only algebra can tell."""
    left, right = _split_equations(gold), _split_equations(answer)
    if len(left) > 1 and len(right) > 1:
        return _same_equation(left, right)
    if len(left) == len(right):
        return None
    # One side is a chain ``a=b=c``, the other one is not: the chain stands for its value.
    chain, other = (left, gold if len(right) > 1 else answer) if len(left) > 1 else (right, gold)
    if _RELATIONAL.search(other) is not None:
        return False
    values = _chain_values(chain, of_gold=len(left) > 1)
    verdicts = [
        _same(value, answer, options, depth + 1) if len(left) > 1 else _same(gold, value, options, depth + 1)
        for value in values
    ]
    if True in verdicts:
        return True
    return False if None not in verdicts else None


def _split_equations(text: str) -> list[str]:
    """Return the parts of ``text`` between its equals signs outside brackets; inequalities have one part."""
    if "=" not in text and r"\approx" not in text:
        return [text]
    if re.search(r"[<>]|\\(?:le|ge|ne|cup|cap|begin)(?![a-z])", text) is not None or len(split_top(text, ",")) > 1:
        return [text]
    return split_top(text.replace(r"\approx", "="), "=")


def _chain_values(parts: list[str], of_gold: bool) -> list[str]:
    """Return the parts of a chain that state its value: the last one, and those that are shown to equal it.

    Empty where a part in front may be something else than the name of a value: ``2x=10`` does not say 10. A gold answer
    ``a+b=1`` is an equation; only a single name in it is one.
    """
    if not all(parts):
        return []
    *before, last = parts
    values = [last]
    for part in before:
        agrees = _parts_agree(part, last)
        if agrees:
            values.append(part)
        elif agrees is False or not (_SINGLE_NAME.fullmatch(part) if of_gold else _is_name(part)):
            return []
    return values


def _parts_agree(part: str, last: str) -> bool | None:
    """Return whether two parts of a chain have the same value; None if the first is not a value by itself."""
    numbers = [base_value(side) or parse_number(side) for side in (part, last)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers_agree(numbers[0], numbers[1])
    formulas = parse_formula(part), parse_formula(last)
    if formulas[0] is None or formulas[1] is None or letters_of(formulas[0]) - letters_of(formulas[1]):
        return None
    # A chain may round on the way (``\frac{1}{3}=0.333``): such parts agree within CHAIN_ROUNDING.
    exactly = same_exactly(formulas[0], formulas[1])
    rounded = any(_DECIMAL.fullmatch(side) for side in (part, last))
    if (exactly is None or (rounded and not exactly)) and not letters_of(formulas[0]):
        values = evaluate(formulas[0], 1.0), evaluate(formulas[1], 1.0)
        if values[0] is not None and values[1] is not None:
            return abs(values[0][0] - values[1][0]) <= CHAIN_ROUNDING * abs(values[0][0])
    return exactly


def _is_name(part: str) -> bool:
    """Return whether ``part`` names a value: ``x``, ``f(3)``, ``AB``, ``P(A)``, ``a_{10}``, ``m+n``."""
    return _FREE_DIGIT.search(_LABELLED.sub("", part)) is None


def _same_equation(gold: list[str], answer: list[str]) -> bool | None:
    """Compare two equations: equal if one is a multiple of the other; different if both are linear and none is."""
    if len(gold) != 2 or len(answer) != 2:
        return None
    formulas = [parse_formula(f"({side[0]})-({side[1]})") for side in (gold, answer)]
    if formulas[0] is None or formulas[1] is None:
        return None
    return same_up_to_factor(formulas[0], formulas[1])


def _same_notation(gold: str, answer: str) -> bool | None:
    """Compare numerals with a base and times of day; None if neither has to do with them.

    A numeral without its base equals the gold one with it (the question names the base); another base, or a subscript
    that is no base, is another answer.
    """
    times = clock_time(gold), clock_time(answer)
    if any(time is not None and time.marked for time in times) or None not in times:
        return same_time(gold, answer)
    left, right = _BASED.fullmatch(gold), _BASED.fullmatch(answer)
    if all(side is None or side[2] is None for side in (left, right)):
        return None
    if _RELATIONAL.search(gold if left is None else answer) is not None and (left is None or right is None):
        return None  # a chain
    if left is None or right is None:
        return False
    return left[1] == right[1] and (right[2] is None or right[2] == (left[2] or "10"))


def _same_assignment(gold: str, answer: str, options: _Options, depth: int) -> bool | None:
    """Compare ``x=…`` with ``y=…``; None if not both are assignments or only algebra can tell."""
    left, right = _ASSIGNED.match(gold), _ASSIGNED.match(answer)
    if left is None or right is None:
        return None
    if left[1] == right[1]:
        return _same(gold[left.end() :], answer[right.end() :], options, depth + 1)
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
    # Two inequalities describe comparable sets only in the same variable: ``x<1`` is not ``y<1``.
    described = relation_interval(gold)
    if described is not None and (other := relation_interval(answer)) is not None:
        return (described, other) if relation_variable(gold) == relation_variable(answer) else (gold, answer)
    pieces = split_top(answer, ",")
    if len(pieces) > 1 and r"\cup" in (described or gold) and all(map(is_interval, pieces)):
        answer = r"\cup".join(pieces)
    if described is not None and is_interval(answer):
        return described, answer
    if (interval := relation_interval(answer)) is not None and is_interval(gold):
        return gold, interval
    return gold, answer


def _same_structure(gold: Structure, answer: Structure, options: _Options, depth: int) -> bool | None:
    # ``[1,2,3]`` and ``1,2,3`` may be the same list; with two items ``[1,2]`` may be an interval.
    if not _comparable(gold.kind, answer.kind) and not (
        len(gold.items) > 2 and {gold.kind, answer.kind} in ({"list", "[]"}, {"()", "[]"})
    ):
        return False
    if len(gold.items) != len(answer.items) or len(gold.items) > MAX_ITEMS:
        return False
    if (gold.ordered or answer.ordered) and {gold.kind, answer.kind} != {"list", "[]"}:
        return _same_in_order(gold.items, answer.items, options, depth)
    if _names_its_items(gold) and not any(map(_NAMED_VALUE.match, answer.items)):
        return _same_in_order(gold.items, answer.items, options, depth)  # x=1,y=2 is not 2,1
    return _same_in_any_order(gold.items, answer.items, options, depth)


def _names_its_items(found: Structure) -> bool:
    """Return whether each item is the value of another variable."""
    names = [match[1] for match in map(_NAMED_VALUE.match, found.items) if match is not None]
    return len(set(names)) == len(found.items)


def _same_in_order(gold: Sequence[str], answer: Sequence[str], options: _Options, depth: int) -> bool | None:
    verdicts = []
    for left, right in zip(gold, answer, strict=True):
        verdicts.append(_same(left, right, options, depth + 1))
        if verdicts[-1] is False:
            return False
    return None if None in verdicts else True


def _same_in_any_order(gold: Sequence[str], answer: Sequence[str], options: _Options, depth: int) -> bool | None:
    """Pair each gold item with an equal item of the answer; equality is transitive, so the first match will do."""
    rest = list(answer)
    undecided = False
    for left in gold:
        maybe = False
        for index, right in enumerate(rest):
            verdict = _same(left, right, options, depth + 1)
            if verdict:
                del rest[index]
                break
            maybe = maybe or verdict is None
        else:
            if not maybe:
                return False
            undecided = True
    return None if undecided else True


def _comparable(gold: str, answer: str) -> bool:
    r"""Return whether wholes of these kinds can be equal: a vector is a column, a point, or in ``\langle\rangle``."""
    if gold == answer or {gold, answer} in ({"list", "set"}, {"list", "()"}, {"vector", "()"}, {"vector", "[]"}):
        return True
    column = next((kind for kind in (gold, answer) if kind.startswith("matrix") and kind.endswith("x1")), None)
    row = next((kind for kind in (gold, answer) if kind.startswith("matrix 1x")), None)
    other = answer if gold in (column, row) else gold
    return (column is not None or row is not None) and other in ("()", "[]", "vector")


def _decided_by_structure(gold: Structure, answer: Structure) -> bool:
    """Return whether comparing item by item decides: not for unions of unequal length, or beside an interval."""
    if "union" in (gold.kind, answer.kind):
        return "list" in (gold.kind, answer.kind) or (gold.kind == answer.kind and len(gold.items) == len(answer.items))
    return True


def _of_other_kinds(gold: str, answer: str, left: Structure | None, right: Structure | None) -> bool:
    """Return whether one side is a single value and the other one several values, an interval, or an inequality."""
    for text, form, other in ((gold, left, answer), (answer, right, gold)):
        several = form is not None and (len(form.items) > 1 or form.kind == "union")
        if (several or _INEQUALITY.search(text) is not None) and parse_formula(other) is not None:
            return True
    return False
