"""Cores that may be used, files that are written whole or not at all, and what a log keeps of a progress bar."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from roi_bench.machine import LOG_INTERVAL, TERMINAL_INTERVAL, BarFile, usable_cores, write_atomically


def test_a_file_is_replaced_in_one_step_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"new")]


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="28"):
        write_atomically(path, b"new")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"old")]


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_only_cores_that_may_be_used_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(before)})
        assert usable_cores() == (max(before),)
    finally:
        os.sched_setaffinity(0, before)
    assert set(usable_cores()) == before


def test_where_nobody_tells_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == (0, 1, 2)


class Screen(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize("leave", [False, True])
def test_a_log_keeps_a_line_for_each_state_of_a_bar_and_no_rest(monkeypatch: pytest.MonkeyPatch, leave: bool) -> None:
    log = Screen(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", log)
    file = BarFile()
    assert file.interval == LOG_INTERVAL
    for _ in tqdm(range(3), desc="grading", leave=leave, file=file, mininterval=0, miniters=1):
        pass
    log.write("next\n")
    lines = log.getvalue().split("\n")
    assert lines[-2:] == ["next", ""]
    assert [line.partition("|")[0] for line in lines[:4]] == [f"grading: {share:>3}%" for share in (0, 33, 67, 100)]
    assert "\r" not in log.getvalue()
    assert not any(line.endswith(" ") or not line for line in lines[:-1])


def test_a_terminal_gets_the_bar_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Screen(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    file = BarFile()
    assert file.interval == TERMINAL_INTERVAL
    file.write("\r 50%")
    file.flush()
    assert terminal.getvalue() == "\r 50%"
