"""Files of responses: what is written comes back, what a stranger altered is refused with a reason."""

from __future__ import annotations

import gzip
import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import RecordError
from roi_bench.leaderboard.submission import untrusted_files as limits
from roi_bench.leaderboard.submission.response_files import (
    RecordedTokenCounter,
    Responses,
    implausible,
    is_unusual,
    lengths_of,
    miscounted,
    read_responses,
    responses_sha256,
    too_few,
    usd_of,
    write_responses,
)
from roi_bench.records.results import RecordedDocument
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
USAGES = st.none() | st.builds(
    Usage, st.integers(0, 600), st.sampled_from(["stop", "length", None]), st.sampled_from(["generated", "provider"])
)
DOCUMENTS = st.lists(st.tuples(st.builds(Response, st.none() | TEXTS, USAGES), st.builds(Response, TEXTS, USAGES)))


@given(DOCUMENTS, st.booleans())
def test_responses_come_back_and_give_the_same_bytes(pairs: list[tuple[Response, Response]], counted: bool) -> None:
    documents = tuple(RecordedDocument(f"e/{k}", ((a,), (b,))) for k, (a, b) in enumerate(pairs))
    texts = [r.text for d in documents for (r,) in d.requests if isinstance(r.text, str)]
    lengths = {text: array("L", [1] * len(text)) for text in texts}
    given = Responses(documents, lengths if counted and texts else None, {"e/0": ((0.5,), (None,))} if pairs else {})
    content = write_responses(given)
    found = read_responses(content, "exam", 1, len(documents), "x")
    assert (found.documents, found.usd) == (given.documents, given.usd)
    assert found.token_lengths == given.token_lengths
    assert write_responses(found) == content == write_responses(given)
    assert usd_of(found.usd.values()) == (0.5 if pairs else None)


def row(name: str = "tiny/0/000", **changes: Any) -> dict[str, Any]:
    one = {"text": "ab", "usage": None, "token_lengths": [0, 1], "usd": None, **changes}
    return {"id": name, "requests": [[one], [one]]}


def packed(*rows: Any) -> bytes:
    return gzip.compress("".join(json.dumps(one) + "\n" for one in rows).encode(), mtime=0)


def usage(**changes: Any) -> dict[str, Any]:
    return {"tokens": 2, "finish_reason": "stop", "source": "generated", **changes}


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        ([row(), row()], "x:2.*tiny/0/000"),
        ([row(), row("b"), row("c")], "lines.* 2"),
        ([row()], "1 lines.*2"),
        ([row(), []], "x:2.*id and requests"),
        ([row(), {**row("b"), "score": 3}], "x:2.*id and requests"),
        ([row(), {**row("b"), "id": 7}], "x:2.*id and requests"),
        ([row(), {"id": "b", "requests": row()["requests"][:1]}], r"\bb\b.*\b1\b.*\b2\b"),
        ([row(), {"id": "b", "requests": [[], []]}], r"\bb\b.*\b1\b"),
        ([row(), {"id": "b", "requests": {"a": 1}}], r"\bb\b.*\b1\b"),
        ([row(), {"id": "b", "requests": ["x", "y"]}], r"\bb\b.*\b1\b"),
        ([row(), {"id": "b", "requests": [["x"], ["y"]]}], "x:2.*response"),
        ([row(), row("b", correct=True)], "x:2.*response"),
        ([row(), row("b", text=5)], "text.*null"),
        ([row(), row("b", text=None)], "token_lengths.*text"),
        ([row(), row("b", usage=[1])], "usage.*object"),
        ([row(), row("b", usage=usage(tokens=-1))], r"usage\.tokens"),
        ([row(), row("b", usage=usage(tokens=2.0))], r"usage\.tokens"),
        ([row(), row("b", usage=usage(tokens=True))], r"usage\.tokens"),
        ([row(), row("b", usage=usage(source="x" * 5000))], r"usage\.source"),
        ([row(), row("b", usage=usage(finish_reason=["stop"]))], r"usage\.finish_reason"),
        ([row(), row("b", usd=-1)], r"\busd\b"),
        ([row(), row("b", usd=True)], r"\busd\b"),
        ([row(), row("b", usd="1")], r"\busd\b"),
        ([row(), row("b", usd=1e7)], r"\busd\b"),
        ([row(), row("b", token_lengths={})], "token_lengths.*list"),
        ([row(), row("b", token_lengths=[0, -1])], "token_lengths.*256"),
        ([row(), row("b", token_lengths=[0, 1.0])], "token_lengths.*256"),
        ([row(), row("b", token_lengths=[0, True])], "token_lengths.*256"),
        ([row(), row("b", token_lengths=[0, 257])], "257"),
        ([row(), row("b", token_lengths=[0])], "same text.*token_lengths"),
        ([row(), row("b", text="c", token_lengths=None)], "some.*token_lengths"),
    ],
)
def test_altered_rows(rows: list[Any], facts: str) -> None:
    with pytest.raises(RecordError, match=facts) as refused:
        read_responses(packed(*rows), "exam", 1, 2, "x")
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "cut off"),
        (b"{}", "gzip"),
        (packed(row())[:-9], "cut off"),
        (packed(row())[:-8] + b"\0" * 8, "gzip"),
        (packed(row()) + packed(row("b")), "end.*gzip"),
        (packed(row()) + b"x", "end.*gzip"),
        (gzip.compress(b"{", mtime=0), "x:1.*JSON"),
        (gzip.compress(b"\n", mtime=0), "x:1.*JSON"),
        (gzip.compress(b'{"id": "a", "id": "b"}', mtime=0), "x:1.*'id'"),
        (gzip.compress(b"[" * 20, mtime=0), "x:1.*nested"),
        (gzip.compress(b'{"id": "\xff"}', mtime=0), "x:1.*UTF-8"),
    ],
)
def test_damaged_files(content: bytes, fact: str) -> None:
    with pytest.raises(RecordError, match=fact):
        read_responses(content, "exam", 1, 1, "x")


def test_an_overlong_text_or_line_is_refused() -> None:
    words = "".join(f"{k * 7919 % 99991} " for k in range(180_000))
    with pytest.raises(RecordError, match=r"response.*10\d{5} characters"):
        read_responses(packed(row(text=words)), "exam", 1, 1, "x")
    with pytest.raises(RecordError, match=f"line.*{limits.LINE_BYTES}"):
        read_responses(packed(row(text=words * 9)), "exam", 1, 1, "x")
    with pytest.raises(RecordError, match=r"11 characters.*10"):
        read_responses(packed(row(text="x" * 11, token_lengths=None)), "exam", 1, 1, "x", longest=10)


def test_a_file_unpacks_to_no_more_than_is_left_for_it() -> None:
    content = packed(row())
    size = len(gzip.decompress(content))
    assert read_responses(content, "exam", 1, 1, "x", most=size).unpacked == size - 1  # the line end is none of it
    with pytest.raises(RecordError, match=f"{size - 1} bytes"):
        read_responses(content, "exam", 1, 1, "x", most=size - 1)


def test_the_hash_of_responses_is_that_of_ids_and_texts_alone() -> None:
    def document(name: str, *texts: str | None, spent: int = 3) -> RecordedDocument:
        return RecordedDocument(name, tuple((Response(text, Usage(spent, "stop", "generated")),) for text in texts))

    first, second = document("a", "x", "y"), document("b", None, "z")
    found = responses_sha256([first, second])
    assert responses_sha256([second, document("a", "x", "y", spent=9)]) == found
    others = [
        *([first], [first, document("b", "", "z")], [first, document("c", None, "z")]),
        *([document("a", "y", "x"), second], [document("a", "x", "y "), second], [document("a", "xy"), second]),
    ]
    assert len({found, *map(responses_sha256, others)}) == len(others) + 1


def test_a_last_line_without_a_line_end_is_read() -> None:
    content = gzip.compress(json.dumps(row()).encode(), mtime=0)
    assert [d.id for d in read_responses(content, "exam", 1, 1, "x").documents] == ["tiny/0/000"]


def test_the_recorded_counter_knows_what_was_recorded_and_nothing_else() -> None:
    starts = [0, 3, 3, 9]
    counter = RecordedTokenCounter({"some text.": lengths_of(starts)})
    assert counter.token_starts("some text.") == starts
    with pytest.raises(RecordError, match=r"tokens.*5 characters"):
        counter.token_starts("other")


@pytest.mark.parametrize(
    ("text", "lengths", "spent", "budget", "message"),
    [
        ("ab", [0, 1], None, 10, None),
        ("ab", [0, 3], None, 10, "end of its 2"),
        ("ab" * 20, [0] + [1] * 19, None, 10, "shows 20 tokens, the budget is 10"),
        ("ab" * 9, [0] + [2] * 8, 9, 10, None),
        ("ab" * 40, [0] + [2] * 39, 11, 100, "shows 40 tokens and claims to have taken 11"),
        ("a b" * 100, [0], None, 100, "its last token would have 300"),
        ("abc " * 350, [0] + [19] * 70, None, 100, "1400 characters cannot be 71 tokens"),
        ("abc " * 347, [0] + [19] * 70, None, 100, None),
        ("abcd" * 4000, None, 63, 128, "16000 characters cannot be 63 tokens"),
        ("abcd" * 500, [0] + [250] * 7, None, 128, "2000 characters cannot be 8 tokens"),
        (" " * 2000, [0] + [250] * 7, None, 128, None),
        ("ab" * 450, [0] + [2] * 449, 207, 900, "shows 450 tokens and claims to have taken 207"),
        ("ab" * 450, [0] + [2] * 449, 208, 900, None),
        ("ab" * 139, [0] + [2] * 138, 102, 256, None),
        ("-" * 4000, [0] + [62] * 64, None, 100, None),
        ("abcd" * 500, None, 100, 100, "2000 characters cannot be 100 tokens"),
        ("abcd" * 300, None, 100, 100, None),
        ("ab" * 200, None, 1, 100, "400 characters cannot be 1 tokens"),
        ("ab", None, 0, 100, None),
        ("ab" * 1000, None, None, 100, None),
        ("", [], 1, 100, None),
    ],
)
def test_which_counts_can_be_true(
    text: str, lengths: list[int] | None, spent: int | None, budget: int, message: str | None
) -> None:
    metered = None if spent is None else Usage(spent, "stop", "generated")
    count = spent if lengths is None else len(lengths)
    found = implausible(text, lengths, metered, budget) or (None if count is None else too_few(text, count))
    assert (found is None) == (message is None)
    assert message is None or message in str(found)


@pytest.mark.parametrize(
    ("shown", "tokens", "reason", "wrong"),
    [
        *((20, 20, "stop", False), (20, 21, "stop", False), (20, 22, "stop", True), (20, 19, "stop", True)),
        *((126, 128, "length", False), (130, 128, "length", False), (100, 128, "length", True)),
        (20, 22, None, True),
    ],
)
def test_what_was_counted_from_the_text_is_its_count(shown: int, tokens: int, reason: Any, wrong: bool) -> None:
    assert miscounted(shown, Usage(tokens, reason, "retokenized")) == wrong
    assert not miscounted(shown, Usage(tokens, reason, "provider")), "hidden reasoning is none of the text"


def test_a_response_far_longer_than_its_tokens_is_unusual() -> None:
    assert is_unusual("word " * 40, 12)
    assert not is_unusual("word " * 40, 14)
    assert not is_unusual(" " * 200, 2)
