"""Time to build a board: from scratch, again with nothing changed, and again after one new submission.

    python benchmarks/leaderboard_build.py [--models 500] [--workers 2] [--keep FOLDER]

Submissions are made up: 480 tiny exams in four cells (hard and medium order, budgets of 128 and 256 tokens); a model
skips, errs and overruns by chance, each by chances of its own. Each build is a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path

from roi_bench.exams.exam import EXAM_VERSION, Exam, Problem
from roi_bench.exams.tiny import MODULUS, SHIPPED_MODELS, TINY_BUDGETS
from roi_bench.leaderboard.checks.response_rules import shipped_counter, shipped_name
from roi_bench.leaderboard.submission.response_files import Responses, lengths_of, write_responses
from roi_bench.leaderboard.submission.schema import (
    Metadata,
    Submission,
    SubmittedTask,
    exams_sha256,
    load_set,
    submission_bytes,
    submission_document,
    submission_id,
    task_name,
)
from roi_bench.records.results import RecordedDocument
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import problem_header, prompt_sha256, skipped_problem
from roi_bench.scoring.tokens import Usage

ORDERS = ("hard", "medium")
STAGE = "rarl"
SPEED_UP = 20
"""How many times faster a build after one new submission has to be than one from scratch."""

FIRST_DAY = date(2026, 1, 1)
USD_PER_TOKEN = 1e-6


@dataclass(frozen=True, slots=True)
class Skill:
    """Chances of a made-up model by tier: that it attempts a problem, and that it is right then."""

    attempts: tuple[float, float, float]
    right: tuple[float, float, float]
    usd_per_token: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What one build took, and how large the site is then."""

    name: str
    seconds: float
    files: int
    megabytes: float


def draw_skill(number: int) -> Skill:
    """Return the chances of model ``number``."""
    chance = random.Random(f"skill {number}")
    quality = chance.random()
    return Skill(
        attempts=(0.7 + 0.3 * quality, 0.6 + 0.4 * quality, chance.uniform(0.05, 0.9)),
        right=(0.4 + 0.58 * quality, 0.2 + 0.75 * quality, chance.uniform(0.0, 0.3) * quality),
        usd_per_token=USD_PER_TOKEN * chance.choice((0.1, 0.5, 1.0, 4.0)),
    )


def worked(position: int, problem: Problem, tier: int, skill: Skill, chance: random.Random) -> str:
    """Return the part of a response on one problem: worked right or wrong, or skipped."""
    if chance.random() >= skill.attempts[tier]:
        return skipped_problem(position)
    work, _, _ = (problem.solution or "").rpartition("\n")
    right = chance.random() < skill.right[tier]
    answer = problem.answer if right else str((int(problem.answer) + 1) % MODULUS)
    return f"{problem_header(position)}\n{work}\n\\boxed{{{answer}}}\n"


@cache
def token_starts(text: str) -> tuple[int, ...]:
    """Return where the tokens of a part of a response start, by the shipped tokenizer; it never joins two parts."""
    return tuple(shipped_counter(shipped_name(SHIPPED_MODELS[STAGE])).token_starts(text))


def respond(
    exam: Exam, order: str, budget: int, skill: Skill, chance: random.Random
) -> tuple[Response, array[int], float]:
    """Return a response, cut off at the budget, the lengths of its tokens, and its cost in USD."""
    places = enumerate(zip(exam.ordered(order), exam.permutation(order), strict=True), start=1)
    text, starts = "", []
    for position, (problem, tier) in places:
        part = worked(position, problem, tier, skill, chance)
        starts += [len(text) + start for start in token_starts(part)]
        text += part
    whole = len(starts) < budget
    usage = Usage(len(starts) + 1 if whole else budget, "stop" if whole else "length", "generated")
    if len(starts) > budget:
        text = text[: starts[budget]]
    return Response(text, usage), lengths_of(starts[:budget]), usage.tokens * skill.usd_per_token


def make_task(order: str, budget: int, skill: Skill, number: int) -> tuple[SubmittedTask, bytes]:
    """Return one task of a submission and the content of its file."""
    documents, usd = [], {}
    lengths: dict[str, array[int]] = {}
    for exam in load_set("tiny", 0):
        chance = random.Random(f"{number} {exam.id} {order} {budget}")
        found = [respond(exam, asked, budget, skill, chance) for asked in (order, "easy")]
        documents.append(RecordedDocument(exam.id, tuple((response,) for response, _, _ in found)))
        usd[exam.id] = tuple((cost,) for _, _, cost in found)
        lengths |= {str(response.text): tokens for response, tokens, _ in found}
    content = write_responses(Responses(tuple(documents), lengths, usd))
    name = task_name("tiny", 0, order, budget, "direct")
    task = SubmittedTask(
        name=name,
        form="exam",
        exam_set="tiny",
        exam_seed=0,
        exam_version=EXAM_VERSION,
        exams_sha256=exams_sha256("tiny", 0),
        order=order,
        budget=budget,
        repeats=1,
        prompt="direct",
        prompt_sha256=prompt_sha256("direct"),
        tokenizer=shipped_name(SHIPPED_MODELS[STAGE]),
        tokenizer_revision=None,
        text_is_whole=True,
        decoding={},
        deviations=(),
        documents=len(documents),
        file=f"{name}.jsonl.gz",
        sha256=hashlib.sha256(content).hexdigest(),
        skip_token_lengths=tuple(lengths_of(token_starts(skipped_problem(1)))),
    )
    return task, content


def make_submission(number: int, out: Path) -> Path:
    """Write submission ``number`` below ``out`` and return its folder."""
    skill = draw_skill(number)
    made = [make_task(order, budget, skill, number) for order in ORDERS for budget in TINY_BUDGETS]
    metadata = Metadata(
        model=f"made-up/model-{number:03d}",
        date=(FIRST_DAY + timedelta(days=number % 300)).isoformat(),
        contamination="Made up: it has seen nothing.",
        contact="nobody",
        provider=("local", "an API")[number % 2],
        open_weights=number % 2 == 0,
        parameters=10 ** (6 + number % 6),
    )
    submission = Submission("", metadata, {"roi-bench": "0"}, tuple(task for task, _ in made))
    submission = replace(submission, id=submission_id(submission_document(submission)))
    folder = out / submission.id
    folder.mkdir(parents=True)
    (folder / "submission.json").write_bytes(submission_bytes(submission))
    for task, content in made:
        (folder / task.file).write_bytes(content)
    return folder


def timed_build(name: str, submissions: Path, site: Path, options: Sequence[str]) -> Timing:
    """Build the site in a process of its own and return what it took.

    Raises:
        RuntimeError: The build failed.
    """
    code = "from roi_bench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "leaderboard", "build", str(submissions), "--out", str(site), *options]
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{name}: the build failed:\n{done.stderr[-3000:]}")
    files = [path for path in site.rglob("*") if path.is_file()]
    return Timing(name, seconds, len(files), sum(path.stat().st_size for path in files) / 1e6)


def make_submissions(count: int, out: Path, workers: int) -> None:
    """Write ``count`` submissions below ``out``."""
    from tqdm import tqdm

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        made = pool.map(partial(make_submission, out=out), range(count), chunksize=8)
        for _ in tqdm(made, total=count, desc="making submissions", leave=False):
            pass


def measure(folder: Path, models: int, workers: int, options: Sequence[str]) -> list[Timing]:
    """Return the three timings of a board of ``models`` submissions, the last one being the new one."""
    submissions, site = folder / "submissions", folder / "site"
    make_submissions(models - 1, submissions, workers)
    found = [timed_build("from scratch", submissions, site, options)]
    found.append(timed_build("nothing changed", submissions, site, options))
    make_submission(models - 1, submissions)
    found.append(timed_build("one new submission", submissions, site, options))
    return found


def main() -> None:
    """Measure, print a table, and end with 1 if building on is not fast enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--exam-pages", default="30", help="as roi-bench leaderboard build --exam-pages")
    parser.add_argument("--keep", type=Path, help="new folder in which everything stays")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options = ["--workers", str(arguments.workers), "--exam-pages", arguments.exam_pages]
        folder = arguments.keep or Path(temporary)
        timings = measure(folder, arguments.models, arguments.workers, options)
    print(f"{arguments.models} submissions × {len(ORDERS) * len(TINY_BUDGETS)} cells × 480 exams")
    print("| build | s | files | MB |\n|---|---|---|---|")
    for timing in timings:
        print(f"| {timing.name} | {timing.seconds:.1f} | {timing.files} | {timing.megabytes:.0f} |")
    ratio = timings[0].seconds / timings[2].seconds
    print(f"after one new submission {ratio:.1f} times as fast as from scratch ({SPEED_UP} asked for)")
    sys.exit(0 if ratio >= SPEED_UP else 1)


if __name__ == "__main__":
    main()
