"""``roi-bench run`` on a small model: its arguments, a process of its own, and what it left in the output folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.warm_process import WarmProcess, popen

HARD, MEDIUM = "roi_tiny_hard_128", "roi_tiny_medium_128"


def command(model: Path, output: Path, *more: str, tasks: str = HARD, limit: int = 4) -> list[str]:
    return [
        *("--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu", "--batch_size", "3"),
        *("--tasks", tasks, "--limit", str(limit), "--output_path", str(output), *more),
    ]


def in_process(arguments: list[str]) -> WarmProcess | subprocess.Popen[str]:
    code = "from roi_bench.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return popen(["-c", code, "run", *arguments], environment)


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
