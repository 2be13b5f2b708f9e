"""The journal keeps what was finished, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import RecordError
from roi_bench.records.journal import (
    Entry,
    Header,
    Journal,
    entry_line,
    header_line,
    parse_entry,
    read_journal,
    read_starts,
    request_key,
)
from roi_bench.scoring.tokens import Usage
from tests.support.messages import shown_in, shows

HEADER = Header({"model": "hf", "model_args": {"pretrained": "m", "dtype": "float32"}, "exam_version": 1}, {"batch": 4})
GENERATION = {"max_gen_toks": 96, "until": [], "do_sample": False}


def entry(number: int, response: str | None = "text", sample: int = 0) -> Entry:
    usage = None if response is None else Usage(number, "stop", "generated")
    return Entry(request_key(f"prompt {number}", GENERATION, sample), response, usage, {"exam": f"tiny/0/{number:03d}"})


def filled(path: Path, count: int = 3) -> list[Entry]:
    entries = [entry(number, f"line\nπ {number}\u2028") for number in range(count)]
    with Journal(path, HEADER) as journal:
        journal.append(entries)
    return entries


def test_what_is_on_the_disk_whole_is_in_memory_only_as_far_as_a_run_needs_it(tmp_path: Path) -> None:
    extra = {"usd": 0.5, "maybe_paid_usd": 0.25, "prompt_tokens": 9, "reasoning": "pages", "sent": {"model": "m"}}
    whole = Entry(request_key("a", GENERATION, 0), "text", Usage(3, "stop", "provider"), extra)
    lost = Entry(request_key("b", GENERATION, 0), None, None, {"error": "down", "exam": "tiny/0/000"})
    with Journal(tmp_path / "journal.jsonl", HEADER, slim=True) as journal:
        journal.append([whole, lost])
        kept, missing = (journal.entries[entry.key] for entry in (whole, lost))
        assert (kept.response, kept.usage) == (whole.response, whole.usage)
        assert kept.extra == {"usd": 0.5, "maybe_paid_usd": 0.25, "prompt_tokens": 9}
        assert missing == lost
    _, recorded = read_journal(tmp_path / "journal.jsonl")
    assert list(recorded.values()) == [whole, lost]


def test_what_was_appended_is_there_when_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    entries = filled(path)
    with Journal(path, HEADER) as journal:
        assert list(journal.entries.values()) == entries
        assert journal.header == HEADER
        journal.append([entry(7)])
    header, recorded = read_journal(path)
    assert header == HEADER
    assert list(recorded.values()) == [*entries, entry(7)]


@given(
    response=st.none() | st.text(),
    generation=st.dictionaries(st.text(), st.integers() | st.booleans() | st.lists(st.text())),
    sample=st.integers(0, 99),
    usage=st.none() | st.builds(Usage, st.integers(0), st.sampled_from(["stop", "length", None]), st.just("provider")),
)
def test_a_line_gives_its_entry_back(
    response: str | None, generation: dict[str, object], sample: int, usage: Usage | None
) -> None:
    original = Entry(request_key("prompt", generation, sample), response, usage, {"cost": 0.25})
    line = entry_line(original)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert parse_entry(line) == original


def test_a_lone_surrogate_survives() -> None:
    original = entry(1, "half \ud83d of a pair")
    assert parse_entry(entry_line(original)) == original


def test_every_tear_of_the_last_line_is_set_aside_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entries = filled(path)
    whole = path.read_bytes()
    begin = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in range(begin + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        with Journal(path, HEADER, marks_starts=True) as journal:
            assert list(journal.entries.values()) == entries[:2]
            assert journal.starts == 1
            journal.append(entries[2:])
            assert journal.starts == 2
        torn = path.with_name("journal.jsonl.torn")
        assert torn.read_bytes() == whole[begin:end] + b"\n"
        assert path.read_bytes() == whole[:begin] + header_line(HEADER) + whole[begin:]
        assert read_starts(path) == [HEADER, HEADER]
        torn.unlink()


def test_a_complete_last_line_without_its_line_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entries = filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with Journal(path, HEADER) as journal:
        assert list(journal.entries.values()) == entries
    assert path.read_bytes() == whole


def test_zeros_of_a_power_loss_are_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entries = filled(path)
    whole = path.read_bytes()
    for tail in (b"\0" * 512, b'{"prompt' + b"\0" * 512 + b"\n"):
        path.write_bytes(whole + tail)
        with Journal(path, HEADER) as journal:
            assert list(journal.entries.values()) == entries
        assert path.read_bytes() == whole


def test_a_torn_header_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(header_line(HEADER)[:20])
    assert read_journal(path) == (None, {})
    with Journal(path, HEADER):
        pass
    assert path.read_bytes() == header_line(HEADER)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b'{"prompt_sha256": "ab\n', "Unterminated string"),
        (b"[]\n", "JSON object"),
        (b"{}\n", "'prompt_sha256'"),
        (b"\xff\xfe\n", "invalid start byte"),
        (b"\n", "Expecting value"),
        (b"[" * 100_000 + b"\n", "nested"),
        (entry_line(entry(1)).replace(b'"sample": 0', b'"sample": "0"'), "sample"),
        (entry_line(entry(1)).replace(b'"text"', b"7"), "response "),
        (entry_line(entry(1)).replace(b'"tokens": 1', b'"tokens": -1'), "usage.tokens"),
        (entry_line(entry(1)).replace(b'"stop"', b'"halt"'), "usage.finish_reason"),
        (entry_line(entry(1)).replace(b'"generated"', b'"guessed"'), "usage.source"),
        (entry_line(entry(1)).replace(b'"tokens": 1, ', b""), "usage "),
    ],
)
def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_changed(
    tmp_path: Path, damage: bytes, reason: str
) -> None:
    path = tmp_path / "journal.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"journal\.jsonl\D+3\b") as caught:
        Journal(path, HEADER)
    assert reason in str(caught.value)
    assert path.read_bytes() == before
    with pytest.raises(RecordError, match=r"journal\.jsonl\D+3\b.*\bsed -i 3d\b"):
        read_journal(path)
    subprocess.run(["sed", "-i", "3d", str(path)], check=True)  # what the message says helps: one response is lost
    assert len(read_journal(path)[1]) == len(lines) - 1


def test_something_else_is_not_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"doc_id": 0}\n')
    with pytest.raises(RecordError, match=r"journal\.jsonl\D+1\b.*\broi-bench journal\b"):
        Journal(path, HEADER)
    path.write_bytes(header_line(HEADER).replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(RecordError, match=shows(path, "version 2", "version 1")):
        Journal(path, HEADER)
    assert json.loads(path.read_text())["version"] == 2


def test_another_run_is_refused_with_the_fields_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    filled(path)
    other = Header(
        {"model": "hf", "model_args": {"pretrained": "m", "dtype": "bfloat16"}, "exam_version": 2, "seed": 1}
    )
    with pytest.raises(RecordError) as caught:
        Journal(path, other)
    message = str(caught.value)
    for name, theirs, ours in (
        ("model_args.dtype", "'float32'", "'bfloat16'"),
        ("exam_version", 1, 2),
        ("seed", "none", 1),
    ):
        assert re.search(rf"\b{name}\b[^;]*{theirs}[^;]*{ours}", message), name
    assert "pretrained" not in message
    with Journal(path, Header(HEADER.run, {"batch": 8})) as journal:  # about is not compared, the first one stays
        assert journal.header == HEADER


def test_a_missing_response_is_replaced_and_a_response_never_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER) as journal:
        journal.append([entry(0, None), entry(1, None)])
        journal.append([entry(0, "late"), entry(1, None)])
        journal.append([entry(0, None), entry(0, "late")])
        with pytest.raises(RecordError, match=shows(path, entry(0).key.prompt_sha256[:12])):
            journal.append([entry(0, "other")])
    _, recorded = read_journal(path)
    assert [item.response for item in recorded.values()] == ["late", None]


def test_two_different_responses_to_one_request_are_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    filled(path)
    with path.open("ab") as file:
        file.write(entry_line(entry(1, "other")))
    with pytest.raises(RecordError, match=r"journal\.jsonl\D+5\b"):
        Journal(path, HEADER)


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys; from pathlib import Path; from roi_bench.records.journal import Journal, read_journal\n"
        "from roi_bench.records.journal import Header\n"
        "journal = Journal(Path(sys.argv[1]), Header({'model': 'other'})); print('open', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(RecordError, match=shows(path, child.pid)):
            Journal(path, HEADER)
    finally:
        child.kill()
        child.communicate()
    with Journal(path, Header({"model": "other"})) as journal:  # the dead process's lock is gone
        assert not journal.entries


def test_one_process_cannot_open_a_journal_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER), pytest.raises(RecordError, match=shows(path, os.getpid())):
        Journal(path, HEADER)
    Journal(path, HEADER).close()


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entries = filled(path)
    before = path.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from tests.records.test_journal import *\n"
        "path = Path(sys.argv[1]); limit = path.stat().st_size + 1000\n"
        "journal = Journal(path, HEADER); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: journal.append([entry(8), entry(9, 'x' * 5000)])\n"
        "except RecordError as error: print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert shown_in(child.stdout, path, "File too large")
    assert path.read_bytes() == before
    assert list(read_journal(path)[1].values()) == entries


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "journal.jsonl"
    with pytest.raises(RecordError, match=shows(path, "File exists")):
        Journal(path, HEADER)
    path = tmp_path / "missing.jsonl"
    with pytest.raises(RecordError, match=shows(path, "No such file")):
        read_journal(path)


def test_a_killed_writer_leaves_only_whole_responses(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys, itertools; from pathlib import Path; from tests.records.test_journal import *\n"
        "journal = Journal(Path(sys.argv[1]), HEADER)\n"
        "for number in itertools.count(): journal.append([entry(2 * number, 'y' * 4000), entry(2 * number + 1)])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2])
    while not path.exists() or path.stat().st_size < 100_000:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with Journal(path, HEADER) as journal:
        assert len(journal.entries) > 40
        assert list(journal.entries.values()) == [
            entry(number, "text" if number % 2 else "y" * 4000) for number in range(len(journal.entries))
        ]
