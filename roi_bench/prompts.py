r"""The one home of prompt text: tasks, baselines, training and leaderboard all take it from here.

A prompt never names the pool, the difficulty or the order (SPEC section 3). Each has a name, which stands in the
name of its tasks, and a version, the hash of its text. What each is after, and what of it is the paper's, says
``baselines/README.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from roi_bench.errors import UsageError, nearest
from roi_bench.problems import sha256_text
from roi_bench.tokens import LEVEL_BOUNDS

Form = Literal["exam", "knapsack", "solo"]
"""How problems are asked.

- ``exam``: the three problems of an exam in one generation, in the task's order and in easy order.
- ``knapsack``: each problem of an exam alone; which answers count is decided afterwards (:mod:`roi_bench.knapsack`).
- ``solo``: each distinct problem of an exam set alone, for a solo profile.
"""

REQUESTS: dict[str, int] = {"exam": 2, "knapsack": 3, "solo": 1}
"""Requests of one document of a task, by form.

``exam``: the task's order, the easy order. ``knapsack``: the easy, middle and hard problem. ``solo``: the problem.
"""

DIRECT_INSTRUCTIONS = (
    "Answer the three problems below in one response of at most {budget} tokens. "
    "Everything you write counts, and the response is cut off at the limit.\n"
    'Take the problems in the given order. For each, write the header line "### Problem k" with its number k, '
    "then your work, then the final answer as \\boxed{{answer}}. You cannot go back to an earlier problem.\n"
    "Each correct answer is worth one point; a wrong, missing or cut-off answer is worth nothing. "
    "If a problem is not worth its tokens, skip it: write its header line and \\boxed{{NA}}."
)
"""Budget, format and skip option, stated plainly (SPEC sections 5 and 10)."""

PLAN_AND_SOLVE_INSTRUCTIONS = (
    DIRECT_INSTRUCTIONS + "\n"
    "Before the first header line, write a short plan for the whole exam: how to solve each problem and how many "
    "tokens to give it. Then carry out the plan, problem by problem."
)
"""A short global plan first (SPEC section 10)."""

LEAST_TO_MOST_INSTRUCTIONS = (
    DIRECT_INSTRUCTIONS + "\n"
    "First look at the whole exam and judge which problems are easier and which are harder. Then go through them one "
    "after the other: break each into its simplest parts, solve these in turn, and build the answer from them. If an "
    "early problem is hard, you may skip it at once and keep the tokens for the easier ones behind it."
)
"""Sequential, with leave to skip early hard problems after a look at the whole exam (SPEC section 10)."""

_LEVELS = (
    "<predicted_level>Level-k</predicted_level>, where Level-0 means at most {level_0} tokens, Level-1 at most "
    "{level_1}, Level-2 at most {level_2}, and Level-3 not worth attempting. After Level-3 write \\boxed{{NA}} at once"
)

METACOGNITIVE_INSTRUCTIONS = (
    DIRECT_INSTRUCTIONS + "\n"
    f"Directly after each header line, before any work, predict what the problem will cost: write {_LEVELS} and go on "
    "with the next problem."
)
"""The level tag before each problem, Level-3 → NA: the format that MFT trains (SPEC section 10)."""

SOLO_INSTRUCTIONS = (
    "Answer the problem below in a response of at most {budget} tokens. "
    "Everything you write counts, and the response is cut off at the limit.\n"
    'Write the header line "### Problem k" with its number k, then your work, then the final answer as '
    "\\boxed{{answer}}."
)
"""One problem alone, with no leave to skip it: what can the model do, and at what cost (SPEC section 11)."""

GREEDY_KNAPSACK_INSTRUCTIONS = (
    SOLO_INSTRUCTIONS + "\n"
    f"Directly after the header line, before any work, predict what the problem will cost: write {_LEVELS} and stop.\n"
    "A correct answer is worth one point; a wrong, missing or cut-off answer is worth nothing."
)
"""One problem alone in the metacognitive format (SPEC section 10)."""

RESPONSE_CUE = "Response:\n"
"""Last line of every prompt; the response starts right after it."""

PROBLEMS = "{problems}"
"""Where the questions stand in a template."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A way to ask.

    Attributes:
        template: The whole prompt as a format text: ``{problems}`` stands for the questions, ``{budget}`` and
            ``{level_0}`` to ``{level_2}`` for numbers of tokens.
        form: How problems are asked.
        header: Line above each question; ``{k}`` is its 1-based position.
        paraphrases: The same content in other words and another layout, which tells how much a score hangs on the words
            (prompt noise, SPEC section 9); paraphrase 1 is the first.
    """

    template: str
    form: Form = "exam"
    header: str = "### Problem {k}"
    paraphrases: tuple[Prompt, ...] = ()

    def worded(self, paraphrase: int) -> Prompt:
        """Return the paraphrase of that number, or the prompt itself for 0.

        Raises:
            UsageError: It has no such paraphrase.
        """
        if not 0 <= paraphrase <= len(self.paraphrases):
            raise UsageError(f"paraphrase must be {self.paraphrases_text}, not {paraphrase}")
        return self.paraphrases[paraphrase - 1] if paraphrase else self

    @property
    def paraphrases_text(self) -> str:
        """Which numbers of paraphrases there are, for messages."""
        count = len(self.paraphrases)
        return f"1 to {count}, or 0 for the prompt itself" if count else "0, as this prompt has no paraphrases"

    def render(self, questions: Sequence[str], budget: int, bounds: Sequence[int] = LEVEL_BOUNDS) -> str:
        """Return the prompt that asks ``questions`` (by position) under ``budget`` generated tokens.

        Args:
            questions: Canonical question texts by position.
            budget: Budget in generated tokens.
            bounds: Upper token bounds of Level-0 to Level-2.
        """
        levels = {f"level_{level}": bound for level, bound in enumerate(bounds)}
        before, after = (part.format(budget=budget, **levels) for part in self.template.split(PROBLEMS))
        blocks = [f"{self.header.format(k=k)}\n{question}" for k, question in enumerate(questions, start=1)]
        return before + "\n\n".join(blocks) + after

    @property
    def sha256(self) -> str:
        """SHA-256 of the template, budget and questions left open: the version of the prompt."""
        before, after = self.template.split(PROBLEMS)
        # The blank lines around the questions are left out, as in version 1 of the hash.
        parts = (before.removesuffix("\n\n"), self.header.format(k=0), after.removeprefix("\n\n"))
        return sha256_text("\x1f".join(parts))


def _asking(instructions: str, form: Form = "exam") -> Prompt:
    return Prompt(f"{instructions}\n\n{PROBLEMS}\n\n{RESPONSE_CUE}", form)


DIRECT_PARAPHRASES = (
    Prompt(
        "Below are three problems.\n"
        "- Write one response that answers all of them. It may take at most {budget} tokens; whatever you write is "
        "counted, and at the limit the response stops.\n"
        "- Go through the problems as they are numbered and never return to one that you have left.\n"
        '- Begin each problem with a line of its own, "### Problem k", k being its number; let your work follow, and '
        "end with the answer in a box: \\boxed{{answer}}.\n"
        "- You get one point for every right answer and none for an answer that is wrong, missing or cut off.\n"
        '- Where a problem would cost more tokens than it is worth, leave it out: "### Problem k" and \\boxed{{NA}}.'
        f"\n\n{PROBLEMS}\n\n{RESPONSE_CUE}"
    ),
    Prompt(
        f"{PROBLEMS}\n\n"
        "These three problems are to be solved in a single response, one after the other as they stand above. You have "
        "{budget} tokens for all you write, at most; then you are cut off.\n"
        'Head each solution with "### Problem k" (k is the number of the problem) on a separate line, show your work, '
        "and close with \\boxed{{answer}}. What is behind you stays as it is. A solution counts one point if its "
        "answer is right and nothing otherwise, also if it is unfinished. You are free to pass over a problem that is "
        "not worth the tokens: put \\boxed{{NA}} under its header line and go on.\n\n"
        f"{RESPONSE_CUE}",
        header="Problem {k}:",
    ),
    Prompt(
        "TASK: solve three problems in one response, in the order given, without going back.\n"
        "LIMIT: at most {budget} tokens in total, everything included; beyond them the response is cut off.\n"
        'FORM, for problem k: the header line "### Problem k"; the work; the final answer as \\boxed{{answer}}.\n'
        "POINTS: 1 if the answer is correct; 0 if it is wrong, missing or cut off.\n"
        "SKIPPING: allowed where a problem is not worth its tokens; the header line, then \\boxed{{NA}}."
        f"\n\n{PROBLEMS}\n\n{RESPONSE_CUE}",
        header="## Problem {k}",
    ),
)
"""The direct prompt in other words and layouts, for the prompt noise."""

PROMPTS = {
    "direct": replace(_asking(DIRECT_INSTRUCTIONS), paraphrases=DIRECT_PARAPHRASES),
    "plan_and_solve": _asking(PLAN_AND_SOLVE_INSTRUCTIONS),
    "least_to_most": _asking(LEAST_TO_MOST_INSTRUCTIONS),
    "metacognitive": _asking(METACOGNITIVE_INSTRUCTIONS),
    "greedy_knapsack": _asking(GREEDY_KNAPSACK_INSTRUCTIONS, "knapsack"),
    "solo": _asking(SOLO_INSTRUCTIONS, "solo"),
}
"""Every prompt by name."""

BASELINES = ("plan_and_solve", "least_to_most", "metacognitive", "greedy_knapsack")
"""Prompts of the baselines (SPEC section 10), in the order of tables."""


def find_prompt(name: str, paraphrase: int = 0) -> Prompt:
    """Return the prompt called ``name``, or a paraphrase of it.

    Raises:
        UsageError: There is none.
    """
    if name not in PROMPTS:
        raise UsageError(f"unknown prompt {name!r}; {nearest(name, list(PROMPTS))}")
    try:
        return PROMPTS[name].worded(paraphrase)
    except UsageError as error:
        raise UsageError(f"prompt {name!r}: {error}") from None


def problem_header(position: int) -> str:
    """Return the canonical header line of the problem at ``position`` (1-based), without a line end."""
    return f"### Problem {position}"


def skipped_problem(position: int) -> str:
    """Return the text that skips the problem at ``position``, line end included; its tokens are the cost of a skip."""
    return f"{problem_header(position)}\n\\boxed{{NA}}\n"


def exam_prompt(
    questions: Sequence[str],
    budget: int,
    prompt: str = "direct",
    bounds: Sequence[int] = LEVEL_BOUNDS,
    *,
    paraphrase: int = 0,
) -> str:
    """Return the prompt of an exam: instructions, the questions by position, the cue.

    Args:
        questions: Canonical question texts by position; one question for the forms that ask problems alone.
        budget: Budget in generated tokens.
        prompt: Name of the prompt, a key of :data:`PROMPTS`.
        bounds: Upper token bounds of Level-0 to Level-2, for prompts that ask for levels.
        paraphrase: Number of a paraphrase, 0 for the prompt itself.
    """
    return PROMPTS[prompt].worded(paraphrase).render(questions, budget, bounds)


def prompt_sha256(prompt: str = "direct", paraphrase: int = 0) -> str:
    """Return the SHA-256 of the prompt's template (budget and questions left open): its version.

    A paraphrase has its own.
    """
    return PROMPTS[prompt].worded(paraphrase).sha256
