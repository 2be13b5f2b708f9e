"""Folders made to do harm: refused with one sentence, within seconds and a small part of the machine's memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import RecordError
from roi_bench.leaderboard.checks import rules as checks
from roi_bench.leaderboard.checks.rules import check_submission, content_hash
from roi_bench.leaderboard.submission import untrusted_files as limits
from roi_bench.leaderboard.submission.schema import submission_id
from roi_bench.leaderboard.submission.untrusted_files import read_folder, unpacked_lines
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered, write_folder
from tests.support.messages import missing

FILE = "roi_tiny_hard_128.jsonl.gz"

CHECK = """
import resource, sys
from pathlib import Path
from roi_bench.errors import RecordError
from roi_bench.leaderboard.checks.rules import check_submission
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_submission(Path(sys.argv[1]))
except RecordError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("draft") / "submissions", [MadeTask(exams=3)])


def with_file(draft: Path, out: Path, content: bytes) -> Path:
    """Return a copy whose file of responses is ``content``, with its hash and the id put right."""
    document = json.loads((draft / "submission.json").read_text(encoding="utf-8"))
    document["tasks"][0]["sha256"] = sha256(content).hexdigest()
    document["id"] = submission_id(document)
    return write_folder(out / document["id"], document, {FILE: content})


def with_document(out: Path, content: bytes) -> Path:
    folder = out / "model-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "submission.json").write_bytes(content)
    return folder


def refusal(folder: Path, within: float = 20) -> str:
    start = time.monotonic()
    with pytest.raises(RecordError) as refused:
        check_submission(folder)
    assert time.monotonic() - start < within
    message = str(refused.value)
    assert len(message.replace(str(folder), "")) < 500
    assert message.isprintable()
    return message


def zeros(size: int) -> bytes:
    """Return a gzip file of ``size`` zeros, of a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (zeros(256 << 20), f"line.*{limits.LINE_BYTES}"),
        (gzip.compress(b'{"id":"' + b"ab" * (30 << 20), 1, mtime=0), f"line.*{limits.LINE_BYTES}|bomb"),
    ],
    ids=["zeros", "a long text"],
)
def test_archive_bombs_cost_no_memory(draft: Path, tmp_path: Path, content: bytes, fact: str) -> None:
    folder = with_file(draft, tmp_path, content)
    done = subprocess.run([sys.executable, "-c", CHECK, folder], capture_output=True, text=True, check=True, timeout=90)
    why, grown = done.stdout.splitlines()
    assert re.search(fact, why)
    assert int(grown) < 120_000  # KiB: jsonschema, the packed file, and a line


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (gzip.compress(b"\n" * (50 << 20), 1, mtime=0), [FILE, "JSON"]),
        (gzip.compress(gzip.compress(b"[" * (16 << 20), mtime=0), mtime=0), [FILE, "UTF-8"]),
        (gzip.compress(b"[" * (1 << 20), mtime=0), [FILE, "nested"]),
        (
            gzip.compress((b'{"id": "a", "requests": []}' + b" " * 1000 + b"\n") * 50_000, mtime=0),
            ["a", 1],
        ),
    ],
    ids=["line ends", "packed twice", "brackets", "empty rows"],
)
def test_files_that_unpack_to_nonsense(draft: Path, tmp_path: Path, content: bytes, facts: list[object]) -> None:
    assert missing(facts, refusal(with_file(draft, tmp_path, content))) == []


def test_what_unpacks_to_more_than_its_size_allows_stops_there() -> None:
    lines = unpacked_lines(gzip.compress((b"x" * 1023 + b"\n") * (64 << 10), 9, mtime=0))
    read = 0
    with pytest.raises(ValueError, match="bomb"):  # noqa: PT012
        for line in lines:
            read += len(line)
    assert 1 << 20 < read < 64 << 20


def link_inside(folder: Path) -> None:
    (folder / FILE).rename(folder.parent / "real")
    (folder / FILE).symlink_to(folder.parent / "real")


def link_to_secret(folder: Path) -> None:
    (folder / "submission.json").unlink()
    (folder / "submission.json").symlink_to("/etc/passwd")


def pipe(folder: Path) -> None:
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)


def sock(folder: Path) -> None:
    (folder / FILE).unlink()
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(FILE)
    finally:
        os.chdir(here)


def inner_folder(folder: Path) -> None:
    (folder / "inner").mkdir()


def folder_as_file(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).mkdir()


def many_files(folder: Path) -> None:
    for k in range(limits.FILES):
        (folder / f"{k}").touch()


def large_file(folder: Path) -> None:
    with (folder / FILE).open("wb") as stream:
        stream.truncate(limits.FILE_BYTES + 1)


def large_metadata(folder: Path) -> None:
    with (folder / "submission.json").open("wb") as stream:
        stream.truncate(limits.METADATA_BYTES + 1)


def large_folder(folder: Path) -> None:
    for k in range(limits.FOLDER_BYTES // limits.FILE_BYTES + 1):
        with (folder / f"{k}").open("wb") as stream:
            stream.truncate(limits.FILE_BYTES)


def strange_name(folder: Path) -> None:
    (folder / "\x1b[31m<script>\udcff\u202e").touch()


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (link_inside, [FILE, "plain file"]),
        (link_to_secret, ["submission.json", "plain file"]),
        (pipe, [FILE, "plain file"]),
        (sock, [FILE, "plain file"]),
        (inner_folder, ["inner", "plain file"]),
        (folder_as_file, [FILE, "plain file"]),
        (many_files, [f"{limits.FILES} files"]),
        (large_file, [FILE, f"{limits.FILE_BYTES} bytes"]),
        (large_metadata, ["submission.json", f"{limits.METADATA_BYTES} bytes"]),
        (large_folder, ["bytes"]),
        (strange_name, ["?[31m<script>"]),
    ],
)
def test_folders_of_other_things(draft: Path, tmp_path: Path, change: Callable[[Path], None], facts: list[str]) -> None:
    folder = tampered(draft, tmp_path, consistent=False)
    change(folder)
    assert missing(facts, refusal(folder)) == []
    with contextlib.suppress(RecordError):
        content_hash(folder)


def test_a_folder_that_is_a_link_or_none_at_all(draft: Path, tmp_path: Path) -> None:
    (tmp_path / draft.name).symlink_to(draft)
    assert missing([draft.name, "link"], refusal(tmp_path / draft.name)) == []
    (tmp_path / "file").touch()
    for name in ("file", "nothing"):
        assert missing([name, "folder"], refusal(tmp_path / name)) == []
    with pytest.raises(RecordError, match="nothing"):
        content_hash(tmp_path / "nothing")


def test_the_hash_of_a_folder_follows_from_names_and_bytes(draft: Path, tmp_path: Path) -> None:
    copy = tampered(draft, tmp_path, consistent=False)
    (copy / "submission.json").write_bytes((draft / "submission.json").read_bytes())
    assert content_hash(copy) == content_hash(draft)
    assert set(read_folder(copy)) == {"submission.json", FILE}
    with (copy / FILE).open("ab") as stream:
        stream.write(b"x")
    assert content_hash(copy) != content_hash(draft)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "JSON"),
        (b"null", "null.*object"),
        (b"[]", "list of 0 entries.*object"),
        (b"[" * 500_000, "nested"),
        (b'{"a":' * 150_000, "nested"),
        (b'{"usd": NaN}', "NaN"),
        (b'{"usd": 1e400}', "too large"),
        (b'{"usd": ' + b"9" * 900_000 + b"}", "18 digits"),
        (b'{"id": 1, "id": 2}', "'id'"),
        (b'{"id": "\xff\xfe"}', "UTF-8"),
        (b'{"id": "\\ud834"}', "character"),
        (b'{"' + b"k" * 900_000 + b'": 1}', "kkkk|'format'"),
        (b'{"tasks": [' + b"0," * 300_000 + b"0]}", "'format'"),
    ],
)
def test_hostile_metadata(tmp_path: Path, content: bytes, fact: str) -> None:
    assert re.search(rf"submission\.json.*({fact})", refusal(with_document(tmp_path, content)))


@pytest.mark.parametrize("field", ["model", "contact", "notes", "contamination", "licence", "hardware"])
def test_a_field_of_a_million_characters(draft: Path, tmp_path: Path, field: str) -> None:
    def fill(document: dict[str, Any]) -> None:
        document["metadata"][field] = "x" * 1_000_000

    assert missing([f"metadata.{field}", "1,000,000"], refusal(tampered(draft, tmp_path, document=fill))) == []


def test_lists_made_to_be_slow_to_compare(draft: Path, tmp_path: Path) -> None:
    def fill(document: dict[str, Any]) -> None:
        document["tasks"][0]["deviations"] = [{str(k): k} for k in range(15_000)]

    assert "tasks[0].deviations" in refusal(tampered(draft, tmp_path, document=fill))


def test_markup_in_every_text_is_just_text(draft: Path, tmp_path: Path) -> None:
    script = "<script>alert(1)</script><svg onload=x>![a](javascript:x) $\\href{javascript:x}{a}$ {{7*7}}"

    def fill(document: dict[str, Any]) -> None:
        for name in ("model", "version", "provider", "organisation", "licence", "hardware", "contact"):
            document["metadata"][name] = script
        document["metadata"].update(notes=script + "\n" + script, contamination=script)
        document["tasks"][0].update(deviations=[f"stop={script}"], decoding={"stop": script})
        document["software"] = {"package": script[:80]}

    checked = check_submission(tampered(draft, tmp_path, document=fill))
    assert checked.submission.metadata.model == script
    assert checked.submission.id.startswith("script-alert-1-script-svg-onload-x-a-jav")


def test_all_files_together_unpack_to_no_more_than_a_folder_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = made_submission(tmp_path / "two", [MadeTask(exams=3), MadeTask(exams=3, order="medium")])
    sizes = [len(gzip.decompress(path.read_bytes())) for path in sorted(two.glob("*.gz"))]
    monkeypatch.setattr(checks, "FOLDER_UNPACKED_BYTES", sum(sizes))
    check_submission(two)
    monkeypatch.setattr(checks, "FOLDER_UNPACKED_BYTES", max(sizes) + 100)
    assert re.search(r"roi_tiny_hard_128\.jsonl\.gz.*\b\d+ bytes", refusal(two))


def test_a_response_is_no_longer_than_its_budget_allows(draft: Path, tmp_path: Path) -> None:
    def blow_up(rows: list[dict[str, Any]]) -> None:
        one = rows[0]["requests"][0][0]
        one.update(text=" " * (64 * 128 + 4096 + 1), token_lengths=[0] + [256] * 47)

    assert missing(["12289 characters", "12288"], refusal(tampered(draft, tmp_path, rows=blow_up))) == []


def test_more_responses_than_can_be_graded_are_refused_before_they_are_read(draft: Path, tmp_path: Path) -> None:
    folder = tampered(
        draft, tmp_path, document=lambda document: document["tasks"][0].update(repeats=256, documents=489)
    )
    assert missing(["250368 responses", "250000"], refusal(folder)) == []


def test_a_revision_that_climbs_out_of_the_hub_is_refused(draft: Path, tmp_path: Path) -> None:
    def revised(revision: str) -> Callable[[dict[str, Any]], None]:
        change = {"tokenizer": "org/name", "tokenizer_revision": revision}
        return lambda document: document["tasks"][0].update(change)

    for k, revision in enumerate(("a/../../b", "v1..v2", "main/..")):
        assert "tokenizer_revision" in refusal(tampered(draft, tmp_path / f"{k}", document=revised(revision)))
    check_submission(tampered(draft, tmp_path, document=revised("refs/pr/1.0")))


def test_more_rows_than_there_are_exams(draft: Path, tmp_path: Path) -> None:
    def many(rows: list[dict[str, Any]]) -> None:
        rows += [{**rows[0], "id": f"x/{k}"} for k in range(3000)]

    assert "tasks[0].documents" in refusal(tampered(draft, tmp_path, rows=many))
