"""Time of the allocation theory on 480 exams in three orders: every budget from 0 to 1,024 tokens in one go.

    python benchmarks/allocation_speed.py [--samples 16] [--runs 3]

Costs and successes are drawn at random; both are all that the time depends on.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from roi_bench.analysis.allocation import cross_fitted_value, hindsight_value, optimal_policy, play_value

EXAMS, BUDGET, SKIP_COST = 3 * 480, 1024, 12


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    costs = generator.integers(20, BUDGET + 1, (EXAMS, 3, arguments.samples))
    correct = generator.random(costs.shape) < 0.5
    always = np.ones(costs.shape[:2])
    parts: dict[str, Callable[[], object]] = {
        "V_DP, cross-fitted": lambda: cross_fitted_value(costs, correct, BUDGET, SKIP_COST),
        "V_DP in sample": lambda: optimal_policy(costs, correct, BUDGET, SKIP_COST),
        "hindsight": lambda: hindsight_value(costs, correct, BUDGET, SKIP_COST),
        "in order": lambda: play_value(costs, correct, BUDGET, SKIP_COST, always),
        "random": lambda: play_value(costs, correct, BUDGET, SKIP_COST, always / 2),
    }
    print("| part | s, best and worst |\n|---|---|")
    total = [0.0] * arguments.runs
    for name, part in parts.items():
        seconds = []
        for run in range(arguments.runs):
            begin = time.perf_counter()
            part()
            seconds.append(time.perf_counter() - begin)
            total[run] += seconds[-1]
        print(f"| {name} | {min(seconds):.2f}–{max(seconds):.2f} |")
    print(f"| all | {min(total):.2f}–{max(total):.2f} |")
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
