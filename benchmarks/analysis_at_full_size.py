"""Time of ``run``, ``profile``, ``allocate``, ``report`` and ``regrade`` on recorded responses to the real exams.

    ROI_BENCH_DATA_DIR=… python benchmarks/analysis_at_full_size.py [--exams 480] [--samples 16] [--keep FOLDER]

No language model is needed: responses are the data sets' own solutions, retold at a random length, right or wrong by
chance, skipped and forecast by a rule, and played back (``roi-playback``) through every task: the direct and the
metacognitive prompt, greedy_knapsack, all orders and budgets, and a solo profile under 1,024 tokens. Each command is a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roi_bench.exams.exam import ORDERS, TIERS, Exam, Problem
from roi_bench.exams.sets import load_exams
from roi_bench.scoring.kinds import solo_problems
from roi_bench.scoring.prompts import problem_header

CHANCES = {"easy": 0.9, "middle": 0.6, "hard": 0.15}
"""Share of right answers by tier."""

CAP = 1024
TASKS = [f"roi_exam_{order}_{budget}" for order in ("medium", "hard") for budget in (512, CAP)]


@dataclass(frozen=True, slots=True)
class Timing:
    """What one command took."""

    name: str
    seconds: float
    memory_mb: float


def solution_text(problem: Problem, tier: str, chance: random.Random, level: int | None = None) -> str:
    """Return a solution of random length with a right or wrong answer, behind a level tag if ``level`` is given."""
    solution = re.sub(r"<<.*?>>", "", problem.solution or "Let us see.").split("####")[0].replace("\\boxed", "")
    right = chance.random() < CHANCES[tier]
    tag = "" if level is None else f"<predicted_level>Level-{level}</predicted_level>\n"
    work = (solution + "\n") * chance.randint(1, 3)
    return f"{tag}{work}\\boxed{{{problem.answer if right else '-777777'}}}\n"


def answer(exam: Exam, order: str, chance: random.Random, levels: bool) -> str:
    """Return a response to an exam; with ``levels`` half of the hard problems are skipped, all are forecast."""
    parts = []
    for position, (problem, tier) in enumerate(zip(exam.ordered(order), exam.tiers(order), strict=True), start=1):
        if levels and tier == "hard" and chance.random() < 0.5:
            work = "<predicted_level>Level-3</predicted_level>\n\\boxed{NA}\n"
        else:
            work = solution_text(problem, tier, chance, TIERS.index(tier) if levels else None)
        parts.append(f"{problem_header(position)}\n{work}")
    return "".join(parts)


def exam_lines(exams: tuple[Exam, ...], levels: bool) -> Iterator[dict[str, object]]:
    """Yield recorded responses to every exam in every order."""
    for exam in exams:
        for order in ORDERS:
            chance = random.Random(f"{exam.id} {order} {levels}")
            yield {"exam": exam.id, "order": order, "response": answer(exam, order, chance, levels)}


def solo_lines(exams: tuple[Exam, ...], samples: int, levels: bool) -> Iterator[dict[str, object]]:
    """Yield recorded responses to every distinct problem alone."""
    for name, (tier, problem) in solo_problems(exams).items():
        for sample in range(samples):
            chance = random.Random(f"{name} {sample} {levels}")
            text = solution_text(problem, tier, chance, TIERS.index(tier) if levels else None)
            yield {"problem": name, "sample": sample, "response": f"{problem_header(1)}\n{text}"}


def write(path: Path, lines: Iterator[dict[str, object]]) -> Path:
    """Write recorded responses."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def make_tokenizer(folder: Path) -> Path:
    """Make a byte-level BPE of 4,096 tokens learned from MATH's training solutions: realistic token lengths."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    source = Path(os.environ["ROI_BENCH_DATA_DIR"]) / "math" / "train.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines()
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator((json.loads(line)["solution"] for line in lines), vocab_size=4096, show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, clean_up_tokenization_spaces=False).save_pretrained(folder)
    return folder


def timed(name: str, *arguments: object) -> Timing:
    """Run ``roi-bench`` with ``arguments`` and return what it took.

    Raises:
        RuntimeError: It failed.
    """
    command = [sys.executable, "-c", "from roi_bench.cli.main import main; main()", *map(str, arguments)]
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{name} failed:\n{errors.read().decode()[-3000:]}")
    return Timing(name, time.perf_counter() - begin, usage.ru_maxrss / 1024)


def measure(folder: Path, exams: int, samples: int) -> list[Timing]:
    """Return the time of every command on ``exams`` exams with ``samples`` solo samples a problem."""
    exams_used = load_exams("v1")[:exams]
    tokenizer = make_tokenizer(folder / "tokenizer")
    files = {
        "direct": write(folder / "direct.jsonl", exam_lines(exams_used, levels=False)),
        "metacognitive": write(folder / "metacognitive.jsonl", exam_lines(exams_used, levels=True)),
        "greedy_knapsack": write(folder / "greedy_knapsack.jsonl", solo_lines(exams_used, 1, levels=True)),
    }
    solo = write(folder / "solo.jsonl", solo_lines(exams_used, samples, levels=False))
    results = folder / "results"
    found = []
    for prompt, file in files.items():
        tasks = ",".join(task if prompt == "direct" else f"{task}_{prompt}" for task in TASKS)
        model = ("--model", "roi-playback", "--model_args", f"responses={file},tokenizer={tokenizer},model=retold")
        limit = () if exams == len(load_exams("v1")) else ("--limit", exams)
        place = ("--output_path", results / prompt)
        found.append(timed(f"run, {prompt}, 4 tasks", "run", *model, "--tasks", tasks, *limit, *place))
    model = ("--model", "roi-playback", "--model_args", f"responses={solo},tokenizer={tokenizer},model=retold")
    limit = () if exams == len(load_exams("v1")) else ("--limit", len(solo_problems(exams_used)))
    asked = ("--tasks", f"roi_solo_{CAP}", "--metadata", json.dumps({"repeats": samples}), *limit)
    found.append(timed(f"run, solo, {samples} samples", "run", *model, *asked, "--output_path", results / "solo"))
    profile, out = folder / "profile.json", folder / "out"
    exam_results = [option for prompt in files for option in ("--results", results / prompt)]
    found.append(timed("profile", "profile", results / "solo", "--out", profile))
    found.append(timed("allocate, profile alone", "allocate", profile, "--no-figures"))
    found.append(timed("allocate, 12 tasks, figures", "allocate", profile, *exam_results, "--out", out / "allocate"))
    found.append(timed("report, 4 tasks, no profile", "report", results / "direct", "--all", "--no-figures"))
    found.append(timed("report, 12 tasks, profile, figures", "report", results, "--all", "--out", out / "report"))
    found.append(timed("regrade, 4 tasks", "regrade", results / "direct"))
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exams", type=int, default=480)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--keep", type=Path, help="folder in which everything stays")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("| command | wall s | MiB |\n|---|---|---|")
        for timing in measure(folder, arguments.exams, arguments.samples):
            print(f"| {timing.name} | {timing.seconds:.1f} | {timing.memory_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
