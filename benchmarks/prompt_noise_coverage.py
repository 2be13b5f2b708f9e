"""How often the interval that includes prompt noise covers the truth, on simulated exams whose truth is known.

    python benchmarks/prompt_noise_coverage.py [--replications 4000] [--per-problem 16]

Chances are linear in independent effects of the re-used problem, the exam, the prompt, and of what exam and prompt make
of each other, so the true score and regret of a prompt of this kind are known. Prints a row for each metric, number of
paraphrases and true standard deviation between prompts: coverage of the usual 95 % interval and of the one with prompt
noise, and their mean half-widths.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from roi_bench.analysis.prompt_noise import Layout, layout, widened

PROBLEMS = 30
"""Re-used problems, as in exam version 1: the clusters."""

EASY, RETAINED = 0.6, 0.7
"""True chance of a right answer in easy order, and the share of it that the other order keeps: regret 0.3."""

SCORE, REGRET = 3 * EASY * RETAINED, 1 - RETAINED
"""What intervals have to cover."""

_AT_ONCE = 2_000_000  # exams of a block of replications, over all prompts: some 100 MB

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How two intervals did.

    Attributes:
        usual: Share of replications in which the usual interval covered the truth.
        with_noise: The same of the interval that includes prompt noise.
        usual_half: Mean half-width of the usual interval.
        noise_half: Median half-width of the other (its mean hangs on few replications).
    """

    usual: float
    with_noise: float
    usual_half: float
    noise_half: float


def coverage(
    metric: str, paraphrases: int, prompt_sd: float, *, replications: int, per_problem: int, seed: int
) -> Coverage:
    """Return how the intervals for ``score`` or ``regret`` do.

    Args:
        metric: ``score`` or ``regret``.
        paraphrases: Number of paraphrase runs.
        prompt_sd: True standard deviation between prompts, in the unit of the metric.
        replications: Simulated benchmarks.
        per_problem: Exams to a re-used problem.
        seed: Seed.
    """
    rng = np.random.default_rng(seed)
    truth = SCORE if metric == "score" else REGRET
    quantile = float(t.ppf(0.975, PROBLEMS - 1))
    hits, halves = [], []
    for found in _layouts(rng, metric, paraphrases + 1, prompt_sd, replications, per_problem):
        usual = quantile * found.stderr[..., 0]
        wide = widened(usual, np.sqrt(found.prompt_variance), paraphrases)
        off = np.abs(found.values[..., 0] - truth)
        hits.append(np.stack([off <= usual, off <= wide]))
        halves.append(np.stack([usual, wide]))
    covered, widths = np.concatenate(hits, axis=1).mean(axis=1), np.concatenate(halves, axis=1)
    return Coverage(float(covered[0]), float(covered[1]), float(widths[0].mean()), float(np.median(widths[1])))


def _layouts(
    rng: np.random.Generator, metric: str, prompts: int, prompt_sd: float, replications: int, per_problem: int
) -> Iterator[Layout]:
    clusters = [f"{index // per_problem:02}" for index in range(PROBLEMS * per_problem)]
    step = max(1, _AT_ONCE // (prompts * len(clusters)))
    for start in range(0, replications, step):
        easy, other = _answers(rng, prompts, prompt_sd, metric, (min(step, replications - start), per_problem))
        terms = (other, np.ones_like(other)) if metric == "score" else (easy - other, easy)
        yield layout(*terms, clusters)


def _answers(
    rng: np.random.Generator, prompts: int, prompt_sd: float, metric: str, size: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Return right answers in easy and in the task's order, each of shape (replications, prompts, exams)."""
    replications, per_problem = size

    def effect(width: float, shape: tuple[int, ...]) -> FloatArray:
        return width * rng.uniform(-1, 1, (replications, *shape))

    exams = (PROBLEMS, per_problem)
    difficulty = effect(0.15, (1, PROBLEMS, 1)) + effect(0.15, (1, *exams))
    suits = effect(0.05, (prompts, PROBLEMS, 1)) + effect(0.05, (prompts, *exams))
    words = prompt_sd * rng.standard_normal((replications, prompts, 1, 1))
    # A prompt moves both orders alike (score) or only what the task's order keeps of the easy one's (regret).
    in_easy = EASY + difficulty + suits + (words / 3 / RETAINED if metric == "score" else 0.0)
    in_easy = np.clip(in_easy, 0, 1)
    kept = np.broadcast_to(RETAINED - (words if metric == "regret" else 0.0), in_easy.shape)
    easy = rng.binomial(3, in_easy)
    other = rng.binomial(easy, np.clip(kept, 0, 1))
    shape = (replications, prompts, PROBLEMS * per_problem)
    return easy.reshape(shape).astype(np.float64), other.reshape(shape).astype(np.float64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=4000, help="simulated benchmarks a row")
    parser.add_argument("--per-problem", type=int, default=16, help="exams to a re-used problem: 16 are exam version 1")
    given = parser.parse_args()
    print(
        "| metric | paraphrases | true SD | usual: covers | mean half-width "
        "| with prompt noise: covers | median half-width |"
    )
    print("|---|---|---|---|---|---|---|")
    for metric, deviations in (("score", (0.0, 0.03, 0.1, 0.3)), ("regret", (0.0, 0.01, 0.03, 0.1))):
        for paraphrases in (2, 3):
            for seed, prompt_sd in enumerate(deviations):
                found = coverage(
                    *(metric, paraphrases, prompt_sd),
                    replications=given.replications,
                    per_problem=given.per_problem,
                    seed=seed,
                )
                print(
                    f"| {metric} | {paraphrases} | {prompt_sd} | {found.usual:.3f} | {found.usual_half:.3f} "
                    f"| {found.with_noise:.3f} | {found.noise_half:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
