"""Which batches were submitted: on disk before anything else, and readable after a kill at any byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.batches import BatchLine, BatchRecord, record_path
from roi_bench.errors import RecordError
from tests.support.messages import shown_in

FIRST = BatchLine("c1", ("a", "b"))
NAMES = st.lists(st.text(), unique=True, max_size=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "run" / "journal.batches.jsonl"


def filled(path: Path) -> bytes:
    """Write a record of a batch that is done, one that is submitted, and one that is about to be."""
    record = BatchRecord(path)
    for chunk in ("done", "sent"):
        record.intend(chunk, [f"{chunk}-1", f"{chunk}-2"])
        record.submitted(chunk, f"batch-{chunk}")
    record.done("done")
    record.intend("meant", ["meant-1"])
    return path.read_bytes()


SENT = BatchLine("sent", ("sent-1", "sent-2"), "batch-sent")
MEANT = BatchLine("meant", ("meant-1",))


def test_the_record_stands_beside_the_journal_of_its_run_and_is_none(tmp_path: Path) -> None:
    journals = [tmp_path / f"journal-{digest}.rank0.jsonl" for digest in ("1a", "2b")]
    records = [record_path(journal) for journal in journals]
    assert {record.parent for record in records} == {tmp_path}
    assert len({*journals, *records}) == 4
    assert not any(record.match("journal-*") for record in records)


def test_a_record_that_does_not_exist_yet_is_empty_and_makes_no_file(path: Path) -> None:
    record = BatchRecord(path)
    assert record.open == []
    assert not path.exists()


def test_every_step_of_a_batch_is_there_when_read_again(path: Path) -> None:
    record = BatchRecord(path)
    assert record.intend("c1", iter(["a", "b"])) == FIRST
    for seen in (record, BatchRecord(path)):
        assert seen.open == [FIRST]
    submitted = BatchLine("c1", ("a", "b"), "batch-1")
    assert record.submitted("c1", "batch-1") == submitted
    for seen in (record, BatchRecord(path)):
        assert seen.open == [submitted]
    record.done("c1")
    for seen in (record, BatchRecord(path)):
        assert seen.open == []


def test_open_batches_come_in_the_order_of_their_submission(path: Path) -> None:
    filled(path)
    record = BatchRecord(path)
    assert record.open == [SENT, MEANT]
    record.submitted("meant", "batch-meant")
    record.intend("another", [])
    assert [batch.chunk for batch in BatchRecord(path).open] == ["sent", "meant", "another"]


def test_a_batch_that_never_got_there_is_done_without_a_number(path: Path) -> None:
    record = BatchRecord(path)
    record.intend("c1", ["a"])
    record.done("c1")
    assert BatchRecord(path).open == []
    assert BatchRecord(path).open == []


@given(chunk=st.text(), names=NAMES, batch_id=st.text())
def test_whatever_the_names_are_they_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, chunk: str, names: list[str], batch_id: str
) -> None:
    path = tmp_path_factory.mktemp("record") / "batches.jsonl"
    record = BatchRecord(path)
    record.intend(chunk, names)
    record.submitted(chunk, batch_id)
    assert BatchRecord(path).open == [BatchLine(chunk, tuple(names), batch_id)]


def test_reading_a_whole_record_changes_nothing(path: Path) -> None:
    whole = filled(path)
    BatchRecord(path)
    assert path.read_bytes() == whole


def test_a_kill_at_any_byte_of_the_last_line_loses_that_line_at_most(path: Path) -> None:
    lines = filled(path).splitlines(keepends=True)
    states = []
    for kept in range(len(lines) + 1):
        path.write_bytes(b"".join(lines[:kept]))
        states.append(BatchRecord(path).open)
    for kept, line in enumerate(lines):
        for end in range(1, len(line)):
            path.write_bytes(b"".join([*lines[:kept], line[:end]]))
            whole = end == len(line) - 1  # only the line end is missing
            assert BatchRecord(path).open == states[kept + whole]


def test_what_is_written_after_a_missing_line_end_is_not_glued_to_it(path: Path) -> None:
    path.write_bytes(filled(path)[:-1])
    BatchRecord(path).submitted("meant", "batch-meant")
    for _ in range(2):
        assert BatchRecord(path).open == [SENT, BatchLine("meant", ("meant-1",), "batch-meant")]


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage",
        b"[]",
        b"7",
        b"{}",
        b'{"event": "intend", "chunk": "c9"}',
        b'{"event": "intend", "chunk": "c9", "requests": 7}',
        b'{"event": "submitted", "batch_id": "b"}',
        b'{"event": "submitted", "chunk": "never meant", "batch_id": "b"}',
        b'{"chunk": "sent"}',
        b"\xff\xfe",
    ],
)
def test_damage_elsewhere_is_an_error_that_names_the_line_and_changes_nothing(path: Path, damage: bytes) -> None:
    lines = filled(path).splitlines(keepends=True)
    for place in (2, len(lines)):
        content = b"".join([*lines[:place], damage + b"\n", *lines[place:]])
        path.write_bytes(content)
        with pytest.raises(RecordError, match=rf"journal\.batches\.jsonl\D+{place + 1}\b") as caught:
            BatchRecord(path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == content


def test_an_empty_line_is_nothing(path: Path) -> None:
    lines = filled(path).splitlines(keepends=True)
    path.write_bytes(b"\n".join(lines))
    assert BatchRecord(path).open == [SENT, MEANT]


def test_a_record_that_cannot_be_read_or_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        BatchRecord(tmp_path)
    assert shown_in(str(caught.value), tmp_path, "Is a directory")
    (tmp_path / "file").write_text("")
    record = BatchRecord(tmp_path / "file" / "batches.jsonl")
    with pytest.raises(RecordError) as caught:
        record.intend("c1", ["a"])
    assert shown_in(str(caught.value), record.path, "File exists")
    assert record.open == []  # what is not on disk was not intended


def test_what_is_written_after_a_tear_at_any_byte_is_not_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "batches.jsonl"
    lines = filled(path).splitlines(keepends=True)
    for end in range(1, len(lines[-1]) - 1):
        path.write_bytes(b"".join([*lines[:-1], lines[-1][:end]]))
        BatchRecord(path).intend("next", ["next-1"])
        for _ in range(2):
            assert BatchRecord(path).open == [SENT, BatchLine("next", ("next-1",))]


def test_zeros_of_a_power_loss_are_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "batches.jsonl"
    path.write_bytes(filled(path) + b"\0" * 512)
    for _ in range(2):
        assert BatchRecord(path).open == [SENT, MEANT]


def test_the_record_of_batches_is_never_the_journal_itself():
    """The trainer's journal is called otherwise than those of runs."""
    names = ("journal-1a2b.rank0.jsonl", "superseded-1-journal-1a2b.rank0.jsonl", "samples.jsonl")
    assert [record_path(Path("runs") / name) for name in names] == [
        Path("runs") / name
        for name in ("batches-1a2b.rank0.jsonl", "superseded-1-batches-1a2b.rank0.jsonl", "batches-samples.jsonl")
    ]
