"""Rules on what a task of a submission says of itself: its name, exams, prompt, decoding. Nothing is graded here."""

from __future__ import annotations

from collections.abc import Sequence

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSION
from roi_bench.harness.settings import TaskSettings, deviations
from roi_bench.leaderboard.exam_hash import exams_sha256
from roi_bench.leaderboard.strict_json import shown
from roi_bench.leaderboard.submission import SubmittedTask
from roi_bench.leaderboard.submission_files import task_name
from roi_bench.records.sending import KEYS
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.prompts import PROMPTS, find_prompt, prompt_sha256, version_text


def check_task(task: SubmittedTask, where: str) -> None:
    """Check that a task is one of this package, under its right name, and asked its exams with its prompt.

    Args:
        task: What ``submission.json`` says.
        where: Its file in messages.

    Raises:
        RecordError: It is not.
        DataError: Its exams cannot be loaded.
    """
    for rule in (_wrong_kind, _wrong_exams, _wrong_labels, _wrong_tokenizer):  # each relies on those before it
        if (why := rule(task)) is not None:
            raise RecordError(f"{where}: {why}")


def check_paraphrases(tasks: Sequence[SubmittedTask], where: str) -> None:
    """Check that each task in other words stands beside the same task in the canonical ones.

    It is no result of its own: what it says, it says about that task.

    Args:
        tasks: All tasks of a submission.
        where: The submission in messages.

    Raises:
        RecordError: One does not.
    """
    canonical = {canonical_name(task): task for task in tasks if not task.paraphrase}
    for task in tasks:
        if not task.paraphrase:
            continue
        own = canonical.get(canonical_name(task))
        if own is None:
            raise RecordError(
                f"{where}: {task.name} is a paraphrase of {canonical_name(task)}, which is not in the submission; a "
                "paraphrase is only shown as the spread of the canonical prompt, so submit both"
            )
        for name in SAME_OF_PARAPHRASES:
            if getattr(task, name) != getattr(own, name):
                raise RecordError(
                    f"{where}: {task.name} has other {name} than {own.name}; a paraphrase differs from it in nothing "
                    "but the words of the prompt"
                )


SAME_OF_PARAPHRASES = (
    *("repeats", "decoding", "deviations", "tokenizer", "tokenizer_revision"),
    *("text_is_whole", "starts_in_reasoning", "think_tags", *KEYS),
)
"""What a task in other words has in common with the canonical one, besides what its name says."""


def canonical_name(task: SubmittedTask) -> str:
    """Return the name of the task that asked the same in the canonical words."""
    return task_name(task.exam_set, task.exam_seed, task.order, task.budget, task.prompt)


def expected_deviations(task: SubmittedTask) -> tuple[str, ...]:
    """Return the labels that the decoding of a task calls for."""
    settings = TaskSettings(task.exam_set, task.order, task.prompt, task.budget, task.exam_seed, task.repeats)
    named = {"budget": task.budget, "exam_seed": task.exam_seed}
    return deviations(named, settings, task.decoding, None)


def _wrong_kind(task: SubmittedTask) -> str | None:
    if task.prompt not in PROMPTS or PROMPTS[task.prompt].kind != task.form:
        return f"there is no prompt {shown(task.prompt)} of form {task.form}"
    if (task.order is not None) != KINDS[task.form].has_order:
        return f"order {task.order} does not go with form {task.form}"
    if (task.exam_seed is None) != (task.exam_set == "v1"):
        return f"seed {task.exam_seed} does not go with exam set {task.exam_set}"
    try:
        find_prompt(task.prompt, task.paraphrase)
    except UsageError as error:
        return str(error)
    expected = task_name(task.exam_set, task.exam_seed, task.order, task.budget, task.prompt, task.paraphrase)
    if task.name != expected:
        return f"what was run is submitted as {expected}, not as {task.name}"
    return None if task.file == f"{task.name}.jsonl.gz" else f"the file of {task.name} is called {task.name}.jsonl.gz"


def _wrong_exams(task: SubmittedTask) -> str | None:
    if task.exam_version != EXAM_VERSION:
        return f"exam version {task.exam_version}; this board has version {EXAM_VERSION}, and versions are never mixed"
    if task.prompt_sha256 != (expected := prompt_sha256(task.prompt, task.paraphrase)):
        words = f", paraphrase {task.paraphrase}," if task.paraphrase else ""
        return (
            f"prompt {task.prompt}{words} is {version_text(task.prompt_sha256)}; this board's is "
            f"{version_text(expected)}, and versions are never mixed"
        )
    if task.exams_sha256 != (expected := exams_sha256(task.exam_set, task.exam_seed)):
        return f"the exams of set {task.exam_set} are {task.exams_sha256[:12]}…; this board's are {expected[:12]}…"
    return None


def _wrong_labels(task: SubmittedTask) -> str | None:
    missing = [label for label in expected_deviations(task) if label not in task.deviations]
    return f"decoding has {shown(missing[0])}, and deviations do not say so" if missing else None


def _wrong_tokenizer(task: SubmittedTask) -> str | None:
    if (task.tokenizer is None) != (task.skip_token_lengths is None):
        return "skip_token_lengths and tokenizer come together"
    return None
