"""vLLM's log: warnings go to stderr, and errors also to a file, which knows why an engine in another process failed."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

CONFIGURATION = "VLLM_LOGGING_CONFIG_PATH"
"""The variable by which vLLM and the processes that it starts find how to log."""

QUIET_TRACKER = "ignore:resource_tracker:UserWarning"
"""Python's own process that frees what a dead one has shared says so when everybody has ended, after the last line."""

_ERROR = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (\S.*)")
_POINTS_ELSEWHERE = re.compile(r"root cause|stack trace|initialization failed", re.IGNORECASE)


def set_up(verbosity: str | None) -> Path | None:
    """Let vLLM log to stderr at ``verbosity``, by default its warnings, and its errors to a file too.

    By itself it writes dozens of lines to stdout, where the results are. Its own variables win where they are set.

    Returns:
        The file of errors, gone when this process ends; None where the user configured vLLM's log.
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
    """Return the error behind a failure of the engine as ``type: message``, or None where the file tells none.

    The processes of an engine pass an error on as one that points to the log; the last that does not is the cause.
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
    told = "(%(processName)s pid=%(process)d) %(levelname)s %(asctime)s [%(filename)s:%(lineno)d] %(message)s"
    shown = {"class": "logging.StreamHandler", "formatter": "told", "level": level, "stream": stream}
    kept = {"class": "logging.FileHandler", "formatter": "told", "level": "ERROR", "filename": str(errors)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"told": {"format": told, "datefmt": "%m-%d %H:%M:%S"}},
        "handlers": {"shown": shown, "kept": {**kept, "delay": True, "encoding": "utf-8"}},
        "loggers": {"vllm": {"handlers": ["shown", "kept"], "level": level, "propagate": False}},
    }
