r"""All prompt texts: tasks, baselines, training and leaderboard take them from here.

A prompt never names the pool, the difficulty or the order (SPEC section 3). Each has a name, which is part of the
name of its tasks, and a version, the hash of its text. ``baselines/README.md`` says what each is for, and what of it
is the paper's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import Problem, sha256_text
from roi_bench.scoring.tokens import LEVEL_BOUNDS

Message = dict[str, str]
"""A message with ``role`` (``system`` or ``user``) and ``content``, as chat templates take it."""

RESPONSE_CUE = "Response:\n"
"""Last line of a prompt that is sent as bare text; the response starts right after it."""


def as_text(messages: Sequence[Message]) -> str:
    """Return messages as the bare text that is sent where no chat template is applied, with the cue as its last line.

    Without the cue a model that only continues text would continue the prompt, perhaps with a fourth problem.
    """
    return "\n\n".join([*(message["content"] for message in messages), RESPONSE_CUE])


def folded(messages: Sequence[Message]) -> list[Message]:
    """Return messages without a system turn: its text is the first paragraph of the next message."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


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
    "Before the first header line, write a short plan for the whole exam: how to solve each problem and how many "
    "tokens to give it. Then carry out the plan, problem by problem."
)
"""A short global plan first (SPEC section 10)."""

LEAST_TO_MOST_INSTRUCTIONS = (
    "First look at the whole exam and judge which problems are easier and which are harder. Then go through them one "
    "after the other: break each into its simplest parts, solve these in turn, and build the answer from them. If an "
    "early problem is hard, you may skip it at once and keep the tokens for the easier ones behind it."
)
"""Sequential, with leave to skip early hard problems after a look at the whole exam (SPEC section 10)."""

LEVEL_TAG = "<predicted_level>Level-k</predicted_level>"

_LEVELS = (
    f"{LEVEL_TAG}, where Level-0 means at most {{level_0}} tokens, Level-1 at most {{level_1}}, Level-2 at most "
    "{level_2}, and Level-3 not worth attempting. After Level-3"
)

METACOGNITIVE_INSTRUCTIONS = (
    f"Directly after each header line, before any work, predict what the problem will cost: write {_LEVELS} "
    "write \\boxed{{NA}} at once and go on with the next problem."
)
"""The level tag before each problem, Level-3 → NA: the format that MFT trains (SPEC section 10)."""

SOLO_INSTRUCTIONS = (
    "Solve this problem in a response of at most {budget} tokens, and end with the final answer as \\boxed{{answer}}."
)
"""One problem alone, with no leave to skip it: what can the model do, and at what cost (SPEC section 11)."""

GREEDY_KNAPSACK_INSTRUCTIONS = (
    SOLO_INSTRUCTIONS + "\n"
    f"First, before any work, predict what the problem will cost: write {_LEVELS} "
    "give NA as the final answer at once and stop.\n"
    "A correct answer is worth one point; a wrong, missing or cut-off answer is worth nothing."
)
"""One problem alone in the metacognitive format (SPEC section 10)."""

PROBLEMS = "{problems}"
"""Where the questions stand in the user's message."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its paraphrases.

    Attributes:
        user: The user's message as a format text: ``{problems}`` stands for the questions, ``{budget}`` and
            ``{level_0}`` to ``{level_2}`` for numbers of tokens.
        system: The system turn as a format text of the same numbers; empty: none.
        kind: Name of its kind of asking (:data:`roi_bench.scoring.kinds.KINDS`).
        header: Line above each question; ``{k}`` is its 1-based position.
        paraphrases: The same content in other words and layout, to measure how much a score depends on the words
            (prompt noise, SPEC section 9); paraphrase 1 is the first.
    """

    user: str
    system: str = ""
    kind: str = "exam"
    header: str = "Problem {k}."
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
        """The numbers of its paraphrases, for messages."""
        count = len(self.paraphrases)
        return f"1 to {count}, or 0 for the prompt itself" if count else "0, as this prompt has no paraphrases"

    @property
    def template(self) -> str:
        """System turn and user's message as one text, numbers and questions left open."""
        return f"{self.system}\n\n{self.user}" if self.system else self.user

    def render(self, questions: Sequence[str], budget: int, bounds: Sequence[int] = LEVEL_BOUNDS) -> list[Message]:
        """Return the messages that ask ``questions`` (by position) under ``budget`` generated tokens.

        Args:
            questions: Canonical question texts by position.
            budget: Budget in generated tokens.
            bounds: Upper token bounds of Level-0 to Level-2.
        """
        numbers = {"budget": budget, **{f"level_{level}": bound for level, bound in enumerate(bounds)}}
        before, after = (part.format(**numbers) for part in self.user.split(PROBLEMS))
        blocks = [f"{self.header.format(k=k)}\n{question}" for k, question in enumerate(questions, start=1)]
        system = [{"role": "system", "content": self.system.format(**numbers)}] if self.system else []
        return [*system, {"role": "user", "content": before + "\n\n".join(blocks) + after}]

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompt, budget and questions left open: its version."""
        return sha256_text("\x1f".join((self.system, self.user, self.header, RESPONSE_CUE)))


_WORK = ("your work", "\\boxed{{answer}}")


def _skeleton(*lines: str, before: str = "") -> str:
    """Return the skeleton of a response: ``before``, then each header with ``lines`` under it."""
    sections = [before, *("\n".join([problem_header(k), *lines]) for k in (1, 2, 3))]
    return "Write the response in this form:\n\n" + "\n\n".join(section for section in sections if section)


def _asking(more: str = "", skeleton: str = "") -> Prompt:
    """Return the direct prompt, with a paragraph more or another skeleton."""
    parts = (DIRECT_INSTRUCTIONS, more, skeleton or _skeleton(*_WORK))
    return Prompt(PROBLEMS, "\n".join(part for part in parts if part))


def _asking_alone(instructions: str, kind: str) -> Prompt:
    return Prompt(f"{PROBLEMS}\n\n{instructions}", kind=kind, header="Problem:")


def problem_header(position: int) -> str:
    """Return the canonical header line of the problem at ``position`` (1-based), without a line end."""
    return f"### Problem {position}"


DIRECT_PARAPHRASES = (
    Prompt(
        PROBLEMS,
        "You will be given three problems.\n"
        "- Write one response that answers all of them. It may take at most {budget} tokens; whatever you write is "
        "counted, and at the limit the response stops.\n"
        "- Go through the problems as they are numbered and never return to one that you have left.\n"
        '- Begin each problem with a line of its own, "### Problem k", k being its number; let your work follow, and '
        "end with the answer in a box: \\boxed{{answer}}.\n"
        "- You get one point for every right answer and none for an answer that is wrong, missing or cut off.\n"
        '- Where a problem would cost more tokens than it is worth, leave it out: "### Problem k" and \\boxed{{NA}}.\n'
        "\n"
        "So the response has three parts like this one:\n\n"
        "### Problem 1\n(the work)\n\\boxed{{answer}}",
        header="## Problem {k}",
    ),
    Prompt(
        f"{PROBLEMS}\n\n"
        "These three problems are to be solved in a single response, one after the other as they stand above. You have "
        "{budget} tokens for all you write, at most; then you are cut off. "
        'Head each solution with "### Problem k" (k is the number of the problem) on a separate line, show your work, '
        "and close with \\boxed{{answer}}. What is behind you stays as it is. A solution counts one point if its "
        "answer is right and nothing otherwise, also if it is unfinished. You are free to pass over a problem that is "
        "not worth the tokens: put \\boxed{{NA}} under its header line and go on. In outline:\n"
        "### Problem 1 … \\boxed{{answer}}\n### Problem 2 … \\boxed{{answer}}\n### Problem 3 … \\boxed{{answer}}",
        header="Problem {k}:",
    ),
    Prompt(
        PROBLEMS,
        "TASK: solve three problems in one response, in the order given, without going back.\n"
        "LIMIT: at most {budget} tokens in total, everything included; beyond them the response is cut off.\n"
        "POINTS: 1 if the answer is correct; 0 if it is wrong, missing or cut off.\n"
        "SKIPPING: allowed where a problem is not worth its tokens; the header line, then \\boxed{{NA}}.\n"
        'FORM, for problem k: the header line "### Problem k"; the work; the final answer as \\boxed{{answer}}. For '
        "example:\n\n"
        "### Problem 1\n[work]\n\\boxed{{answer}}\n\n### Problem 2\n[work]\n\\boxed{{answer}}\n\n"
        "### Problem 3\n[work]\n\\boxed{{answer}}",
        header="({k})",
    ),
)
"""The direct prompt in other words and layouts, for the prompt noise."""

PROMPTS = {
    "direct": replace(_asking(), paraphrases=DIRECT_PARAPHRASES),
    "plan_and_solve": _asking(PLAN_AND_SOLVE_INSTRUCTIONS, _skeleton(*_WORK, before="your plan")),
    "least_to_most": _asking(LEAST_TO_MOST_INSTRUCTIONS),
    "metacognitive": _asking(METACOGNITIVE_INSTRUCTIONS, _skeleton(LEVEL_TAG, *_WORK)),
    "greedy_knapsack": _asking_alone(GREEDY_KNAPSACK_INSTRUCTIONS, "knapsack"),
    "solo": _asking_alone(SOLO_INSTRUCTIONS, "solo"),
}
"""Every prompt by name."""

PROMPT_VERSION = 2
"""Version of the prompts above."""

_FIRST_VERSION = {
    ("direct", 0): "ef9661eee9ef02c2fdf0aba2f43bb25fa551f6aa46aa36f5c8ff4125a2fd3d80",
    ("plan_and_solve", 0): "f21cb83c8fdef6903a2805dd9210732a057cb057a85817bda630797b089df05d",
    ("least_to_most", 0): "1155b65b35e65edc7dfdcccc1fe4873487735059fd754003a9af8c2982eb8a77",
    ("metacognitive", 0): "ffa209a00ce35eff571dec9c150b879a914c47d7f24f6bbdef04384709bedaef",
    ("greedy_knapsack", 0): "7b55e60d46282757c307253d46e79baaec4a341da7a24ba79d364faa5b0b5856",
    ("solo", 0): "a55fb8731e5b93617b870669d85aed95477afdd083a588d318564b27b070c362",
    ("direct", 1): "56ed14ee3ca4e07014e7c567a3720c2ea4f3ae82e488eaa6af4b0d8310546e1a",
    ("direct", 2): "73ebd895a181abecbb8b5888b1140243c0e6e6fb745cd87faf64f174ed6ccaa0",
    ("direct", 3): "658b11d5e2013ac7c88cb2b855286270c143a303ba3ed895ccc9a090304ac9fc",
}
"""SHA-256 of the prompts of version 1, by name and number of the paraphrase."""

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


def skipped_problem(position: int) -> str:
    """Return the text that skips the problem at ``position``, line end included; its tokens are the cost of a skip."""
    return f"{problem_header(position)}\n\\boxed{{NA}}\n"


def worked_response(problems: Sequence[Problem], skip: Collection[int] = ()) -> str:
    r"""Return the response that works the problems in the given order, or skips those at the positions in ``skip``.

    Args:
        problems: Problems by position; each needs its ``solution``.
        skip: Positions (1-based) answered with ``\boxed{NA}``.
    """
    parts = []
    for position, problem in enumerate(problems, start=1):
        work = "\\boxed{NA}" if position in skip else problem.solution
        parts.append(f"{problem_header(position)}\n{work}")
    return "\n".join(parts)


def exam_messages(
    questions: Sequence[str],
    budget: int,
    prompt: str = "direct",
    bounds: Sequence[int] = LEVEL_BOUNDS,
    *,
    paraphrase: int = 0,
) -> list[Message]:
    """Return the messages that ask an exam, for a chat template: instructions and the questions by position.

    Args:
        questions: Canonical question texts by position; one question for the kinds that ask problems alone.
        budget: Budget in generated tokens.
        prompt: Name of the prompt, a key of :data:`PROMPTS`.
        bounds: Upper token bounds of Level-0 to Level-2, for prompts that ask for levels.
        paraphrase: Number of a paraphrase, 0 for the prompt itself.
    """
    return PROMPTS[prompt].worded(paraphrase).render(questions, budget, bounds)


def exam_prompt(
    questions: Sequence[str],
    budget: int,
    prompt: str = "direct",
    bounds: Sequence[int] = LEVEL_BOUNDS,
    *,
    paraphrase: int = 0,
) -> str:
    """Return the bare text that asks an exam where no chat template is applied; arguments of :func:`exam_messages`."""
    return as_text(exam_messages(questions, budget, prompt, bounds, paraphrase=paraphrase))


def prompt_sha256(prompt: str = "direct", paraphrase: int = 0) -> str:
    """Return the SHA-256 of the prompt (budget and questions left open): its version.

    A paraphrase has its own.
    """
    return PROMPTS[prompt].worded(paraphrase).sha256


def prompt_version(sha256: str, prompt: str, paraphrase: int = 0) -> int | None:
    """Return the version of a prompt, or a paraphrase of it, that has this hash; None where none had."""
    if _FIRST_VERSION.get((prompt, paraphrase)) == sha256:
        return 1
    worded = (PROMPTS[prompt], *PROMPTS[prompt].paraphrases) if prompt in PROMPTS else ()
    return PROMPT_VERSION if sha256 in [item.sha256 for item in worded[paraphrase : paraphrase + 1]] else None


def version_text(sha256: str) -> str:
    """Return the short hash of a prompt and, where it is known, its version, for messages."""
    worded = [item for prompt in PROMPTS.values() for item in (prompt, *prompt.paraphrases)]
    if sha256 in _FIRST_VERSION.values():
        return f"{sha256[:12]}… (version 1)"
    return f"{sha256[:12]}…" + (f" (version {PROMPT_VERSION})" if sha256 in {item.sha256 for item in worded} else "")
