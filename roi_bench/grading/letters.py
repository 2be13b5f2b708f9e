r"""Answers made of letters only: words and names, names of segments, products of variables. Pure, linear.

``dog`` is not ``god`` and ``\text{no}`` is not ``on``, though the products of their letters are equal; ``xy`` and
``yx`` are one product. Which is meant has to be told from the letters and from the question.
"""

from __future__ import annotations

import re

_LETTERS = re.compile(r"[A-Za-z]+")
_HYPHENATED = re.compile(r"[A-Za-z]{3,}(?:-[A-Za-z]{3,})+")
_BETWEEN_WORDS = re.compile(r"[ .]|(?<=[A-Za-z])'(?=[A-Za-z]{2})")
_FAMILIES = tuple(map(frozenset, ("abcd", "klmn", "pqrst", "uvwxyz")))
_SEGMENTS = re.compile(
    r"\b(?:segments?|sides?|chords?|edges?|diagonals?|lines?|lengths?|distances?|radius|diameters?)\b", re.IGNORECASE
)
_TEXT = re.compile(r"\s*\$?\s*\\(?:text|mbox|textbf|textit|textrm|mathrm)\s*\{[^{}]*\}\s*\$?\s*")
_WORD_LENGTH = 4
"""So many letters are a word, unless they are the variables of a product."""


def is_set_as_text(answer: str) -> bool:
    r"""Return whether all of ``answer``, as written, is in ``\text{}`` or its like."""
    return _TEXT.fullmatch(answer) is not None


def same_letters(gold: str, answer: str, question: str = "", as_text: bool = False) -> bool | None:
    """Return whether two answers in normal form that consist of letters are the same; None if not both do.

    Words are the same in any case of letters. Letters in another order are the same only in a product of variables, or
    where two capitals name a segment and the question speaks of segments.

    Args:
        gold: The gold answer.
        answer: The answer given.
        question: The question, or empty.
        as_text: Whether one of them was set as text, so that it is no product.
    """
    left, right = (_BETWEEN_WORDS.sub("", text) for text in (gold, answer))
    if not all(_LETTERS.fullmatch(side) or _HYPHENATED.fullmatch(side) for side in (left, right)):
        return None
    if left == right:
        return True
    if max(len(left), len(right)) < 2:
        return None
    if (as_text or len(left) >= _WORD_LENGTH) and left.casefold() == right.casefold():
        return True
    if as_text or sorted(left) != sorted(right):
        return False
    if len(left) == 2 and left.isupper():
        return _SEGMENTS.search(question) is not None
    return _is_product(left, question)


def _is_product(letters: str, question: str) -> bool:
    """Return whether letters are variables: small; of one part of the alphabet, two without an o, or asked about."""
    if not letters.islower():
        return False
    found = frozenset(letters)
    if (len(letters) == 2 and "o" not in found) or any(found <= family for family in _FAMILIES):
        return True
    return all(re.search(rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])", question) is not None for letter in found)
