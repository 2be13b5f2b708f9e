"""Processes that begin where the imports are done: forked from a server that imported lm_eval, torch and ours once.

A start of ``roi-bench run`` or ``lm_eval`` takes five seconds of imports, and plain lm_eval nine more to index its
14,000 task files. Nearly all tests that need a process of their own ask what it does after that: what it writes, how it
dies, what the next one finds. They start here. Tests of the start itself (the bridge, an installation, the README's
commands, torchrun) start Python as users do.
"""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
AT_START = ("PYTHON", "HF_", "TRANSFORMERS_", "OMP_", "MKL_", "LD_", "LITELLM", "LC_", "LANG", "TZ")
"""Variables that act while Python starts or imports: a process to which another value is given is not forked."""

FIRST = dict(os.environ)
"""What the tests began with; libraries that they import set more, which means nothing here."""

SERVER = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    # glibc gives the large buffers of a growing key-value cache back at every step; keeping them halves the time
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}
"""The server's own variables; a process that is given other threads, or the hub, is not forked either."""

SET_BY_IMPORTS: list[str] = []
"""Variables that libraries set while they are imported, filled in the server: its children need them too."""

CONTEXT = multiprocessing.get_context("forkserver")


class WarmProcess:
    """What tests use of ``subprocess.Popen``, for a process that was forked."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        pipes = [CONTEXT.Pipe(duplex=False) for _ in ("stdout", "stderr")]
        ends = [end for _, end in pipes]
        CONTEXT.set_forkserver_preload([f"{__name__}_imports"])
        with mock.patch.dict(os.environ, SERVER):
            forkserver.ensure_running()  # type: ignore[attr-defined]
        self._process = CONTEXT.Process(target=_run, args=(list(arguments), dict(environment), str(folder), *ends))
        self._process.daemon = True  # ends with the tests, whatever they left running
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._texts = ["", ""]
        self._readers = [threading.Thread(target=self._read, args=place, daemon=True) for place in enumerate(pipes)]
        for reader in self._readers:
            reader.start()

    def _read(self, which: int, pipe: tuple[connection.Connection, connection.Connection]) -> None:
        ours, its = pipe
        its.close()
        with open(ours.fileno(), encoding="utf-8", closefd=False) as stream:
            self._texts[which] = stream.read()
        ours.close()

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        self._process.join()
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        for reader in self._readers:
            reader.join()
        return self._texts[0], self._texts[1]


def popen(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> WarmProcess | subprocess.Popen[str]:
    """Start ``python ARGUMENTS`` (``-m module …`` or ``-c code …``), forked where its variables allow that.

    A module on ``PYTHONPATH`` that stands in for one the server has imported is not seen: start Python for that.
    """
    known = dict(os.environ if environment is None else environment)
    if not _given_at_start(known):
        return WarmProcess(arguments, known, folder)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, env=known, cwd=folder)


def _given_at_start(known: Mapping[str, str]) -> list[str]:
    """Return the variables that act at the start and have other values than the server's."""
    names = {name for name in {*known, *FIRST} if name.startswith(AT_START) and name not in ("PYTHONPATH", *SERVER)}
    given = [name for name in names if known.get(name) not in (FIRST.get(name), os.environ.get(name))]
    return given + [name for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE") if known.get(name) != SERVER[name]]


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    timeout: float | None = 900,
) -> subprocess.CompletedProcess[str]:
    """Do the same and wait for its end."""
    child = popen(arguments, environment, folder)
    out, err = child.communicate(timeout=timeout)
    assert child.returncode is not None
    return subprocess.CompletedProcess(list(arguments), child.returncode, out, err)


def _run(
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    out: connection.Connection,
    err: connection.Connection,
) -> None:
    """Be ``python ARGUMENTS`` in this forked process; does not return."""
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8", write_through=True)
        for number in (1, 2)
    )
    # Ctrl-C works also where the tests themselves were started in the background by a shell that ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it may have children
    set_by_imports = {name: os.environ[name] for name in SET_BY_IMPORTS}
    os.environ.clear()
    os.environ.update({**set_by_imports, **environment})
    os.chdir(folder)
    tempfile.tempdir = None  # found anew from the variables
    forkserver._forkserver.__init__()  # type: ignore[attr-defined, misc]  # its own children come from a server of its own
    kind, what, *rest = arguments
    first = folder if kind == "-m" else ""
    sys.path[:] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *sys.path]
    sys.argv = ["-c" if kind == "-c" else "-m", *rest]
    _end(_execute(kind, what))


def _execute(kind: str, what: str) -> int:
    """Execute a module or code as ``__main__`` and return the exit code."""
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)  # noqa: S102 – what -c does
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 – as Python does at its end
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _end(code: int) -> None:
    """Do what Python does at its end; the rest of the server's frames are not this process's."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def remember_builtin_tasks() -> None:
    """Index lm_eval's own task files now, for ``TaskIndex.build`` to take; all else is read anew."""
    import lm_eval.tasks
    from lm_eval.tasks._index import TaskIndex

    builtin, build = Path(lm_eval.tasks.__file__).parent, TaskIndex.build
    known = build([builtin])

    def remembering(paths: Iterable[Path], **options: Any) -> dict[str, Any]:
        index: dict[str, Any] = {}
        for path in paths:
            here = options in ({}, {"resolve_includes": True}) and Path(path) == builtin
            found = dict(known) if here else build([path], **options)
            if index.keys() & found.keys():
                return build(paths, **options)  # which says what overrides what
            index |= found
        return index

    TaskIndex.build = staticmethod(remembering)  # type: ignore[method-assign, assignment]
