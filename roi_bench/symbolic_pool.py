"""Pool of killable processes for symbolic checks, each under a processor-time, a wall-clock and a memory limit.

The processes are started with ``subprocess`` (nothing is forked from the caller, which may hold a GPU, threads or an
``accelerate`` group), lazily, and talk over pipes (:mod:`roi_bench.symbolic_worker`). The pool may be used from any
thread. A process that hits a limit is replaced; the check counts as ``limit``. A process that dies for another reason
(somebody killed it) is replaced and the check repeated once.

The processor-time limit decides; the wall-clock limit is :data:`WALL_FACTOR` times as long and only catches a process
that hangs without computing, so that a busy machine does not change verdicts.
"""

from __future__ import annotations

import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from roi_bench.errors import DependencyError

WALL_FACTOR = 10.0
START_SECONDS = 120.0
"""Wall-clock limit for the start of a worker (importing SymPy from a cold disk)."""

MAX_PAYLOAD_BYTES = 32 * 1024
"""Longest request; smaller than a pipe's buffer, so that writing it never blocks."""

RECYCLE_AFTER = 2000
"""Checks after which a worker is replaced."""

WORKER = (sys.executable, "-P", "-m", "roi_bench.symbolic_worker")
"""The command of a worker process; ``-P``: the working directory must not shadow modules."""

CheckResult = Literal["equal", "unequal", "limit"]

Pair = tuple[str, str, str]
"""(gold answer, answer, question)."""


class _DiedError(Exception):
    """The worker ended without a reply; ``limit`` tells whether by one of its own limits."""

    def __init__(self, limit: bool) -> None:
        super().__init__(limit)
        self.limit = limit


class _Worker:
    """One worker process."""

    def __init__(self, seconds: float, memory_mb: int, command: tuple[str, ...]) -> None:
        environment = dict(os.environ, PYTHONHASHSEED="0", OMP_NUM_THREADS="1")
        package_parent = str(Path(__file__).resolve().parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), package_parent]))
        self._wall_seconds = seconds * WALL_FACTOR
        self._buffer = b""
        self.checks = 0
        self._process = subprocess.Popen(
            [*command, str(seconds), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        try:
            self._read(START_SECONDS)
        except _DiedError as error:
            self.kill()
            raise DependencyError(
                "the symbolic checker did not start; install its packages with: pip install math-verify "
                f"(to see the reason run: {sys.executable} -m roi_bench.symbolic_worker 5 2048)"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self, payload: bytes) -> CheckResult:
        """Raises: _DiedError."""
        self.checks += 1
        stdin = self._process.stdin
        if stdin is None:  # cannot be: it was asked for as a pipe
            raise _DiedError(False)
        try:
            stdin.write(payload)
        except OSError:
            raise self._death() from None
        equal = json.loads(self._read(self._wall_seconds))["equal"]
        return "limit" if equal is None else "equal" if equal else "unequal"

    def _read(self, seconds: float) -> bytes:
        """Return the next line; raises _DiedError if none comes in time."""
        stdout = self._process.stdout
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            if stdout is not None:
                selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if stdout is None or not selector.select(max(0.0, deadline - time.monotonic())):
                    self.kill()
                    raise _DiedError(True)
                received = os.read(stdout.fileno(), 65536)
                if not received:
                    raise self._death()
                self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _death(self) -> _DiedError:
        self.kill_if_running_after(1.0)
        code = self._process.returncode
        # SIGPROF: our processor-time limit. SIGSEGV and SIGABRT: a stack or an allocation that could not grow.
        own = {-getattr(signal, name) for name in ("SIGPROF", "SIGSEGV", "SIGABRT") if hasattr(signal, name)}
        return _DiedError(code in own)

    def kill_if_running_after(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


class SymbolicPool:
    """Pool of worker processes; use it as a context manager or call :meth:`close`.

    Args:
        workers: Number of processes, at least 1.
        seconds: Processor-time limit of a check.
        memory_mb: Address-space limit of a process in MiB.
        command: What a worker process runs, the two limits behind it; another one stands in for it in tests.
    """

    def __init__(self, workers: int, seconds: float, memory_mb: int, command: tuple[str, ...] = WORKER) -> None:
        self._limits = (seconds, memory_mb, command)
        self._size = max(1, workers)
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(self._size):
            self._slots.put(None)
        self._running: dict[int, _Worker] = {}
        self._finalizer = weakref.finalize(self, _kill_all, self._running, self._owner)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(self._running)

    def check(self, gold: str, answer: str, question: str = "") -> CheckResult:
        """Compare one answer with one gold answer; may be called from any thread.

        Raises:
            DependencyError: math-verify is not installed.
        """
        payload = json.dumps({"gold": gold, "answer": answer, "question": question}).encode("ascii") + b"\n"
        if len(payload) > MAX_PAYLOAD_BYTES:
            return "limit"
        if os.getpid() != self._owner:  # we are a forked copy: the pipes belong to the original
            self._running.clear()
            self._reset()
        worker = self._slots.get()
        try:
            for _ in range(2):
                if worker is None:
                    worker = self._start()
                try:
                    result = worker.check(payload)
                except _DiedError as death:
                    self._drop(worker)
                    worker = None
                    if death.limit:
                        return "limit"
                    continue
                if result == "limit" or worker.checks >= RECYCLE_AFTER:
                    self._drop(worker)
                    worker = None
                return result
            return "limit"
        finally:
            self._slots.put(worker)

    def check_many(self, pairs: Sequence[Pair]) -> list[CheckResult]:
        """Check answers in parallel; the order is kept."""
        if len(pairs) < 2 or self._size == 1:
            return [self.check(*pair) for pair in pairs]
        with ThreadPoolExecutor(self._size) as threads:
            return list(threads.map(lambda pair: self.check(*pair), pairs))

    def _start(self) -> _Worker:
        worker = _Worker(*self._limits)
        self._running[worker.pid] = worker
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._running.pop(worker.pid, None)
        worker.kill()

    def close(self) -> None:
        """End all workers; a later check starts new ones."""
        self._finalizer()
        self._reset()

    def __enter__(self) -> SymbolicPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kill_all(running: dict[int, _Worker], owner: int) -> None:
    if os.getpid() == owner:
        for worker in list(running.values()):
            worker.kill()
    running.clear()
