"""Use an installed roi-bench as its users do: a task, a report, a pack and a board with the shipped tiny model.

PYTHON scripts/try_installed.py --out DIR [--parts doctor,task,trained,plain,drawn,report,pack,board,base,train]

Run by ``check_lowest.sh``, ``check_newest.sh`` and ``try_lm_eval_0_5.sh`` with the Python of the environment that they
try; it needs the standard library alone and looks at nothing but that environment. Exit code 0 only if all is well.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXPECTED = {"roi_tiny_hard_128": (0.1, 107 / 113), "roi_tiny_medium_128": (73 / 60, 40 / 113)}
"""Score and regret of the shipped base model on 60 exams, greedy, float32: as on every set of versions so far."""

TRAINED = ("roi_tiny_hard_128_metacognitive", (11 / 6, 3 / 113))
"""Task, score and regret of the shipped model after MFT and RARL, likewise."""

NAMED = (
    *("click", "numpy", "scipy", "pyarrow", "pandas", "datasets", "lm_eval", "math-verify", "rich", "jsonschema"),
    *("torch", "transformers", "accelerate", "peft", "trl", "matplotlib", "jinja2"),
)
"""Distributions whose versions are printed, where they are installed."""

BIN = Path(sys.executable).parent


class FailedPartError(Exception):
    """A part that is not as it should be."""


def call(out: Path, program: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in ``out``; what it printed is kept beside it.

    Raises:
        FailedPartError: It ended with another exit code than ``codes``, or with a traceback.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    kept |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([BIN / program, *arguments], cwd=out, env=kept, capture_output=True, text=True, check=False)
    said = out / f"{len(list(out.glob('*.txt'))):02}_{program}_{arguments[0].strip('-')}.txt"
    said.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode not in codes or "Traceback" in done.stderr:
        raise FailedPartError(f"{program} {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done


def results(folder: Path) -> dict[str, Any]:
    """Return lm_eval's results by task from the one results file below ``folder``."""
    (path,) = folder.rglob("results_*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return found


def expect(holds: bool, what: str) -> None:
    """Refuse what does not hold.

    Raises:
        FailedPartError: It does not.
    """
    if not holds:
        raise FailedPartError(what)


def installed() -> dict[str, str]:
    """Return the versions of all distributions of this environment."""
    found = importlib.metadata.distributions()
    return {item.metadata["Name"].lower().replace("_", "-"): item.version for item in found}


def model(stage: str = "base") -> str:
    """Return the folder of a shipped model in this environment."""
    code = f"from roi_bench.exams.tiny import model_path; print(model_path({stage!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _hf(*tasks: str, limit: int, out: str, stage: str = "base") -> list[str]:
    named = ["--model", "hf", "--model_args", f"pretrained={model(stage)},dtype=float32", "--device", "cpu"]
    return [*named, "--batch_size", "20", "--tasks", ",".join(tasks), "--limit", str(limit), "--output_path", out]


def try_doctor(out: Path) -> str:
    """No finding is broken or a problem, but for data that this machine has not."""
    document = json.loads(call(out, "roi-bench", "doctor", "--json").stdout)
    bad = [finding for finding in document["findings"] if finding["status"] in ("broken", "problem")]
    bad = [finding for finding in bad if finding["area"] != "data"]
    expect(not bad, f"doctor: {bad}")
    return f"{len(document['findings'])} checks"


def _expect_numbers(folder: Path, expected: dict[str, tuple[float, float]]) -> None:
    found = results(folder)
    for task, (score, regret) in expected.items():
        pair = found[task]["score,none"], found[task]["regret,none"]
        expect(max(abs(pair[0] - score), abs(pair[1] - regret)) < 1e-9, f"{task}: score and regret {pair}")


def try_task(out: Path) -> str:
    """Two tasks through ``roi-bench run``, with the expected numbers, all of which can be computed again."""
    call(out, "roi-bench", "run", *_hf(*EXPECTED, limit=60, out="runs/own"))
    _expect_numbers(out / "runs" / "own", EXPECTED)
    call(out, "roi-bench", "regrade", "runs/own")
    return ", ".join(f"{task} {score:.4f}, {regret:.4f}" for task, (score, regret) in EXPECTED.items())


def try_trained(out: Path) -> str:
    """The model after MFT and RARL, whose files another version of transformers wrote."""
    task, numbers = TRAINED
    call(out, "roi-bench", "run", *_hf(task, limit=60, out="trained_model", stage="rarl"))
    _expect_numbers(out / "trained_model", {task: numbers})
    return f"{task} {numbers[0]:.4f}, {numbers[1]:.4f}"


def try_plain(out: Path) -> str:
    """The same through plain ``lm_eval``: the same numbers."""
    call(out, "lm_eval", "run", *_hf("roi_tiny_hard_128", limit=60, out="plain"), "--log_samples")
    plain, own = results(out / "plain")["roi_tiny_hard_128"], results(out / "runs" / "own")["roi_tiny_hard_128"]
    names = [name for name in own if name.endswith(",none") and not name.startswith("tokens")]
    other = [name for name in names if plain[name] != own[name] and "N/A" not in (plain[name], own[name])]
    expect(not other, f"plain lm_eval has other numbers: {other}")
    return f"{len(names)} numbers"


def try_drawn(out: Path) -> str:
    """A group with samples drawn twice, and every number computed again."""
    drawn = ("--metadata", '{"repeats": 2}', "--gen_kwargs", "do_sample=True,temperature=0.7")
    call(out, "roi-bench", "run", *_hf("roi_tiny", limit=4, out="drawn"), *drawn)
    call(out, "roi-bench", "regrade", "drawn")
    return f"{len(results(out / 'drawn'))} tasks"


def try_report(out: Path) -> str:
    """Tables and pictures."""
    call(out, "roi-bench", "report", "runs/own", "--out", "report")
    pictures = list((out / "report").glob("*.png"))
    expect((out / "report" / "report.md").is_file() and bool(pictures), "no report.md or no picture")
    return f"{len(pictures)} pictures"


def _pack(out: Path, runs: str, into: str) -> Path:
    named = ("--model", "tiny base", "--contact", "me@example.org", "--contamination", "None known.")
    call(out, "roi-bench", "submit", "pack", runs, "--out", into, "--draft", *named)
    (folder,) = (path.parent for path in (out / into).rglob("submission.json"))
    call(out, "roi-bench", "submit", "check", str(folder))
    return folder


def try_pack(out: Path) -> str:
    """A submission, checked."""
    return _pack(out, "runs/own", "submissions").name


def try_board(out: Path) -> str:
    """A board of it, as pages and as files."""
    call(out, "roi-bench", "leaderboard", "build", "submissions", "--out", "board", "--drafts")
    pages = list((out / "board").rglob("*.html"))
    expect((out / "board" / "index.html").is_file() and len(pages) > 20, f"{len(pages)} pages")
    return f"{len(pages)} pages"


def try_base(out: Path) -> str:
    """What the base can do without any extra: exams, a run of recorded responses, its numbers again."""
    call(out, "roi-bench", "exams", "show", "tiny/0/000", "--order", "hard")
    listing = r"""
import json
from roi_bench import load_exams
for exam in load_exams("tiny")[:30]:
    for order in ("hard", "easy"):
        answers = [problem.answer for problem in exam.ordered(order)]
        text = "".join(f"### Problem {i}\n\\boxed{{{answer}}}\n" for i, answer in enumerate(answers, 1))
        print(json.dumps({"exam": exam.id, "order": order, "response": text}))
"""
    done = call(out, "python", "-c", listing)
    (out / "responses.jsonl").write_text(done.stdout, encoding="utf-8")
    arguments = ("--model", "roi-playback", "--model_args", "responses=responses.jsonl,model=oracle", "--limit", "30")
    call(out, "roi-bench", "run", *arguments, "--tasks", "roi_tiny_hard_128", "--output_path", "played")
    score = results(out / "played")["roi_tiny_hard_128"]["score,none"]
    expect(score == 3, f"recorded right answers score {score}")
    call(out, "roi-bench", "regrade", "played")
    call(out, "roi-bench", "report", "played")
    if "tokenizers" in installed():  # hf, vllm, api and leaderboard bring it
        _pack(out, "played", "packed")
    else:
        refused = call(out, "roi-bench", "submit", "pack", "played", "--out", "packed", codes=(6,))
        expect(refused.stderr.endswith("pip install tokenizers\n"), f"submit pack: {refused.stderr}")
    fresh = call(out, "roi-bench", "exams", "show", "fresh/0/000", codes=(0, 6))
    lines = fresh.stderr.strip().splitlines()
    expect(fresh.returncode == 0 or "roi-bench[fresh]" in lines[-1], f"fresh exams: {lines}")
    return "exams, run, regrade, report"


def try_train(out: Path) -> str:
    """The dry run of the trainer, and the recipe of the tests from labels to the evaluation of every stage."""
    call(out, "roi-bench", "train", "run", "tiny", "--dry-run", "--out", "dry")
    call(out, "roi-bench", "train", "run", "test", "--out", "trained")
    return "dry run, and MFT, RARL and evaluation of the recipe test"


PARTS: dict[str, Callable[[Path], str]] = {
    name.removeprefix("try_"): value for name, value in list(globals().items()) if name.startswith("try_")
}


def main() -> int:
    """Run the parts and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="Folder for runs and output; made anew.")
    parser.add_argument("--parts", default="doctor,task,trained,plain,drawn,report,pack,board")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    versions = installed()
    shown = [f"{name} {versions[name.replace('_', '-')]}" for name in NAMED if name.replace("_", "-") in versions]
    sys.stdout.write(f"Python {sys.version.split()[0]}, {len(versions)} distributions: {', '.join(shown)}\n")
    failed = 0
    for name in arguments.parts.split(","):
        began = time.monotonic()
        try:
            said = f"ok    {name}: {PARTS[name](arguments.out.resolve())}"
        except FailedPartError as failure:
            failed, said = 1, f"FAIL  {name}: {failure}"
        sys.stdout.write(f"{said} ({time.monotonic() - began:.0f} s)\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
