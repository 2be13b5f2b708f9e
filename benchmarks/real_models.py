"""Real models on the real exams (docs/real-models.md): ask them, keep what came of it without any text, tabulate it.

    python -m benchmarks.real_models sit MODEL_FOLDER --name NAME --out DIR [--first 0] [--exams 60]
        [--step 30] [--prompts direct …] [--text] [--dtype float32]
    python -m benchmarks.real_models keep DIR [--rows docs/real-models.csv]
    python -m benchmarks.real_models table [--rows docs/real-models.csv]

``sit`` runs ``roi-bench run --model vllm`` (greedy, bfloat16 unless told otherwise) in steps of ``--step`` exams: easy,
medium and hard order at 512 tokens, easy and hard at 1,024; other prompts in easy and hard order at 512. It can be
stopped and goes on at any time; on another machine, ``--first`` leaves out the exams whose rows are kept. ``keep``
scores every response of ``DIR`` from its raw text and adds a row for each to a file of rows: model, prompt, order,
budget and exam by id, outcomes, tokens; no text. Rows of several machines and days add up, since each exam is asked by
itself.
``table`` computes the page's first three tables from the rows alone. V_DP, AE and SR come from a profile of problems
asked alone::

    roi-bench run --model vllm \\
        --model_args pretrained=MODEL_FOLDER,dtype=bfloat16,enforce_eager=True,max_model_len=3072,max_num_seqs=96 \\
        --apply_chat_template --tasks roi_solo_1024 --limit 150 \\
        --metadata '{"repeats": 4}' --output_path solo
    roi-bench profile solo --out profile.json
    roi-bench allocate profile.json --results runs/qwen05 --out allocation
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.prompt_study import follows_form
from roi_bench.analysis.load import read_all, score_tasks
from roi_bench.analysis.reports.score_tables import interval_of
from roi_bench.analysis.reports.tables import Cell, Column, Table, to_markdown
from roi_bench.errors import RoiBenchError
from roi_bench.exams.exam import POOL_TIERS
from roi_bench.records.results import RecordedTask
from roi_bench.scoring.metrics import Metric, Sample, ScoredResponse, exam_term, metrics_of
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import ExamTerm, estimate_ratio
from roi_bench.scoring.tokens import Usage

ROOT = Path(__file__).resolve().parents[1]
ROWS = Path("docs/real-models.csv")
DIRECT_TASKS = ("roi_exam_hard_512", "roi_exam_medium_512", "roi_exam_hard_1024")
SHOWN = ("score", "score_easy", "regret", "p1_acc", "p2_acc", "p3_acc")
OUTCOMES = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty")


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one response: no text.

    Attributes:
        model, prompt, order, budget, exam: What was asked.
        cluster: Which exams share a problem with it.
        tiers: Tiers by position, joined by ``/``.
        outcomes: Outcomes by position, joined by ``/``.
        tokens, finish: What it cost, and how it ended.
        shares: Tokens of each problem by position, joined by ``/``; empty where they cannot be told.
        followed: 1 if it follows the form that the prompt asks for, else 0; empty where problems were asked alone.
    """

    model: str
    prompt: str
    order: str
    budget: int
    exam: str
    cluster: str
    tiers: str
    outcomes: str
    tokens: int
    finish: str
    shares: str
    followed: str

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What makes it one response."""
        return self.model, self.prompt, self.order, self.budget, self.exam

    def response(self) -> ScoredResponse:
        """Return it as the metrics take it."""
        shares = [int(share) for share in self.shares.split("/")] if self.shares else [None] * 3
        found = zip(self.outcomes.split("/"), self.tiers.split("/"), shares, strict=True)
        problems = [
            ProblemOutcome(place, "", tier, "", outcome, None, None, share, None)
            for place, (outcome, tier, share) in enumerate(found, start=1)
        ]
        usage = Usage(self.tokens, "length" if self.finish == "length" else "stop", "generated")
        return ScoredResponse(tuple(problems), self.budget, usage, None, False, False)


Rows = dict[tuple[str, str, str, int, str], Row]
"""Rows by what was asked."""


def run_exams(options: argparse.Namespace) -> None:
    """Ask a model, in steps that are each finished with results."""
    tasks = [
        task
        for prompt in options.prompts
        for task in (DIRECT_TASKS if prompt == "direct" else (f"roi_exam_hard_512_{prompt}",))
    ]
    arguments = f"pretrained={options.model},dtype={options.dtype},enforce_eager=True,max_model_len=3072"
    arguments += ",max_num_seqs=96"
    for exams in (*range(options.first + options.step, options.exams, options.step), options.exams):
        command = [sys.executable, "-m", "roi_bench", "run", "--model", "vllm", "--model_args", arguments]
        command += ["--tasks", ",".join(tasks), "--output_path", str(options.out / options.name)]
        command += ["--samples", json.dumps({task: list(range(options.first, exams)) for task in tasks})]
        subprocess.run([*command, *([] if options.text else ["--apply_chat_template"])], check=True)


def rows_of(folder: Path) -> Iterator[Row]:
    """Yield a row for every response under ``folder``, which holds a folder a model.

    Exams are those of all results. Of a task whose results hold each other, the fullest is scored.
    """
    for model in sorted(path for path in folder.iterdir() if path.is_dir()):
        tasks = sorted(read_all([model]), key=lambda task: len(task.documents), reverse=True)
        kept: list[RecordedTask] = []
        for task in tasks:
            if not any(_exams(task) <= _exams(other) for other in kept if other.name == task.name):
                kept.append(task)
        for run in score_tasks(kept, [task.name for task in kept]):
            prompts = {document.id: document for document in run.task.documents}
            for exam, (sample, *_) in run.scored.items():
                texts: list[str | None] = [str(request[0].text or "") for request in prompts[exam].requests]
                main, easy = texts if len(texts) == 2 else (None, None)
                asked = (model.name, run.task.record.prompt)
                yield _row(*asked, run.cell.order, exam, run.clusters[exam], sample.main, main)
                yield _row(*asked, "easy", exam, run.clusters[exam], sample.easy, easy)


def _exams(task: RecordedTask) -> set[str]:
    return {document.id for document in task.documents}


def _row(model: str, prompt: str, order: str, exam: str, cluster: str, scored: ScoredResponse, text: str | None) -> Row:
    shares = [problem.tokens for problem in scored.problems]
    usage = scored.usage or Usage(0, None, "generated")
    finish = usage.finish_reason or ""
    followed = None
    if text is not None:
        followed = bool(scored.readings) and follows_form(text, scored.readings[0], finish == "stop")
    return Row(
        *(model, prompt, order, scored.budget, exam, cluster),
        tiers="/".join(problem.tier for problem in scored.problems),
        outcomes="/".join(problem.outcome for problem in scored.problems),
        tokens=usage.tokens,
        finish=finish,
        shares="" if None in shares else "/".join(map(str, shares)),
        followed="" if followed is None else str(int(followed)),
    )


def read_rows(path: Path) -> Rows:
    """Return the rows of a file by what was asked, none where there is no file."""
    if not path.exists():
        return {}
    kinds: dict[str, Callable[[str], Any]] = {field.name: int if field.type == "int" else str for field in fields(Row)}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [Row(*(kinds[name](value) for name, value in line.items())) for line in csv.DictReader(file)]
    return {row.key: row for row in rows}


def keep(options: argparse.Namespace) -> None:
    """Add the rows of a folder of runs to the file of rows."""
    rows = read_rows(options.rows)
    before = len(rows)
    rows |= {row.key: row for row in rows_of(options.out)}
    with options.rows.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        for key in sorted(rows):
            writer.writerow([getattr(rows[key], field.name) for field in fields(Row)])
    print(f"{options.rows}: {before} rows before, {len(rows)} now")


def table(options: argparse.Namespace) -> None:
    """Print the tables."""
    rows = read_rows(options.rows)
    cells = sorted({(model, prompt, budget, order) for model, prompt, order, budget, _ in rows if order != "easy"})
    scores: list[tuple[Cell, ...]] = []
    behaviour: list[tuple[Cell, ...]] = []
    for model, prompt, budget, order in cells:
        samples = samples_of(rows, model, prompt, budget, order)
        if not samples:
            continue
        found = [interval_of(estimate_ratio(_terms(metric, samples)), metric.name) for metric in _metrics()]
        scores.append((model, prompt, budget, order, len(samples), *found))
    for model, prompt, budget, order in sorted(
        {(row.model, row.prompt, row.budget, row.order) for row in rows.values()}
    ):
        behaviour.append(_behaviour([row for row in rows.values() if row.key[:4] == (model, prompt, order, budget)]))
    columns = (Column("model"), Column("prompt"), Column("budget", 0), Column("order"), Column("n", 0))
    note = "In brackets: 95 % intervals that generalise to new problems, clustered by re-used problem."
    print(to_markdown(Table("scores", "Scores", (*columns, *map(Column, SHOWN)), tuple(scores), note)))
    paired = [_paired(rows, model, prompt) for model, prompt, budget, order in cells if prompt != "direct"]
    heads = (Column("model"), Column("prompt"), Column("n", 0), Column("score"), Column("score_easy"))
    note = "Prompt − direct on the same exams, hard order at 512, with its 95 % interval."
    print(to_markdown(Table("paired", "Against the direct prompt", heads, tuple(filter(None, paired)), note)))
    more = (*OUTCOMES, "form followed", "tokens", "at the budget")
    print(to_markdown(Table("behaviour", "Outcomes", (*columns, *map(Column, more)), tuple(behaviour), "Shares.")))


def samples_of(rows: Rows, model: str, prompt: str, budget: int, order: str) -> dict[str, tuple[Sample, str]]:
    """Return the exams that were asked in both orders, each as a sample with its cluster."""
    found = {}
    for row in rows.values():
        if row.key[:4] != (model, prompt, order, budget):
            continue
        easy = rows.get((model, prompt, "easy", budget, row.exam))
        if easy is not None:
            found[row.exam] = Sample(row.response(), easy.response()), row.cluster
    return found


def _paired(rows: Rows, model: str, prompt: str) -> tuple[Cell, ...] | None:
    """Return the differences of a prompt's scores to the direct prompt's on the exams that have both."""
    ours, theirs = (samples_of(rows, model, name, 512, "hard") for name in (prompt, "direct"))
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    found: list[Cell] = []
    for metric in _metrics()[:2]:
        terms = []
        for exam in both:
            pair = [exam_term(metric, [samples[exam][0]], samples[exam][1]) for samples in (ours, theirs)]
            if pair[0] is not None and pair[1] is not None:
                terms.append(ExamTerm(pair[0].numerator - pair[1].numerator, 1.0, pair[0].cluster))
        found.append(interval_of(estimate_ratio(terms)))
    return (model, prompt, len(both), *found)


def _metrics() -> list[Metric[Sample]]:
    known = {metric.name: metric for metric in metrics_of(tuple(POOL_TIERS))}
    return [known[name] for name in SHOWN]


def _terms(metric: Metric[Sample], samples: dict[str, tuple[Sample, str]]) -> list[ExamTerm]:
    terms = [exam_term(metric, [sample], cluster) for sample, cluster in samples.values()]
    return [term for term in terms if term is not None]


def _behaviour(rows: Sequence[Row]) -> tuple[Cell, ...]:
    one, count = rows[0], len(rows)
    problems = [outcome for row in rows for outcome in row.outcomes.split("/")]
    shares = [problems.count(outcome) / len(problems) for outcome in OUTCOMES]
    forms, tokens = [int(row.followed) for row in rows if row.followed], sum(row.tokens for row in rows) / count
    followed = sum(forms) / len(forms) if forms else "n/a"
    full = sum(row.tokens == row.budget for row in rows) / count
    return (one.model, one.prompt, one.budget, one.order, count, *shares, followed, tokens, full)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    running, keeping, counting = (commands.add_parser(name) for name in ("sit", "keep", "table"))
    running.add_argument("model")
    running.add_argument("--name", required=True)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--first", type=int, default=0, help="exams left out, from the first on")
    running.add_argument("--exams", type=int, default=60)
    running.add_argument("--step", type=int, default=30)
    running.add_argument("--prompts", nargs="+", default=["direct"])
    running.add_argument("--dtype", default="bfloat16", help="float32 is faster on a CPU without AVX-512")
    running.add_argument("--text", action="store_true", help="a base model: no chat template")
    running.set_defaults(run=run_exams)
    keeping.add_argument("out", type=Path)
    keeping.set_defaults(run=keep)
    counting.set_defaults(run=table)
    for command in (keeping, counting):
        command.add_argument("--rows", type=Path, default=ROWS)
    options = parser.parse_args()
    try:
        options.run(options)
    except RoiBenchError as error:
        sys.exit(f"real_models: {error}")


if __name__ == "__main__":
    main()
