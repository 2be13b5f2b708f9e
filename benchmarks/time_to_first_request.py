"""Time from starting the command to the first request to the model: `roi-bench run` against plain `lm_eval run`.

    python benchmarks/time_to_first_request.py [--model FOLDER] [--runs 5]

The commands are started as new processes, in turn, with the same arguments (model, task, limit). Each ends itself where
it first asks the model for a response; the time is taken from outside, interpreter start included. One uncounted start
of each comes first, so that modules are compiled and files are cached.

Two backends: `hf` with a local model, where importing torch and transformers is part of both (the row *bare* is a
script that only loads model and tokenizer with transformers), and `roi-playback`, which loads no model, as an API
backend does not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STOPPED = 77

# Runs in the child: ends the process where the backend is first asked for a response.
UNTIL_FIRST_REQUEST = """
import importlib.machinery, os, sys
SEAMS = {"lm_eval.models.huggingface": ("HFLM", "_model_generate"),
         "roi_bench.harness.engines.playback": ("PlaybackLM", "generate_until")}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name not in SEAMS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            owner, method = SEAMS[name]
            setattr(getattr(module, owner), method, lambda self, requests=(), disable_tqdm=False, **_: os._exit(77))
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""

PLAIN = UNTIL_FIRST_REQUEST + "from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
OURS = UNTIL_FIRST_REQUEST + "from roi_bench.cli.main import main; main()"
BARE = """
import os, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[sys.argv.index("--model_args") + 1].removeprefix("pretrained=")
AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
os._exit(77)
"""


def measure(code: str, arguments: list[str]) -> tuple[float, float]:
    """Run ``code`` with ``arguments`` in a new process; return its wall-clock and processor seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.run(
        [sys.executable, "-c", code, "run", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode != STOPPED:
        raise SystemExit(f"ended with {child.returncode} before the first request:\n{child.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a Hugging Face model (default: the shipped tiny model)")
    parser.add_argument("--task", default="roi_tiny_hard_128")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.model is None:
        from roi_bench.exams.tiny import model_path

        options.model = model_path()
    print("| backend | command | wall s, median (range) | processor s, median |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "responses.jsonl"
        recording.write_text(json.dumps({"exam": "none", "order": "hard", "response": ""}) + "\n")
        hf = ["--model", "hf", "--model_args", f"pretrained={options.model}", "--device", "cpu"]
        playback = ["--model", "roi-playback", "--model_args", f"responses={recording}"]
        compare("hf", hf, {"lm_eval run": PLAIN, "roi-bench run": OURS, "bare": BARE}, options)
        compare("roi-playback", playback, {"lm_eval run": PLAIN, "roi-bench run": OURS}, options)


def compare(backend: str, model: list[str], codes: dict[str, str], options: argparse.Namespace) -> None:
    """Measure the commands of one backend in turn and print their rows and the ratio of the first two."""
    times: dict[str, list[tuple[float, float]]] = {command: [] for command in codes}
    for turn in range(options.runs + 1):
        for command, code in codes.items():
            with tempfile.TemporaryDirectory() as output:
                measured = measure(code, [*model, "--tasks", options.task, "--limit", "30", "--output_path", output])
            if turn:
                times[command].append(measured)
    middle = {}
    for command, pairs in times.items():
        walls, cpus = zip(*pairs, strict=True)
        middle[command] = statistics.median(walls), statistics.median(cpus)
        wall, cpu = middle[command]
        print(f"| {backend} | {command} | {wall:.2f} ({min(walls):.2f}–{max(walls):.2f}) | {cpu:.2f} |")
    plain, ours = middle["lm_eval run"], middle["roi-bench run"]
    print(f"| {backend} | *ratio* | {plain[0] / ours[0]:.1f}× | {plain[1] / ours[1]:.1f}× |", flush=True)


if __name__ == "__main__":
    main()
