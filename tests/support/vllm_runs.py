"""``roi-bench run --model vllm`` on a package of vLLM's interface that really generates."""

from __future__ import annotations

from pathlib import Path

from tests.support.roi_runs import HARD

FAKE = Path(__file__).parents[1] / "harness" / "fake_vllm"


def command(model: Path, output: Path, limit: int = 6) -> list[str]:
    return [
        *("run", "--model", "vllm", "--model_args", f"pretrained={model},dtype=float32,max_num_seqs=4"),
        *("--tasks", HARD, "--limit", str(limit), "--output_path", str(output)),
    ]
