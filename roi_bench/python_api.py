"""The functions behind ``import roi_bench`` that bring several rooms together; docs/python.md shows them at work.

They take what a notebook has (an exam, a text, a folder) and return the same values that the commands print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roi_bench.errors import UsageError
from roi_bench.exams.exam import Exam
from roi_bench.scoring.kinds import KINDS, parse_exam_response, score_responses
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import Response, TextFacts, level_bounds
from roi_bench.scoring.prompts import exam_messages, find_prompt
from roi_bench.scoring.tokens import TokenCounter, Usage

if TYPE_CHECKING:
    import pandas as pd

    from roi_bench.analysis.load import Runs
    from roi_bench.analysis.profile import Profile
    from roi_bench.analysis.reports.report import Report
    from roi_bench.analysis.runs import ScoredRun
    from roi_bench.grading.grader import Verdict

COMPARED = ("score", "score_easy", "regret")
"""Metrics that :func:`compare` compares."""


def exam_prompt(
    exam: Exam, *, order: str = "hard", budget: int, prompt: str = "direct", paraphrase: int = 0, messages: bool = False
) -> Any:
    """Return the prompt that a task sends for an exam: bare text, or chat messages for a chat template.

    Args:
        exam: The exam.
        order: ``easy``, ``medium`` or ``hard``.
        budget: Budget in generated tokens.
        prompt: Name of the prompt, a key of :data:`roi_bench.scoring.prompts.PROMPTS`.
        paraphrase: Number of a paraphrase, 0 for the prompt itself.
        messages: Return a list of ``{"role": …, "content": …}`` and not a text.

    Raises:
        UsageError: An unknown order, prompt or paraphrase, or a prompt that asks problems alone.
    """
    from roi_bench.scoring.prompts import as_text

    if not KINDS[find_prompt(prompt, paraphrase).kind].together:
        raise UsageError(f"prompt {prompt!r} asks single problems, not exams")
    questions = [problem.question for problem in exam.ordered(order)]
    bounds = level_bounds(exam.problems[0].pool)
    found = exam_messages(questions, budget, prompt, bounds, paraphrase=paraphrase)
    return found if messages else as_text(found)


def score(
    exam: Exam,
    text: str | None,
    *,
    order: str = "hard",
    budget: int,
    tokenizer: Any = None,
    usage: Usage | None = None,
    starts_in_reasoning: bool = False,
) -> ScoredResponse:
    """Score one response to an exam, as a run would.

    Args:
        exam: The exam.
        text: The response; None if there is none.
        order: The order in which the exam was asked.
        budget: Its budget in generated tokens.
        tokenizer: Counts the tokens: a name or folder, a transformers tokenizer, or a
            :class:`~roi_bench.scoring.tokens.TokenCounter`. None: tokens stay unknown, and an answer that the budget
            cut off cannot be distinguished from one that was never given.
        usage: Tokens and finish reason as the engine or API reported them, where known.
        starts_in_reasoning: The prompt ended inside an open block of reasoning.

    Returns:
        The response with ``score`` (0–3) and, for each problem by position, ``outcome``, ``answer``, ``span`` of the
        answer in the text, and ``tokens``.

    Raises:
        UsageError: An unknown order.
        ModelError: The tokenizer cannot be loaded.
    """
    from roi_bench.grading.grader import shared_grader

    facts = TextFacts(True, starts_in_reasoning, ())
    parsed = parse_exam_response(exam, order, budget, Response(text, usage), _counter(tokenizer), texts=facts)
    (scored,) = score_responses([parsed], shared_grader())
    return scored


def grade(gold: str | Sequence[str], answer: str, *, pool: str = "math", question: str | None = None) -> Verdict:
    """Grade a final answer.

    Args:
        gold: The accepted answer, or several.
        answer: The answer as the model wrote it.
        pool: ``math`` compares expressions; every other pool (``gsm8k``, ``aime``, …) compares numbers.
        question: The problem's text; it shows, for example, whether percent is asked for.

    Returns:
        Whether it is correct, and how that was decided.

    Raises:
        DependencyError: A symbolic check is needed and math-verify is not installed.
    """
    from roi_bench.grading.grader import shared_grader

    accepted = (gold,) if isinstance(gold, str) else tuple(gold)
    return shared_grader().grade(pool, answer, accepted, question or "")


def load_runs(
    *paths: str | PathLike[str],
    tokenizer: str | None = None,
    trust_remote_code: bool = False,
    workers: int | None = None,
) -> Runs:
    """Load results files or folders and rescore every response in them.

    Args:
        paths: ``results_*.json`` files, or folders that hold some.
        tokenizer: Tokenizer to count with in place of the recorded one.
        trust_remote_code: Allow a tokenizer that brings its own code.
        workers: Processes for symbolic checks; by default one per core.

    Returns:
        The exam tasks as a sequence of runs; ``profiles`` holds the profiles of solo tasks among them.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    from roi_bench.analysis import load

    options = load.ScoringOptions(tokenizer, trust_remote_code, workers)
    return load.load_runs([Path(path) for path in paths], options)


def report(runs: Runs | Iterable[ScoredRun], profiles: Iterable[Profile] = (), *, target: str = "general") -> Report:
    """Report on runs: every table that ``roi-bench report`` has.

    Args:
        runs: What :func:`load_runs` returned, or some of its runs.
        profiles: Solo profiles besides those that came with the runs.
        target: What intervals generalise to: problems of this kind (``general``), or these exams alone (``fixed``).

    Raises:
        UsageError: There are only runs with paraphrased prompts.
    """
    from roi_bench.analysis.reports.report import make_report

    return make_report(list(runs), [*profiles, *getattr(runs, "profiles", ())], target=target)


def compare(a: ScoredRun, b: ScoredRun, *, target: str = "general") -> pd.DataFrame:
    """Compare two runs on the exams that both have, exam by exam.

    Args:
        a: One run.
        b: The other.
        target: What the interval and the p-value are about, as for :func:`report`.

    Returns:
        A row each for score, score_easy and regret: both values, the difference A − B with its 95 % interval, the
        p-value of a permutation test, and the number of exams.

    Raises:
        UsageError: The runs have no exam in common.
    """
    import pandas as pd

    from roi_bench.analysis.paired import compare_paired

    rows = {}
    for metric in COMPARED:
        found = compare_paired(a.terms(metric), b.terms(metric), target=target)
        low, high = found.interval or (None, None)
        rows[metric] = {
            "a": found.value_a,
            "b": found.value_b,
            "difference": found.difference,
            "low": low,
            "high": high,
            "p": found.p_value,
            "exams": found.exams,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def solo_profile(*paths: str | PathLike[str], task: str | None = None, tokenizer: str | None = None) -> Profile:
    """Return the profile that a solo task in results files or folders makes, or a profile that was written to a file.

    Args:
        paths: Results with one solo task, or one file of ``roi-bench profile``.
        task: Name of the solo task, where there are several.
        tokenizer: Tokenizer to count with in place of the recorded one.

    Raises:
        UsageError: There is no solo task, or there are several and none is named.
        RecordError: A file is damaged.
    """
    from roi_bench.analysis import load

    found = [Path(path) for path in paths]
    if len(found) == 1 and found[0].is_file() and not found[0].name.startswith("results_"):
        return load.load_profile(found[0])
    chosen = load.choose_solo_task(load.read_all(found), task)
    return load.profile_of(chosen, load.ScoringOptions(tokenizer))


def _counter(tokenizer: Any) -> TokenCounter | None:
    """Return a token counter from any of the allowed values."""
    if tokenizer is None or hasattr(tokenizer, "token_starts"):
        return tokenizer  # type: ignore[no-any-return]
    from roi_bench.records.tokenizer import HFTokenCounter, load_token_counter

    return load_token_counter(str(tokenizer)) if isinstance(tokenizer, str | PathLike) else HFTokenCounter(tokenizer)
