"""A model made of numbers: what each problem costs it, how often it is right, and sitting exams with any policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.profile import Profile, SoloSkill
from roi_bench.exams.exam import Exam
from roi_bench.scoring.metrics import Sample
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import prompt_sha256
from roi_bench.scoring.tokens import Usage
from tests.support.attempts import exam_attempt, score_exams
from tests.support.exam_factory import WordCounter, make_exam
from tests.support.graders import EqualityGrader

SKIP_COST = 4  # words of a skip: "### Problem k" and a box
BUDGET = 120

Decide = Callable[[Exam, str, int, int], int | None]
"""(exam, order, position from 0, tokens left) → cap, or None to skip."""

TIER_COSTS = {"easy": (10, 25), "middle": (25, 60), "hard": (60, 110)}
TIER_CHANCES = {"easy": (0.7, 1.0), "middle": (0.3, 0.95), "hard": (0.0, 0.5)}


def invented_exams(count: int) -> list[Exam]:
    return [make_exam(index, cluster=f"cluster {index % 30}") for index in range(count)]


@dataclass(frozen=True)
class SimulatedModel:
    """Cost of each problem: uniform between two bounds; right with its own chance."""

    bounds: dict[str, tuple[int, int]]
    chances: dict[str, float]

    def draw(self, problem: str, generator: np.random.Generator) -> tuple[int, bool]:
        low, high = self.bounds[problem]
        return int(generator.integers(low, high + 1)), bool(generator.random() < self.chances[problem])

    def profile(self, samples: int, seed: int) -> Profile:
        generator = np.random.default_rng(seed)
        skills = {}
        for problem in self.bounds:
            drawn = [self.draw(problem, generator) for _ in range(samples)]
            skills[problem] = SoloSkill(tuple(cost for cost, _ in drawn), tuple(right for _, right in drawn))
        return Profile("simulated", "v1", None, BUDGET, SKIP_COST, prompt_sha256("solo"), {}, skills)

    def sit(
        self, exams: list[Exam], order: str, decide: Decide, seed: int, repeats: int = 1
    ) -> dict[str, tuple[Sample, ...]]:
        """Return the scored samples of the model sitting ``exams`` in ``order`` and in easy order, deciding so."""
        generator = np.random.default_rng(seed)

        def respond(exam: Exam, asked: str) -> Response:
            words: list[str] = []
            for position, problem in enumerate(exam.ordered(asked)):
                cap = decide(exam, asked, position, BUDGET - len(words))
                header = ["\n###", "Problem", f"{position + 1}\n"]
                if cap is None:
                    words += [*header, "\\boxed{NA}\n"]
                    continue
                cost, right = self.draw(problem.id, generator)
                work = [*header, *["work"] * (cost - 4), f"\\boxed{{{problem.answer if right else 'nonsense'}}}\n"]
                words += work if cost <= cap else work[:cap]
            cut = len(words) >= BUDGET
            return Response(
                " ".join(words[:BUDGET]), Usage(min(len(words), BUDGET), "length" if cut else "stop", "generated")
            )

        attempts = [
            exam_attempt(
                exam,
                order,
                BUDGET,
                tuple(respond(exam, order) for _ in range(repeats)),
                tuple(respond(exam, "easy") for _ in range(repeats)),
            )
            for exam in exams
        ]
        scored = score_exams(attempts, EqualityGrader(), WordCounter())
        return {exam.id: samples for exam, samples in zip(exams, scored, strict=True)}


def simulated_model(exams: list[Exam], seed: int) -> SimulatedModel:
    generator = np.random.default_rng(seed)
    bounds, chances = {}, {}
    for exam in exams:
        for tier, problem in zip(("easy", "middle", "hard"), exam.problems, strict=True):
            low, high = sorted(int(value) for value in generator.integers(*TIER_COSTS[tier], 2))
            bounds[problem.id] = (low, high)
            chances[problem.id] = float(generator.uniform(*TIER_CHANCES[tier]))
    return SimulatedModel(bounds, chances)


def follow(caps: dict[tuple[str, str], NDArray[np.int64]]) -> Decide:
    """Return the policy that reads its caps, (positions, budget + 1) by exam id and order; a negative one is a skip."""

    def decide(exam: Exam, order: str, position: int, left: int) -> int | None:
        cap = int(caps[exam.id, order][position, max(0, left)])
        return None if cap < 0 else cap

    return decide
