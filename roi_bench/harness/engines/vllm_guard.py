"""Ending a vLLM engine when this process was killed outright (kill -9): it would run on, and keep the memory."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path

GUARD = """
import os, select, signal, sys

def told(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[1]), fields[19]  # parent, start

def command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()

def look(root, known):
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = told(name)
        except OSError:
            pass
    family = {root} | set(known)
    for _ in range(4):  # engine, worker, what a worker starts
        family |= {pid for pid, (parent, _) in parents.items() if parent in family}
    for pid in family - {root, os.getpid()} - set(known):
        if pid in parents:
            known[pid] = parents[pid][1]

def is_of_the_engine(pid, own):
    said = command(pid)
    return b"VLLM::" in said or b"multiprocessing" in said or said == own

root, known = int(sys.argv[1]), {}
own = command(root)
while True:
    look(root, known)
    if select.select([sys.stdin], [], [], 1.0)[0]:
        break
for pid, start in known.items():
    try:
        if told(pid)[1] == start and is_of_the_engine(pid, own):
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""
"""It notes the descendants of a process until the other end of its input is closed, as the system does for one that is
gone; then it kills those that Python's multiprocessing or vLLM started and that are still there."""


class Guard:
    """A small process that ends what this one has started, should this one be killed. Where there is no /proc, none.

    It knows them by looking once a second, so it may be there before they are.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if Path("/proc/self/stat").exists():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the run, which ends its engine itself
            )

    def dismiss(self) -> None:
        """End the guard; nobody is killed."""
        if self._process is None:
            return
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def stand_guard() -> None:
    """Have a guard until this process ends by itself."""
    atexit.register(Guard().dismiss)
