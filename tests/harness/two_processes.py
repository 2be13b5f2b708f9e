"""Run by ``accelerate launch`` in a test: exams split over processes on the CPU, merged by lm_eval, printed as JSON.

lm_eval's hf backend splits work over GPUs only; on the CPU each of its processes does all of it. Telling the backend
its place makes it split here as it does on GPUs, so that gathering, padding and aggregation are the real ones.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tests.harness.harness_runs import simple_evaluate_or_none


def main(task: str, limit: int) -> None:
    """Sit ``limit`` exams of ``task`` with the shipped model."""
    from lm_eval.models.huggingface import HFLM

    from roi_bench.exams.tiny import model_path
    from roi_bench.grading.grader import shared_grader

    arguments = {"pretrained": str(model_path()), "dtype": "float32"}
    model = HFLM(**arguments, device="cpu", batch_size=8)
    if hasattr(model, "accelerator"):
        model._rank = model.accelerator.process_index
        model._world_size = model.accelerator.num_processes
    results = simple_evaluate_or_none([task], model=model, model_args=arguments, metadata=None, limit=limit)
    verdict = shared_grader().grade("math", "\\sin^2(x)+\\cos^2(x)+y", ("1+y",))
    if results is not None:
        samples = results["samples"][task]
        ids = sorted(sample["doc"]["exam_id"] for sample in samples)
        found = {
            "world": model.world_size,
            "numbers": results["results"][task],
            "exams": ids,
            "symbolic": asdict(verdict),
        }
        print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
