"""Wall time of a tiny run through `roi-bench run` against a bare generation loop on the same prompts and batches.

    python benchmarks/run_overhead.py [--model FOLDER] [--limit 480] [--batch 64] [--runs 3]

Both are whole processes, started in turn, from interpreter start to the last file written. The loop loads model and
tokenizer with transformers, generates greedily batch by batch (longest prompts first, as lm_eval does) and writes the
decoded responses; it neither counts, journals, grades nor reports. Both ask each distinct prompt of the medium and hard
task once: three orders an exam.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUDGET = 128

OURS = "from roi_bench.cli.main import main; main()"

LOOP = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from roi_bench.scoring.prompts import exam_prompt
from roi_bench.exams.tiny import tiny_exams

folder, limit, batch, budget, out = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
prompts = {exam_prompt([problem.question for problem in exam.ordered(order)], budget)
           for exam in tiny_exams()[:limit] for order in ("easy", "medium", "hard")}
prompts = sorted(prompts, key=lambda prompt: (-len(tokenizer(prompt).input_ids), prompt))
with open(out, "w") as stream:
    for start in range(0, len(prompts), batch):
        encoded = tokenizer(prompts[start : start + batch], return_tensors="pt", padding=True)
        with torch.no_grad():
            output = model.generate(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask,
                                    max_new_tokens=budget, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for text in tokenizer.batch_decode(output[:, encoded.input_ids.shape[1] :], skip_special_tokens=True):
            stream.write(json.dumps(text) + "\\n")
"""


def measure(code: str, arguments: list[str]) -> tuple[float, float]:
    """Run ``code`` with ``arguments`` in a new process; return its wall-clock and processor seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        raise SystemExit(f"ended with {child.returncode}:\n{child.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a Hugging Face model (default: the shipped tiny model)")
    parser.add_argument("--limit", type=int, default=480, help="exams")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.model is None:
        from roi_bench.exams.tiny import model_path

        options.model = model_path()
    times: dict[str, list[tuple[float, float]]] = {"bare loop": [], "roi-bench run": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            sizes = [str(options.limit), str(options.batch), str(BUDGET)]
            times["bare loop"].append(measure(LOOP, [str(options.model), *sizes, f"{folder}/responses.jsonl"]))
            command = ["run", "--model", "hf", "--model_args", f"pretrained={options.model},dtype=float32"]
            command += ["--tasks", f"roi_tiny_hard_{BUDGET},roi_tiny_medium_{BUDGET}", "--limit", str(options.limit)]
            command += ["--batch_size", str(options.batch), "--device", "cpu", "--output_path", folder]
            times["roi-bench run"].append(measure(OURS, command))
    print("| | wall s, median (range) | processor s, median |\n|---|---|---|")
    middle = {}
    for name, pairs in times.items():
        walls, cpus = zip(*pairs, strict=True)
        wall, cpu = middle[name] = statistics.median(walls), statistics.median(cpus)
        print(f"| {name} | {wall:.1f} ({min(walls):.1f}–{max(walls):.1f}) | {cpu:.1f} |")
    ratios = [middle["roi-bench run"][k] / middle["bare loop"][k] for k in (0, 1)]
    print(f"| *ratio* | {ratios[0]:.2f}× | {ratios[1]:.2f}× |")


if __name__ == "__main__":
    main()
