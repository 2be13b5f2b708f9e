"""The one home of prompt text: tasks, baselines, training and leaderboard all take it from here.

A prompt never names the pool, the difficulty or the order (SPEC section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

from roi_bench.problems import sha256_text

DIRECT_INSTRUCTIONS = (
    "Answer the three problems below in one response of at most {budget} tokens. "
    "Everything you write counts, and the response is cut off at the limit.\n"
    'Take the problems in the given order. For each, write the header line "### Problem k" with its number k, '
    "then your work, then the final answer as \\boxed{{answer}}. You cannot go back to an earlier problem.\n"
    "Each correct answer is worth one point; a wrong, missing or cut-off answer is worth nothing. "
    "If a problem is not worth its tokens, skip it: write its header line and \\boxed{{NA}}."
)
"""Budget, format and skip option, stated plainly (SPEC sections 5 and 10)."""

RESPONSE_CUE = "Response:\n"
"""Last line of every prompt; the response starts right after it."""

INSTRUCTIONS = {"direct": DIRECT_INSTRUCTIONS}
"""Instruction text by prompt name; ``{budget}`` is the budget in tokens."""


def problem_header(position: int) -> str:
    """Return the canonical header line of the problem at ``position`` (1-based), without a line end."""
    return f"### Problem {position}"


def exam_prompt(questions: Sequence[str], budget: int, prompt: str = "direct") -> str:
    """Return the prompt of an exam: instructions, the questions by position, the cue.

    Args:
        questions: Canonical question texts by position.
        budget: Budget in generated tokens.
        prompt: Name of the prompt, a key of :data:`INSTRUCTIONS`.
    """
    parts = [INSTRUCTIONS[prompt].format(budget=budget)]
    parts += [f"{problem_header(k)}\n{question}" for k, question in enumerate(questions, start=1)]
    return "\n\n".join(parts) + "\n\n" + RESPONSE_CUE


def prompt_sha256(prompt: str = "direct") -> str:
    """Return the SHA-256 of the prompt's template (budget and questions left open): its version."""
    return sha256_text(INSTRUCTIONS[prompt] + "\x1f" + problem_header(0) + "\x1f" + RESPONSE_CUE)
