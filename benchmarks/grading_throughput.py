"""Throughput from text to verdict on recorded outputs of real models, beside math-verify called the plain way.

    python benchmarks/grading_throughput.py --outputs FOLDER [--problems 5000] [--workers 1] [--runs 3] [--show]

Three sets:

1. *real outputs* (``--outputs``): the labelled files that ``benchmarks/labelled_outputs.py`` takes, by pool. This ratio
   says something of real runs: wrong answers, which have to be refuted, are what costs;
2. *solutions*: the reference solutions of MATH (``ROI_BENCH_DATA_DIR``) as responses, read and graded against gold;
3. *variants*: each gold answer in other spellings that mean the same (right), and slightly changed or taken from
   another problem (wrong); labels follow from the construction.

The plain way is ``verify(parse("$gold$"), parse(response))`` with math-verify's defaults, one process, gold parsed
each time. Ours reads and grades with a fresh grader each time, the start of its workers included. Of several runs the
fastest of each side counts. Processor time, unlike the wall clock, hardly depends on what else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from roi_bench.grading.algebra import exact
from roi_bench.grading.answers import Check, normalize_answer
from roi_bench.grading.comparison import same_string
from roi_bench.grading.formulas import parse_formula
from roi_bench.grading.grader import Grader
from roi_bench.grading.numerals import parse_number
from roi_bench.reading.responses import read_response

CACHES = (exact, normalize_answer, parse_formula, parse_number)
"""What remembers answers from one run to the next; emptied between runs."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to grade: its category, gold answer, response, and whether it is right."""

    category: str
    gold: str
    response: str
    right: bool


def load_rows(count: int) -> list[dict[str, str]]:
    """Return the first ``count`` MATH test problems of the data folder, spread over the file."""
    folder = Path(os.environ.get("ROI_BENCH_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "data")
    with (folder / "math" / "test.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return rows[:: max(1, len(rows) // count)][:count]


def boxed(answer: str) -> str:
    """Return a short response with ``answer`` in its box."""
    return f"### Problem 1\nSo the answer is $\\boxed{{{answer}}}$."


def _decimal(gold: str) -> str | None:
    match = re.fullmatch(r"(-?)\\[dt]?frac\{(\d{1,6})\}\{(\d{1,6})\}", gold)
    if match is None or int(match[3]) == 0 or 10**6 % int(match[3]):
        return None
    value = Fraction(int(match[2]), int(match[3]))
    return match[1] + f"{value.numerator * 10**6 // value.denominator / 10**6:f}".rstrip("0").rstrip(".")


def _grouped(gold: str) -> str | None:
    return f"{int(gold):,}" if re.fullmatch(r"\d{4,}", gold) else None


def _reordered(gold: str) -> str | None:
    if not re.fullmatch(r"[^()\[\]{}|a-zA-Z\\]+(?:,[^()\[\]{}|a-zA-Z\\]+)+", gold) or re.search(r"\d,\d{3}\b", gold):
        return None
    return ", ".join(reversed([item.strip() for item in gold.split(",")]))


def _inequality(gold: str) -> str | None:
    match = re.fullmatch(r"\(-\\infty,\s*(-?\d+)([)\]])", gold)
    return f"x {'<' if match[2] == ')' else chr(92) + 'le'} {match[1]}" if match else None


def _other_bracket(gold: str) -> str | None:
    match = re.fullmatch(r"\[([^\[\]()]*)\)", gold) or re.fullmatch(r"\[([^\[\]()]*\\infty)\)", gold)
    return f"({match[1]})" if match else None


def _swapped(gold: str) -> str | None:
    match = re.fullmatch(r"\(([^(),]+),([^(),]+)\)", gold)
    return f"({match[2]},{match[1]})" if match and match[1].strip() != match[2].strip() else None


def _replace(old: str, new: str) -> Callable[[str], str | None]:
    return lambda gold: gold.replace(old, new) if old in gold else None


RIGHT: dict[str, Callable[[str], str | None]] = {
    "dfrac": _replace(r"\frac", r"\dfrac"),
    "tight": lambda gold: (
        re.sub(r"(?<![a-zA-Z\\]) | (?![a-zA-Z])", "", gold)
        if " " in gold and "text" not in gold and "\\ " not in gold
        else None
    ),
    "spaced": lambda gold: re.sub(r"([+=,])", r" \1 ", gold) if re.search(r"[+=]", gold) else None,
    "slash": lambda gold: (
        re.sub(r"^(-?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", gold)
        if gold.endswith("}") and gold.lstrip("-").startswith(r"\frac")
        else None
    ),
    "decimal": _decimal,
    "grouped": _grouped,
    "unit": lambda gold: gold + r" \text{ cm}" if re.fullmatch(r"[0-9.]+|\d*\\sqrt\{\d+\}", gold) else None,
    "plain unit": lambda gold: gold + " square inches" if re.fullmatch(r"[0-9.]+", gold) else None,
    "degrees": lambda gold: gold.replace(r"^\circ", " degrees") if re.fullmatch(r"-?\d+\^\\circ", gold) else None,
    "no degree": lambda gold: gold.replace(r"^\circ", "") if re.fullmatch(r"-?\d+\^\\circ", gold) else None,
    "no percent": _replace(r"\%", ""),
    "no dollar": _replace(r"\$", ""),
    "assignment": lambda gold: "x = " + gold if re.fullmatch(r"-?\d+|\\frac\{\d+\}\{\d+\}", gold) else None,
    "trailing zero": lambda gold: gold + ".00" if re.fullmatch(r"-?\d+", gold) else None,
    "unicode minus": _replace("-", "\u2212"),
    "left right": lambda gold: (
        gold.replace("(", r"\left(").replace(")", r"\right)") if re.fullmatch(r"\([^()]*\)", gold) else None
    ),
    "bmatrix": _replace("pmatrix", "bmatrix"),
    "reordered list": _reordered,
    "set braces": lambda gold: r"\{" + gold + r"\}" if _reordered(gold) else None,
    "inequality": _inequality,
    "choice": lambda gold: match[1] if (match := re.fullmatch(r"\\text\{\(?([A-Z])\)?\}", gold)) else None,
    "plain words": lambda gold: match[1] if (match := re.fullmatch(r"\\text\{([A-Za-z ]{3,})\}", gold)) else None,
}
WRONG: dict[str, Callable[[str], str | None]] = {
    "one more": lambda gold: (
        re.sub(r"\d+", lambda match: str(int(match[0]) + 1), gold, count=1) if re.search(r"\d", gold) else None
    ),
    "negated": lambda gold: "-" + gold if re.fullmatch(r"[1-9]\d*|\\frac\{\d+\}\{\d+\}|\\sqrt\{\d+\}", gold) else None,
    "other bracket": _other_bracket,
    "swapped point": _swapped,
    "times ten": lambda gold: gold + "0" if re.fullmatch(r"[1-9]\d*", gold) else None,
}


def variants(rows: list[dict[str, str]]) -> Iterator[Case]:
    """Yield the answers of set 2."""
    golds = [row["answer"] for row in rows]
    for index, gold in enumerate(golds):
        for label, table in ((True, RIGHT), (False, WRONG)):
            for name, change in table.items():
                changed = change(gold)
                if changed is not None and changed != gold:
                    yield Case(name, gold, boxed(changed), label)
        other = golds[(index + 7) % len(golds)]
        if not same_string(gold, other):
            yield Case("another problem's", gold, boxed(other), False)


def grade_ours(cases: list[Case], workers: int) -> tuple[list[bool], Counter[str], float]:
    """Read and grade with a fresh grader; return verdicts, methods and seconds (start of the workers included)."""
    started = time.perf_counter()
    with Grader(workers=workers) as grader:
        readings = [read_response(case.response, 1).problems[0].answer or "" for case in cases]
        verdicts = grader.grade_many(
            [Check("math", answer, (case.gold,)) for answer, case in zip(readings, cases, strict=True)]
        )
        seconds = time.perf_counter() - started
    return [verdict.correct for verdict in verdicts], Counter(verdict.method for verdict in verdicts), seconds


def grade_plainly(cases: list[Case]) -> tuple[list[bool], float]:
    """Grade with math-verify's defaults; return verdicts and seconds."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    started = time.perf_counter()
    verdicts = [bool(verify(parse(f"${case.gold}$"), parse(case.response))) for case in cases]
    return verdicts, time.perf_counter() - started


def report(name: str, cases: list[Case], workers: int, show: bool) -> None:
    """Grade ``cases`` both ways and print throughput and the verdict differences by category."""
    ours, methods, our_seconds = grade_ours(cases, workers)
    plain, plain_seconds = grade_plainly(cases)
    print(f"\n{name}: {len(cases)} answers")
    print(f"  roi-bench    {len(cases) / our_seconds:9.0f}/s  {our_seconds:7.2f} s  {dict(sorted(methods.items()))}")
    print(f"  math-verify  {len(cases) / plain_seconds:9.0f}/s  {plain_seconds:7.2f} s")
    print(f"  ratio        {plain_seconds / our_seconds:9.1f}x")
    counts: Counter[tuple[str, str]] = Counter()
    for case, our, other in zip(cases, ours, plain, strict=True):
        counts[case.category, "all"] += 1
        counts[case.category, "roi-bench errs"] += our != case.right
        counts[case.category, "math-verify errs"] += other != case.right
        counts[case.category, "differ"] += our != other
        if show and our != case.right:
            print(
                f"  [{case.category}] gold {case.gold!r} response {case.response[-80:]!r}"
                f" right={case.right} math-verify={other}"
            )
    for category in sorted({category for category, _ in counts}):
        row = [counts[category, column] for column in ("all", "differ", "roi-bench errs", "math-verify errs")]
        print(
            "  {:18} {:5} answers, {:3} verdicts differ; errors: roi-bench {:3}, math-verify {:3}".format(
                category, *row
            )
        )


def clocks() -> tuple[float, float]:
    """Return wall-clock time and the processor time of this process and its ended children, in seconds."""
    return time.perf_counter(), sum(os.times()[:4])


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Return what has passed on both clocks since ``start``."""
    wall, processor = clocks()
    return wall - start[0], processor - start[1]


def fastest(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the least time on each clock."""
    return min(wall for wall, _ in runs), min(processor for _, processor in runs)


def report_outputs(folder: Path, workers: int, runs: int) -> None:
    """Print the throughput of both sides on the labelled outputs of ``folder``, pool by pool."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    parse("$1$")  # its expressions are compiled at the first call; no side pays for imports and the like
    by_pool: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("**/*.jsonl")):
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            by_pool.setdefault(str(row["pool"]), []).append(row)
    print("real outputs, from text to verdict")
    for pool, rows in sorted(by_pool.items()):
        ours: list[tuple[float, float]] = []
        plain: list[tuple[float, float]] = []
        for _ in range(runs):
            started = clocks()
            with Grader(workers=workers) as grader:
                answers = [read_response(row["response"], 1).problems[0].answer for row in rows]
                checks = [
                    Check(pool, str(row.get("answer") or "") if answer is None else answer, (str(row["gold"]),))
                    for answer, row in zip(answers, rows, strict=True)
                ]
                verdicts = grader.grade_many(checks)
            ours.append(since(started))
            for cached in CACHES:
                cached.cache_clear()
            started = clocks()
            for row in rows:
                verify(parse(f"${row['gold']}$"), parse(row["response"]))
            plain.append(since(started))
        algebra = sum(verdict.method in ("symbolic", "limit") for verdict in verdicts)
        (wall, processor), (plain_wall, plain_processor) = map(fastest, (ours, plain))
        print(
            f"  {pool:8} {len(rows):5} outputs  roi-bench {len(rows) / wall:7.0f}/s"
            f"  math-verify {len(rows) / plain_wall:5.0f}/s  ratio {plain_wall / wall:5.1f}x,"
            f" by processor time {plain_processor / processor:5.1f}x  by computer algebra: {algebra}"
        )


def main() -> None:
    """Run the sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--show", action="store_true", help="print the answers (never problem texts) that we judge against their label"
    )
    parser.add_argument("--outputs", type=Path, help="a folder of labelled outputs of real models")
    parser.add_argument("--runs", type=int, default=3, help="runs of the real outputs")
    arguments = parser.parse_args()
    if arguments.outputs is not None:
        report_outputs(arguments.outputs, arguments.workers, arguments.runs)
    if not arguments.problems:
        return
    rows = load_rows(arguments.problems)
    solutions = [Case("solution", row["answer"], f"### Problem 1\n{row['solution']}", True) for row in rows]
    report("solutions", solutions, arguments.workers, arguments.show)
    report("variants", list(variants(rows)), arguments.workers, arguments.show)


if __name__ == "__main__":
    main()
