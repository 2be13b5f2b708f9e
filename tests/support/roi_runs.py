"""``roi-bench run`` on a small model: its arguments, a process of its own, and what it left in the output folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HARD, MEDIUM = "roi_tiny_hard_128", "roi_tiny_medium_128"


def command(model: Path, output: Path, *more: str, tasks: str = HARD, limit: int = 4) -> list[str]:
    return [
        *("--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu", "--batch_size", "3"),
        *("--tasks", tasks, "--limit", str(limit), "--output_path", str(output), *more),
    ]


def in_process(arguments: list[str]) -> subprocess.Popen[str]:
    # Ctrl-C works also where the tests themselves were started in the background by a shell that ignores it.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; from roi_bench.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", *arguments], stdout=pipe, stderr=pipe, text=True, env=environment
    )


def results_path(output: Path) -> Path:
    return max(output.rglob("results_*.json"))


def results_in(output: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(results_path(output).read_text())
    return loaded


def samples_in(output: Path, task: str = HARD) -> list[dict[str, Any]]:
    path = max(output.rglob(f"samples_{task}_*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def journal_in(output: Path) -> Path:
    (path,) = output.rglob("journal-*.jsonl")
    return path
