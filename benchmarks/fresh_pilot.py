"""A pilot for fresh exams that measure allocation: which kinds of problems, at which sizes, real models solve alone.

    python -m benchmarks.fresh_pilot show [--problems 200]
    python -m benchmarks.fresh_pilot ask MODEL_FOLDER --name NAME --out DIR [--problems 6] [--cap 700]
        [--dtype bfloat16] [--only KIND …]
    python -m benchmarks.fresh_pilot table DIR

``show`` prints an example of every candidate and how often its best constant guess is right. ``ask`` asks a model every
problem alone with the solo prompt, greedily and with vLLM, the first problem of every candidate before the second of
any, and appends each answer to ``DIR/NAME.jsonl``; started again it asks only what is missing. ``table`` prints the
share solved and the median tokens by candidate and model. It looks for candidates; what is admitted is measured anew on
other problems.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.fresh_candidates import counting, numbers, shapes_and_dates, word_problems
from benchmarks.fresh_candidates.kind import Kind
from roi_bench.grading.grader import Grader
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import exam_messages

KINDS: dict[str, Kind] = {**word_problems.KINDS, **numbers.KINDS, **counting.KINDS, **shapes_and_dates.KINDS}

SIZES: dict[str, list[dict[str, Any]]] = {
    "shopping": [
        {"lines": 3},
        {"lines": 6},
        {"lines": 2},
    ],
    "ages": [
        {"people": 2},
        {"people": 3},
    ],
    "journey": [
        {"legs": 3},
        {"legs": 6},
        {"legs": 2},
    ],
    "meeting": [
        {},
    ],
    "stock": [
        {"days": 3},
        {"days": 7},
        {"days": 24},
        {"days": 2},
    ],
    "mean": [
        {"values": 4},
        {"values": 9},
        {"values": 3},
    ],
    "packing": [
        {},
    ],
    "tickets": [
        {"unknowns": 2},
        {"unknowns": 3},
        {"unknowns": 4},
    ],
    "equation": [
        {"form": "two_sides"},
        {"form": "brackets"},
    ],
    "multiples": [
        {"to": (60, 400), "divisors": 1, "from": 1},
        {"to": (100, 400), "divisors": 2},
        {"to": (200, 600), "divisors": 3, "none": 1},
    ],
    "stretch": [
        {"step": (3, 9), "terms": (8, 20)},
        {"step": (7, 19), "terms": (20, 40), "rest": 1},
        {"step": (3, 9), "terms": (4, 6)},
    ],
    "gcd": [
        {"gcd": (4, 40), "factors": (3, 12)},
        {"gcd": (11, 60), "factors": (11, 60)},
    ],
    "lcm": [
        {"range": (6, 40), "count": 2},
        {"range": (8, 60), "count": 4},
        {"range": (20, 99), "count": 6},
    ],
    "divisor_sum": [
        {"range": (40, 120), "divisors": 6},
        {"range": (700, 3000), "divisors": 16},
    ],
    "power": [
        {"modulus": (41, 97), "base": (3, 30), "exponent": (3, 5)},
        {"modulus": (41, 97), "base": (3, 30), "exponent": (40, 200)},
    ],
    "digits": [
        {"low": (100, 300), "width": (300, 700), "sum": (7, 18)},
    ],
    "remainders": [
        {"moduli": (5, 7, 8, 9, 11, 13), "count": 2},
        {"moduli": (7, 8, 9, 11, 13), "count": 3},
    ],
    "recurrence": [
        {"order": 1, "p": (2, 3), "q": (1, 9), "n": (4, 6)},
        {"order": 2, "p": (1, 3), "q": (0, 0), "n": (8, 10)},
        {"order": 1, "p": (3, 9), "q": (2, 19), "n": (10, 12), "mod": 1},
        {"order": 1, "p": (3, 9), "q": (2, 19), "n": (40, 60), "mod": 1},
        {"order": 1, "p": (2, 2), "q": (1, 9), "n": (3, 4)},
    ],
    "pattern": [
        {"degree": 1},
        {"degree": 2},
    ],
    "pairs": [
        {"n": (12, 60)},
        {"n": (12, 60), "absent": 1},
    ],
    "exactly": [
        {"people": (4, 9), "each": (1, 3)},
    ],
    "committee": [
        {"people": (4, 7), "k": (3, 5), "least": 2},
    ],
    "paths": [
        {"side": (3, 4), "blocked": (1, 2), "least": 2},
        {"side": (6, 8), "blocked": (5, 9), "least": 30},
    ],
    "cheapest": [
        {"side": (3, 3), "high": 9},
        {"side": (4, 4), "high": 20},
        {"side": (7, 8), "high": 20},
    ],
    "network": [
        {"towns": (4, 5), "density": 0.5},
        {"towns": (11, 13), "density": 0.4},
        {"towns": (3, 4), "density": 0.5},
    ],
    "knapsack": [
        {"items": (4, 4)},
        {"items": (10, 12)},
    ],
    "liars": [
        {"people": 2},
        {"people": 3},
        {"people": 6},
    ],
    "circle": [
        {"n": (34, 60), "k": (2, 2)},
        {"n": (40, 70), "k": (3, 5)},
    ],
    "subsets": [
        {"count": 7, "high": 20},
        {"count": 12, "high": 25},
    ],
    "row": [
        {"people": 4, "rules": 2, "least": 3},
        {"people": 6, "rules": 4, "least": 10},
    ],
    "garden": [
        {},
    ],
    "room": [
        {},
    ],
    "cuboid": [
        {},
    ],
    "polygon": [
        {"corners": 3, "reach": 9},
        {"corners": 8, "reach": 30},
    ],
    "days": [
        {"days": (20, 60)},
        {"days": (60, 400)},
        {"days": (1500, 9000)},
    ],
    "shifts": [
        {"shifts": 2},
        {"shifts": 5},
    ],
    "buses": [
        {"lines": 2, "gaps": (6, 8, 9, 10, 12, 15, 18, 20)},
        {"lines": 3, "gaps": (7, 8, 9, 11, 12, 14, 15, 18)},
    ],
}
"""Sizes by kind: those of the first round, small to large; then smaller ones, since too few of the first were easy."""

AT_ONCE = 96


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind at a size.

    Attributes:
        name: ``kind/number``, the number that of the size.
        kind: The kind.
        size: The size.
    """

    name: str
    kind: Kind
    size: dict[str, Any]

    def problem(self, index: int) -> tuple[str, int]:
        """Return question and answer of the problem number ``index``."""
        facts = self.kind.draw(Random(f"pilot/{self.name}/{index}"), self.size)
        return self.kind.ask(facts), self.kind.answer(facts)


def candidates() -> Iterator[Candidate]:
    """Yield every kind at every size."""
    for name, sizes in SIZES.items():
        for number, size in enumerate(sizes, start=1):
            yield Candidate(f"{name}/{number}", KINDS[name], size)


def show(options: argparse.Namespace) -> None:
    """Print an example of each candidate, and how often its best constant guess is right."""
    for candidate in candidates():
        answers = Counter(candidate.problem(index)[1] for index in range(options.problems))
        guess, count = answers.most_common(1)[0]
        print(f"{candidate.name} ({candidate.kind.area}): guess {guess} {count / options.problems:.3f}")
        print("   {} -> {}".format(*candidate.problem(0)))


def ask(options: argparse.Namespace) -> None:
    """Ask a model what it was not asked yet."""
    from vllm import LLM, SamplingParams

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}.jsonl"
    known = {(line["candidate"], line["problem"]) for line in _lines(path)}
    chosen = [one for one in candidates() if not options.only or one.name.partition("/")[0] in options.only]
    waiting = [(one, index) for index in range(options.problems) for one in chosen if (one.name, index) not in known]
    llm = LLM(
        model=str(options.model), dtype=options.dtype, enforce_eager=True, max_model_len=2048, max_num_seqs=AT_ONCE
    )
    sampling = SamplingParams(temperature=0, max_tokens=options.cap)
    for start in range(0, len(waiting), AT_ONCE):
        part = waiting[start : start + AT_ONCE]
        prompts = [exam_messages([one.problem(index)[0]], options.cap, "solo") for one, index in part]
        with path.open("a", encoding="utf-8") as file:
            for (one, index), output in zip(part, llm.chat(prompts, sampling), strict=True):
                found = output.outputs[0]
                line = {"candidate": one.name, "problem": index, "cap": options.cap, "response": found.text}
                file.write(json.dumps({**line, "tokens": len(found.token_ids)}) + "\n")


def table(options: argparse.Namespace) -> None:
    """Print what came of each candidate by model."""
    known = {one.name: one for one in candidates()}
    print("| candidate | area | model | problems | solved | tokens, median | of solved | at the cap |")
    print("|---|---|---|---|---|---|---|---|")
    with Grader() as grader:
        for path in sorted(options.out.glob("*.jsonl")):
            by_candidate: dict[str, list[dict[str, Any]]] = {}
            for line in _lines(path):
                by_candidate.setdefault(line["candidate"], []).append(line)
            for name, lines in sorted(by_candidate.items()):
                right = [_is_right(known[name], line, grader) for line in lines]
                tokens = [line["tokens"] for line in lines]
                solved = [count for count, correct in zip(tokens, right, strict=True) if correct]
                cells = [name, known[name].kind.area, path.stem, len(lines), f"{sum(right) / len(lines):.2f}"]
                cells += [f"{median(tokens):.0f}", f"{median(solved):.0f}" if solved else "–"]
                full = sum(line["tokens"] == line["cap"] for line in lines) / len(lines)
                print(f"| {' | '.join(map(str, cells))} | {full:.2f} |")


def _is_right(candidate: Candidate, line: dict[str, Any], grader: Grader) -> bool:
    question, answer = candidate.problem(line["problem"])
    cut = line["tokens"] == line["cap"]
    found = read_response(line["response"], 1, cut_off=cut).problems[0].answer
    return found is not None and grader.grade("fresh-easy", found, (str(answer),), question).correct


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    showing, asking, counting_ = (commands.add_parser(name) for name in ("show", "ask", "table"))
    showing.add_argument("--problems", type=int, default=200)
    showing.set_defaults(run=show)
    asking.add_argument("model", type=Path)
    asking.add_argument("--name", required=True)
    asking.add_argument("--problems", type=int, default=6)
    asking.add_argument("--cap", type=int, default=700)
    asking.add_argument("--dtype", default="bfloat16")
    asking.add_argument("--only", nargs="+")
    asking.set_defaults(run=ask)
    counting_.set_defaults(run=table)
    asking.add_argument("--out", type=Path, required=True)
    counting_.add_argument("out", type=Path)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
