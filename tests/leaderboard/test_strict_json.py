"""Hostile JSON is refused with a reason, before it can cost anything; honest JSON is read as ever."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.leaderboard.submission.untrusted_files import parse_strict, shown

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_whatever_json_can_say_comes_back(value: Any, escaped: bool) -> None:
    content = json.dumps(value, ensure_ascii=escaped).encode("utf-8")
    assert parse_strict(content, largest=1 << 20, deepest=100) == value


@given(st.lists(st.sampled_from('[]{}",:\\\\u0ad1. aé'), max_size=40))
def test_nothing_but_value_errors(characters: list[str]) -> None:
    with contextlib.suppress(ValueError):
        parse_strict("".join(characters).encode(), largest=1 << 20, deepest=5)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "too large"),
        (b"[1234567890123456789]", "18 digits"),
        (b"9" * 100_000, "18 digits"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c'"),
        (b'{"a": "\xff"}', "UTF-8.*7"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b'{"a": "\\ud800"}', "character"),
        (b'{"a\\udfff": 1}', "character"),
        (b"\xef\xbb\xbf{}", "JSON"),
        (b"", "JSON"),
        (b'{"a": 1} x', "JSON.*Extra data"),
        (b"'a'", "JSON"),
        (b'"' + b"a" * 200_000 + b'"', "100000 bytes"),
        (b"[" * 50_000, "nested.*8"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "nested.*8"),
        (b'"[[[[[[[[[[[[ [[[[', "nested|JSON"),
        (b"[" + b"[]," * 20_000 + b"1]", "20000"),
    ],
)
def test_hostile(content: bytes, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        parse_strict(content, largest=100_000, deepest=8)


def test_brackets_within_texts_are_no_depth_and_pairs_are_whole_characters() -> None:
    text = "[" * 500 + '\\"{' + "\U0001f600"
    assert parse_strict(json.dumps([text, 0.12345678901234567890]).encode(), largest=100_000, deepest=2)[0] == text


def test_ten_megabytes_of_brackets_and_escapes_cost_little() -> None:
    for content in (
        b"[" * 10_000_000,
        b'"' + b"\\n" * 5_000_000,
        b'"' + b"\\" * 9_999_999,
        b'{"' * 5_000_000,
        b"[[]," + b"[]," * 3_000_000,
    ):
        tracemalloc.start()
        start = time.monotonic()
        with pytest.raises(ValueError):
            parse_strict(content, largest=1 << 24, deepest=8)
        took, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert took < 10
        assert peak < 60 << 20


def test_quotes_in_a_text_that_never_ends_are_looked_at_once() -> None:
    """Twice as many take about twice as long; a text tried anew from each of its quotes would take four times."""

    def seconds(quotes: int) -> float:
        content, best = b'"' + b'\\"' * quotes, 1e9
        for _ in range(3):
            start = time.process_time()
            with pytest.raises(ValueError, match="JSON"):
                parse_strict(content, largest=1 << 24, deepest=8)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(1 << 14) < 12 * seconds(1 << 12)  # 4 times as many; 16 times as long where tried anew


def test_what_is_shown_of_a_hostile_value_is_short_and_harmless() -> None:
    assert shown("a\x1b[31mb\n\u202ec") == "a?[31mb??c"
    assert shown("é" * 500) == "é" * 80 + "…"
