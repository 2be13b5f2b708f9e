"""How fast and how large ``roi-bench run`` is beside the bare engine and beside plain lm_eval (docs/engines.md).

    python benchmarks/engine_speed.py vllm MODEL_FOLDER [--exams 60] [--engine-args dtype=float32,enforce_eager=True]
    python benchmarks/engine_speed.py hf MODEL_FOLDER [--exams 60] [--batch-size 12] [--dtype float32]
    python benchmarks/engine_speed.py memory

``vllm``: whole processes, start to end, on the hard order at 512 tokens: the run with its defaults and a bare
``LLM.generate`` over the same distinct prompts with the same engine arguments, in turn (A/B/A/B), then plain
``lm_eval`` with its defaults once. ``hf``: the run and plain ``lm_eval`` with one batch size, in turn. Both print
seconds per generated token and ratios. ``memory``: how much the peak memory of a process grows with its responses, the
run and plain ``lm_eval`` on a model that answers at once, per response.

The exams come from ROI_BENCH_DATA_DIR or the hub. Nothing else should be running. Plain ``lm_eval`` needs a
distribution called ``vllm``, which the CPU build is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASK, BUDGET = "roi_exam_hard_512", 512
TINY = "roi_tiny_hard_128"

BARE = """
import json, sys
from vllm import LLM, SamplingParams
prompts, arguments, budget = json.load(open(sys.argv[1])), json.loads(sys.argv[2]), int(sys.argv[3])
llm = LLM(**arguments)
tokenizer = llm.get_tokenizer()
begins = tokenizer.bos_token or "\\0"
ids = [tokenizer(text, add_special_tokens=not text.startswith(begins))["input_ids"] for text in prompts]
ids = [{"prompt_token_ids": found} for found in ids]
outputs = llm.generate(ids, SamplingParams(temperature=0, max_tokens=budget, skip_special_tokens=False))
json.dump([len(output.outputs[0].token_ids) for output in outputs], open(sys.argv[4], "w"))
"""
"""A process that does what vLLM's documentation shows, and no more."""

MEASURED = """
import resource, runpy, sys
import lm_eval.models
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

@register_model("noise")
class Noise(LM):
    def __init__(self, **_):
        super().__init__()
        self.count = 0
    def generate_until(self, requests, disable_tqdm=False):
        self.count += len(requests)
        rest = "so it goes on " * 140 + "\\\\boxed{7}"
        return [f"### Problem 1\\n{self.count} {k} {rest}" for k in range(len(requests))]
    loglikelihood = loglikelihood_rolling = None

sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as ended:
    assert not ended.code, ended.code
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Runs a module as ``python -m`` does, with a model that writes 2 KB, and prints the process's peak memory in KiB."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One whole process: its seconds, and the tokens that it generated."""

    name: str
    seconds: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Seconds per generated token."""
        return self.seconds / self.tokens

    def line(self) -> str:
        """What is printed of it."""
        return f"{self.name:24} {self.seconds:8.1f} s {self.tokens:8} tokens {1000 * self.per_token:8.2f} ms a token"


def timed(command: Sequence[str]) -> float:
    """Run a command and return its seconds.

    Raises:
        RuntimeError: It failed.
    """
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} … failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - begin


def run_exams(
    program: str, model: str, args: str, exams: int, out: Path, *more: str, known: Mapping[str, int] | None = None
) -> Timed:
    """Let ``program`` (``roi_bench run`` or ``lm_eval``) ask the exams, and return what it took.

    ``known``: tokens by prompt, where the program counts none itself.
    """
    command = [sys.executable, "-m", *program.split(), "--model", model, "--model_args", args, "--tasks", TASK]
    command += ["--limit", str(exams), "--output_path", str(out), "--log_samples", "--apply_chat_template", *more]
    seconds = timed(command)
    found = counted(out)
    tokens = found.values() if known is None else [known[prompt] for prompt in found]
    return Timed(f"{program.split()[0]} {model}", seconds, sum(tokens))


def counted(out: Path) -> dict[str, int]:
    """Return the tokens of each response of a finished run by prompt; 0 where nobody counted them."""
    found: dict[str, int] = {}
    for line in max(out.rglob("samples_*.jsonl")).read_text("utf-8").splitlines():
        sample = json.loads(line)
        asked = sample["arguments"].values()
        for arguments, (usage,) in zip(asked, sample.get("usage") or [[None]] * len(asked), strict=True):
            found[arguments["arg_0"]] = usage["tokens"] if usage else 0
    return found


def bare(prompts: Sequence[str], arguments: dict[str, Any], folder: Path) -> Timed:
    """Let vLLM alone generate for ``prompts``."""
    asked, answered = folder / "prompts.json", folder / "tokens.json"
    asked.write_text(json.dumps(prompts))
    command = [sys.executable, "-c", BARE, str(asked), json.dumps(arguments), str(BUDGET), str(answered)]
    return Timed("LLM.generate", timed(command), sum(json.loads(answered.read_text())))


def compare_vllm(options: argparse.Namespace, folder: Path) -> None:
    """Time the run against the bare engine, in turn, and against plain lm_eval once."""
    args = f"pretrained={options.model},{options.engine_args}"
    pairs = dict(pair.split("=") for pair in options.engine_args.split(","))
    arguments = {"model": str(options.model), **{name: _value(text) for name, text in pairs.items()}}
    ours, theirs = [], []
    for number in range(2):
        out = folder / f"run{number}"
        ours.append(run_exams("roi_bench run", "vllm", args, options.exams, out))
        print(ours[-1].line(), flush=True)
        theirs.append(bare(list(counted(out)), arguments, folder))
        print(theirs[-1].line(), flush=True)
    print(f"run / LLM.generate, seconds per token: {_ratio(ours, theirs):.3f} (target at most 1.05)", flush=True)
    if options.plain:
        # which cannot count what it generated: the run's counts for the same prompts
        seconds = run_exams("lm_eval", "vllm", args, options.plain, folder / "plain", known=counted(folder / "run0"))
        print(seconds.line())
        print(f"plain lm_eval / run, seconds per token: {seconds.per_token / _mean(ours):.1f} (target at least 5)")


def compare_hf(options: argparse.Namespace, folder: Path) -> None:
    """Time the run against plain lm_eval with the same batch size, in turn."""
    args, size = f"pretrained={options.model},dtype={options.dtype}", ("--batch_size", str(options.batch_size))
    ours, theirs = [], []
    for number in range(options.pairs):
        ours.append(run_exams("roi_bench run", "hf", args, options.exams, folder / f"run{number}", *size))
        print(ours[-1].line(), flush=True)
        known = counted(folder / f"run{number}")
        theirs.append(run_exams("lm_eval", "hf", args, options.exams, folder / f"plain{number}", *size, known=known))
        print(theirs[-1].line(), flush=True)
    print(f"plain lm_eval / run, seconds: {_mean(theirs) / _mean(ours):.2f} (target at least 1.5)")
    tokens = list(counted(folder / "run0").values())
    full = tokens.count(BUDGET)
    print(f"tokens a response: mean {sum(tokens) / len(tokens):.0f}, {full} of {len(tokens)} at the budget")


def compare_memory(options: argparse.Namespace, folder: Path) -> None:
    """Compare how the peak memory grows with the responses, run against plain lm_eval."""
    del options
    samples = (32, 96)  # of 480 exams in two orders: so many that a start's own peak hides nothing
    growth = {}
    for program in ("lm_eval", "roi_bench run"):
        peaks = []
        for repeats in samples:
            command = [
                sys.executable,
                "-c",
                MEASURED,
                *program.split(),
                "--model",
                "noise",
                "--tasks",
                TINY,
                "--batch_size",
                "64",
            ]
            command += ["--metadata", f'{{"repeats": {repeats}}}']
            command += ["--log_samples", "--output_path", str(folder / f"{program[:3]}{repeats}")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout.rsplit("PEAK ", 1)[1]))
        responses = (samples[1] - samples[0]) * 2 * 480
        growth[program] = (peaks[1] - peaks[0]) / responses
        print(f"{program:14} {peaks[0] / 1024:.0f} → {peaks[1] / 1024:.0f} MiB, {growth[program]:.2f} KiB a response")
    more = growth["roi_bench run"] - growth["lm_eval"]
    print(f"the run grows by {more:.2f} KiB a response more than plain lm_eval (target at most 2)")


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


def _mean(found: Sequence[Timed]) -> float:
    return sum(one.seconds for one in found) / sum(one.tokens for one in found)


def _ratio(ours: Sequence[Timed], theirs: Sequence[Timed]) -> float:
    return _mean(ours) / _mean(theirs)


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    vllm, hf, memory = (kinds.add_parser(name) for name in ("vllm", "hf", "memory"))
    for kind in (vllm, hf):
        kind.add_argument("model", type=Path, help="a folder with a model that has a chat template")
        kind.add_argument("--exams", type=int, default=60)
    vllm.add_argument("--engine-args", default="dtype=float32,enforce_eager=True,max_model_len=2048")
    vllm.add_argument("--plain", type=int, default=60, help="exams for plain lm_eval; 0 leaves it out")
    vllm.set_defaults(compare=compare_vllm)
    hf.add_argument("--batch-size", type=int, default=12)
    hf.add_argument("--dtype", default="float32")
    hf.add_argument("--pairs", type=int, default=2)
    hf.set_defaults(compare=compare_hf)
    memory.set_defaults(compare=compare_memory)
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as folder:
        options.compare(options, Path(folder))


if __name__ == "__main__":
    main()
