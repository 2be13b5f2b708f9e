r"""Earned points lost by the way a response is written: right solutions of real models, written in many styles.

    python benchmarks/response_styles.py FOLDER [--exams 60] [--seed 0] [--only TEXT] [--most 0.01] [--show 3]

FOLDER holds JSONL files of labelled outputs, one a line, with the fields ``pool``, ``gold``, ``response`` (or only
``answer``, the final answer as the source extracted it), ``label`` (true: right) and, where known, ``id``.
The right ones become exams of three problems in the three orders: easy, middle and hard where the folder has all three
pools, else three of one pool. Each exam is written in each style (``style_list.py``), read, and graded. Printed
is, by style, how many points were earned, the share of them that was lost, and the share of points given that no fair
reader would give. Exit code 1 if a style loses or gains more than ``--most``, styles whose loss is expected excepted.

A loss is a fault of the reading or of the grading: the answers are right and are graded right when they stand alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.style_list import all_styles
from benchmarks.style_writing import WRONG, Solution, Style
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, ORDERS, POOL_TIERS, Exam, Problem
from roi_bench.grading.grader import Grader
from roi_bench.reading.marks import find_boxes
from roi_bench.reading.responses import read_response


@dataclass(frozen=True, slots=True)
class Paper:
    """Three solutions of one exam in the order in which they are asked."""

    order: str
    solutions: tuple[Solution, Solution, Solution]

    @property
    def id(self) -> str:
        """The order and the ids of the solutions."""
        return f"{self.order}: " + " + ".join(solution.problem.id for solution in self.solutions)


@dataclass(slots=True)
class Tally:
    """What became of the points of one style."""

    earned: int = 0
    lost: list[str] = field(default_factory=list)
    withheld: int = 0
    gained: list[str] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Share of the earned points that was lost."""
        return len(self.lost) / self.earned if self.earned else 0.0

    @property
    def gain(self) -> float:
        """Share of the points not earned that was given all the same."""
        return len(self.gained) / self.withheld if self.withheld else 0.0


def open_boxes(text: str) -> str:
    """Return ``text`` with the content of each box in the place of the box."""
    for box in reversed(find_boxes(text)):
        if box.content is not None:
            text = text[: box.start] + box.content + text[box.end :]
    return text


def candidates(row: dict[str, Any]) -> list[str]:
    """Return what may be the final answer of a right output, best first: as extracted, as boxed, as the gold has it."""
    boxes = [box.content for box in find_boxes(str(row.get("response") or "")) if box.content]
    answers = [row.get("answer"), boxes[-1] if boxes else None, row["gold"]]
    return [str(answer).strip() for answer in answers if answer is not None]


def load_solutions(folder: Path, grader: Grader) -> list[Solution]:
    """Return the right solutions of ``folder`` whose answer, alone, is graded right.

    Raises:
        SystemExit: There is no such folder, or nothing in it that can be used.
    """
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if row.get("label") is True:
                    rows.append({**row, "id": row.get("id") or f"{path.stem}/{number}"})
    solutions = []
    for row in rows:
        problem = Problem(str(row["id"]), row["pool"], "", str(row["gold"]))
        right = next((one for one in candidates(row) if grader.grade(problem.pool, one, problem.answers).correct), None)
        if right is not None:
            solutions.append(Solution(problem, open_boxes(str(row.get("response") or "")).strip(), right))
    if not solutions:
        raise SystemExit(f"{folder}: no labelled right output in any *.jsonl; --help says what a line must hold")
    return solutions


def make_papers(solutions: Sequence[Solution], exams: int, seed: int) -> list[Paper]:
    """Return ``exams`` exams in the three orders for each group; same input, same exams.

    With all three pools there is one group, whose exams take one solution of each; without, each pool is a group. Every
    solution is used about equally often. ``exams`` 0: as many as it takes to use every solution.
    """
    chance = random.Random(seed)
    pools = {pool: [one for one in solutions if one.problem.pool == pool] for pool in POOL_TIERS}
    for others in pools.values():
        chance.shuffle(others)
    if all(pools.values()):
        groups = [list(pools.values())]
    else:
        groups = [[one[0::3], one[1::3], one[2::3]] for one in pools.values() if len(one) >= 3]
    papers = []
    for group in groups:
        for index in range(exams or max(map(len, group))):
            first, second, third = (tier[index % len(tier)] for tier in group)
            papers += three_orders((first, second, third), index)
    return papers


def three_orders(triple: tuple[Solution, Solution, Solution], index: int) -> list[Paper]:
    """Return the exam of ``triple`` (in tier order) in the three orders."""
    problems = (triple[0].problem, triple[1].problem, triple[2].problem)
    exam = Exam(str(index), problems, MEDIUM_PERMUTATIONS[index % len(MEDIUM_PERMUTATIONS)], "")
    papers = []
    for order in ORDERS:
        first, second, third = exam.permutation(order)
        papers.append(Paper(order, (triple[first], triple[second], triple[third])))
    return papers


def measure(style: Style, papers: Iterable[Paper], grader: Grader) -> Tally:
    """Write each paper in ``style``, read and grade it, and count the points."""
    tally = Tally()
    for paper in papers:
        if style.fits is not None and not style.fits(paper.solutions):
            continue
        segments = read_response(style.write(paper.solutions), 3, cut_off=style.cut_off).problems
        for due, segment, solution in zip(style.due, segments, paper.solutions, strict=True):
            if due is None:
                continue
            answer, problem = None if segment.skipped else segment.answer, solution.problem
            right = answer is not None and grader.grade(problem.pool, answer, problem.answers).correct
            place = f"{paper.id}, problem {segment.position}"
            if due:
                tally.earned += 1
                tally.lost += [] if right else [f"{place} ({'not read' if answer is None else 'read otherwise'})"]
            else:
                tally.withheld += 1
                tally.gained += [place] if right else []
    return tally


def row(name: str, seen: str, tally: Tally) -> str:
    """Return one line of the table."""
    lost = f"{tally.loss:.1%}" if tally.earned else "–"
    gained = f"{tally.gain:.1%}" if tally.withheld else "–"
    cell = name.replace("|", "\\|")
    return f"| {cell} | {seen} | {tally.earned} | {lost} | {tally.withheld} | {gained} |"


def report(styles: Sequence[Style], papers: Sequence[Paper], grader: Grader, most: float, show: int) -> bool:
    """Print the table and the worst examples; return whether every style keeps within ``most``."""
    print("| style | seen | points earned | lost | points not earned | gained |\n|---|---|---|---|---|---|")
    groups = {"seen": Tally(), "only possible": Tally(), "loss expected": Tally()}
    beyond: list[tuple[float, str, list[str]]] = []
    for style in styles:
        tally = measure(style, papers, grader)
        kind = "loss expected" if style.loss_expected else "seen" if style.seen else "only possible"
        group = groups[kind]
        group.earned, group.withheld = group.earned + tally.earned, group.withheld + tally.withheld
        group.lost += tally.lost
        group.gained += tally.gained
        print(row(style.name, "expected" if style.loss_expected else "yes" if style.seen else "no", tally), flush=True)
        worst = max(0.0 if style.loss_expected else tally.loss, tally.gain)
        if worst > most:
            beyond.append((worst, style.name, [*tally.lost, *tally.gained]))
    for kind, group in groups.items():
        print(row(f"**all, {kind}**", "", group))
    print(f"\n{len(styles)} styles, {len(papers)} papers; beyond {most:.1%}: {len(beyond)}")
    for worst, name, examples in sorted(beyond, reverse=True):
        print(f"- {worst:.1%} {name}")
        for example in examples[:show]:
            print(f"    {example}")
    return not beyond


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exams", type=int, default=60, help="exams, each in three orders; 0: until all are used")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="styles whose name holds this text")
    parser.add_argument("--seen", action="store_true", help="styles that a real model was seen to use")
    parser.add_argument("--most", type=float, default=0.01, help="share of points that a style may lose or gain")
    parser.add_argument("--show", type=int, default=0, help="examples a style beyond that, by id (never the text)")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    styles = [style for style in all_styles() if options.only in style.name and (style.seen or not options.seen)]
    with Grader(options.workers) as grader:
        solutions = load_solutions(options.folder, grader)
        if any(solution.answer in WRONG for solution in solutions):
            raise SystemExit(f"{options.folder}: an answer is one of {WRONG}, which stand for wrong ones here")
        papers = make_papers(solutions, options.exams, options.seed)
        if not papers:
            raise SystemExit(
                f"{options.folder}: {len(solutions)} right outputs make no exam of three; nothing was tested"
            )
        print(f"{len(solutions)} right solutions\n")
        return 0 if report(styles, papers, grader, options.most, options.show) else 1


if __name__ == "__main__":
    sys.exit(main())
