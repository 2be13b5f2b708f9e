"""How long worked solutions of fresh problems are, beside the reference solutions of GSM8K and MATH.

    ROI_BENCH_DATA_DIR=… python benchmarks/fresh_difficulty.py [--seed 0] [--tokenizer NAME_OR_FOLDER]

Prints one row for each family, tier and pool: problems, steps (lines) of the solution, and its tokens at the 10th,
50th and 90th percentile. Without ``--tokenizer`` the tokens are those of cl100k_base, of which litellm (extra ``api``)
brings a copy, so that nothing is downloaded. AIME has no reference solutions in the data.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from roi_bench.exams.exam import TIERS, Problem
from roi_bench.exams.fresh import FAMILIES, fresh_problem
from roi_bench.exams.sets import load_exams

PER_FAMILY = 96
"""Problems of each family, as many as a set of 480 exams holds."""

Count = Callable[[str], int]


def token_count(name: str | None) -> tuple[str, Count]:
    """Return the name of the tokenizer and a function that counts the tokens of a text."""
    if name is None:
        spec = importlib.util.find_spec("litellm")
        if spec is None or spec.origin is None:
            raise SystemExit(
                "no litellm, whose tokenizer is counted with: pip install 'roi-bench[api]' or use --tokenizer"
            )
        os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers")
        import tiktoken

        encoding = tiktoken.get_encoding("cl100k_base")
        return encoding.name, lambda text: len(encoding.encode(text, disallowed_special=()))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    return name, lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def print_row(name: str, problems: Iterable[Problem], count: Count) -> None:
    """Print steps and tokens of the solutions of ``problems``."""
    solutions = [problem.solution for problem in problems if problem.solution]
    tokens = sorted(map(count, solutions))
    steps = sorted(len(solution.splitlines()) for solution in solutions)
    low, middle, high = (tokens[int(share * (len(tokens) - 1))] for share in (0.1, 0.5, 0.9))
    print(f"| {name} | {len(tokens)} | {steps[len(steps) // 2]} | {low} | {middle} | {high} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the fresh exams")
    parser.add_argument("--tokenizer", help="Hugging Face tokenizer to count with")
    arguments = parser.parse_args()
    name, count = token_count(arguments.tokenizer)
    fresh, real = load_exams("fresh", seed=arguments.seed), load_exams("v1")
    print(f"tokens of {name}; fresh problems of seed {arguments.seed}\n")
    print("| solutions | problems | steps | tokens 10 % | 50 % | 90 % |\n|---|---|---|---|---|---|")
    for place, tier in enumerate(TIERS):
        for number, family in enumerate(FAMILIES[tier]):
            items = [fresh_problem(arguments.seed, tier, index, number) for index in range(PER_FAMILY)]
            print_row(f"{tier}: {family.dataset}", items, count)
        print_row(f"**fresh, {tier}**", (exam.problems[place] for exam in fresh), count)
    print_row("**GSM8K in the manifest**", (exam.problems[0] for exam in real), count)
    levels = sorted({exam.problems[1].level or 0 for exam in real})
    for level in levels:
        problems = [exam.problems[1] for exam in real if exam.problems[1].level == level]
        print_row(f"MATH level {level} in the manifest", problems, count)
    print_row("**MATH in the manifest**", (exam.problems[1] for exam in real), count)


if __name__ == "__main__":
    main()
