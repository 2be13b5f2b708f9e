"""Stages as processes: a new interpreter or a fork, exit codes, Ctrl-C, and when which of the two is taken."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from roi_bench.training.stages.process import run_forked, run_stage, stage_runner

RUNNERS = pytest.mark.parametrize("runner", [run_stage, run_forked], ids=lambda runner: runner.__name__)


@RUNNERS
@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), (["exams", "sow"], 2), (["regrade", "nowhere-at-all"], 2)]
)
def test_exit_codes_pass(runner, arguments, code):
    assert runner(arguments) == code


STAND_IN = """
import atexit, pathlib, sys, time
import roi_bench.cli.main

def main():
    out = pathlib.Path(sys.argv[-1])
    atexit.register((out / "left").touch)
    try:
        (out / "begun").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(1)  # longer than subprocess.run would wait
        (out / "ended").write_text(str(sys.argv[1:]), "utf-8")
        raise SystemExit(130)

roi_bench.cli.main.main = main
"""
"""Every interpreter of the test runs this first; ``python -m roi_bench`` then is a stage that sleeps."""

PARENT = """
import signal, sys
from roi_bench.training.stages import process as stage_process
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        getattr(stage_process, sys.argv[1])(["train", "mft", sys.argv[2]])
    except KeyboardInterrupt:
        raise SystemExit(130)
"""


@RUNNERS
def test_ctrl_c_lets_the_stage_end_by_itself(runner, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(STAND_IN, "utf-8")
    (tmp_path / "parent.py").write_text(PARENT, "utf-8")
    paths = [str(tmp_path), str(Path(__file__).parents[2])]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), runner.__name__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )
    for _ in range(300):
        if (tmp_path / "begun").exists() or process.poll() is not None:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert (tmp_path / "ended").read_text("utf-8") == str(["train", "mft", str(tmp_path)])
    assert (tmp_path / "left").exists(), "what is registered to run at exit ran"


@pytest.mark.parametrize(
    ("platform", "accelerator", "runner"),
    [("linux", False, run_forked), ("linux", True, run_stage), ("darwin", False, run_stage)],
)
def test_stages_are_forked_on_the_cpu_of_linux_alone(monkeypatch, platform, accelerator, runner):
    started = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: started.append("server"))
    assert stage_runner() is runner
    assert started == (["server"] if runner is run_forked else [])


def test_without_torch_the_stage_itself_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: pytest.fail("there is nothing to share"))
    assert stage_runner() is run_stage


def test_what_stages_share_is_imported_and_nothing_else_changes():
    handler = signal.getsignal(signal.SIGINT)
    try:
        from roi_bench.training.stages.imports import SHARED

        assert set(SHARED) <= set(sys.modules)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        gc.unfreeze()
