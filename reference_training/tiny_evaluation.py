"""Greedy evaluation of a tiny model through plain ``generate``: accuracy by tier, score by order and budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roi_bench.exams.exam import TIERS, Exam, Problem
from roi_bench.exams.tiny import TINY_BUDGETS
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import exam_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

Sitting = tuple[str, int]
"""Order and budget."""

SITTINGS: tuple[Sitting, ...] = tuple(
    (order, budget) for budget in reversed(TINY_BUDGETS) for order in ("easy", "medium", "hard")
)


@dataclass(frozen=True, slots=True)
class Row:
    """Correct answers of ``exams`` sittings; ``correct`` by tier easy, middle, hard."""

    name: str
    budget: int
    exams: int
    correct: tuple[int, int, int]

    def accuracy(self, tier: int) -> float:
        """Share of right answers in a tier (0 easy, 1 middle, 2 hard)."""
        return self.correct[tier] / self.exams

    @property
    def score(self) -> float:
        """Correct answers per exam, 0–3."""
        return sum(self.correct) / self.exams


def generate_texts(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], budget: int, batch: int = 64
) -> list[str]:
    """Return greedy responses of at most ``budget`` tokens, special tokens left out."""
    import torch

    texts: list[str] = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(
            list(prompts[start : start + batch]), return_tensors="pt", padding=True, add_special_tokens=False
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=budget, do_sample=False)
        texts += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def is_right(problem: Problem, answer: str | None) -> bool:
    """Tell whether ``answer`` is the problem's own numeral (the tiny model writes no other form)."""
    return answer is not None and answer.strip() == problem.answer


def evaluate(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    exams: Sequence[Exam],
    sittings: Sequence[Sitting] = SITTINGS,
    done: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Return one row for the problems alone (loose budget) and one for each sitting; ``done`` is called after each."""
    model.eval()
    loose = max(TINY_BUDGETS)
    alone = []
    for tier in range(len(TIERS)):
        problems = [exam.problems[tier] for exam in exams]
        texts = generate_texts(model, tokenizer, [exam_prompt([p.question], loose) for p in problems], loose)
        answers = [read_response(text, count=1).problems[0].answer for text in texts]
        alone.append(sum(map(is_right, problems, answers)))
        done()
    rows = [Row("alone", loose, len(exams), (alone[0], alone[1], alone[2]))]
    for order, budget in sittings:
        prompts = [exam_prompt([problem.question for problem in exam.ordered(order)], budget) for exam in exams]
        texts = generate_texts(model, tokenizer, prompts, budget)
        correct = [0, 0, 0]
        for exam, text in zip(exams, texts, strict=True):
            segments = read_response(text).problems
            for tier, segment in zip(exam.permutation(order), segments, strict=True):
                correct[tier] += is_right(exam.problems[tier], segment.answer)
        rows.append(Row(order, budget, len(exams), (correct[0], correct[1], correct[2])))
        done()
    return rows


def wilson_interval(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a share (E. B. Wilson, JASA 22, 1927), 95 % by default."""
    share = successes / count
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, each accuracy with its 95 % interval."""
    lines = ["| order | budget | exams | easy | middle | hard | score |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = []
        for correct in row.correct:
            low, high = wilson_interval(correct, row.exams)
            cells.append(f"{correct / row.exams:.3f} ({low:.3f}–{high:.3f})")
        score = "" if row.name == "alone" else f"{row.score:.3f}"
        lines.append(f"| {row.name} | {row.budget} | {row.exams} | {' | '.join(cells)} | {score} |")
    return "\n".join(lines)
