"""Results files and samples files as lm_eval writes them, of one task of the tiny exams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from roi_bench.scoring.prompts import prompt_sha256

TASK = "roi_tiny_hard_128"


def sample(exam_id: str, main: list[Any], easy: list[Any], **more: Any) -> dict[str, Any]:
    return {"doc": {"exam_id": exam_id, "order": "hard"}, "resps": [main, easy], **more}


def write(folder: Path, samples: list[dict[str, Any]], sat: int | None = None, **changes: Any) -> Path:
    record = {
        "exam_set": "tiny",
        "exam_version": 1,
        "exam_seed": 0,
        "order": "hard",
        "budget": 128,
        "repeats": 1,
        "prompt": "direct",
        "prompt_sha256": prompt_sha256("direct"),
        "tokenizer": None,
        "tokenizer_revision": None,
        "text_is_whole": True,
        **changes,
    }
    results = {
        "results": {TASK: {"alias": TASK, "score,none": 2.0, "score_stderr,none": "N/A"}},
        "configs": {TASK: {"metadata": {"roi_bench": record}}},
        "n-samples": {TASK: {"original": 480, "effective": len(samples) if sat is None else sat}},
    }
    path = folder / "results_2026-01-02.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    lines = "".join(json.dumps(line) + "\n" for line in samples)
    (folder / f"samples_{TASK}_2026-01-02.jsonl").write_text(lines, encoding="utf-8")
    return path
