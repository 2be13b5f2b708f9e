"""Recorded runs, read and scored again from their raw responses, for reports and boards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roi_bench.analysis.profile import UNCOUNTED_SKIP_COST, Profile, make_profile, parse_profile
from roi_bench.analysis.runs import ScoredRun, in_order, run_names
from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.exam_sets import load_exams
from roi_bench.exams import Exam
from roi_bench.grading import Grader
from roi_bench.harness.tokenizer import HFTokenCounter, recorded_token_counter
from roi_bench.prompts import skipped_problem
from roi_bench.regrade import check_rule, score_recorded, score_recorded_solo
from roi_bench.results_files import RecordedTask, find_results, read_results
from roi_bench.tokens import TokenCounter

Show = Callable[[Iterable[RecordedTask]], Iterable[RecordedTask]]
"""Goes through tasks and shows progress."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Means:
    """What recorded responses are counted and graded with.

    Attributes:
        tokenizer: Tokenizer to count with in place of the recorded one.
        trust_remote_code: Allow a tokenizer that brings its own code.
        workers: Processes for symbolic checks; by default one per core.
    """

    tokenizer: str | None = None
    trust_remote_code: bool = False
    workers: int | None = None

    def counter(self, task: RecordedTask) -> HFTokenCounter | None:
        """Return the token counter for ``task``, None where no tokenizer is known.

        Raises:
            ModelError: The tokenizer cannot be loaded.
        """
        try:
            return recorded_token_counter(task.record, self.tokenizer, self.trust_remote_code)
        except ModelError as error:
            if self.tokenizer is not None:
                raise
            raise ModelError(f"{task.results_path}: {error} (or name one with --tokenizer)") from error

    def name_for(self, task: RecordedTask) -> str | None:
        """Return the name of the tokenizer for ``task``, None where none is known."""
        return self.tokenizer or task.record.tokenizer


AS_RECORDED = Means()
"""The recorded tokenizer, every core."""


def read_all(paths: Sequence[Path]) -> list[RecordedTask]:
    """Return every task of ours in results files and folders, each file once.

    Raises:
        UsageError: A folder holds no results.
        RecordError: A file is damaged, or a task is of another reading rule.
    """
    files = list(dict.fromkeys(found.resolve() for path in paths for found in find_results(path)))
    tasks = [task for file in files for task in read_results(file)]
    for task in tasks:
        check_rule(task)
    return tasks


def exams_of(task: RecordedTask) -> dict[str, Exam]:
    """Return the exams of the set of ``task`` by id.

    Raises:
        DataError: A problem is missing or altered.
    """
    return {exam.id: exam for exam in load_exams(task.record.exam_set, seed=task.record.exam_seed or 0)}


def score_runs(
    paths: Sequence[Path], means: Means = AS_RECORDED, *, show: Show = iter, tell: Callable[[str], None] = silent
) -> list[ScoredRun]:
    """Return the exam tasks of ``paths``, scored from raw responses; solo tasks among them are left out.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    tasks = in_order([task for task in read_all(paths) if task.record.form != "solo"])
    if not tasks:
        where = ", ".join(str(path) for path in paths)
        raise UsageError(f"{where}: holds no exam task, only problems asked alone; see roi-bench profile")
    _check_tokenizers(tasks, means)
    return score_tasks(tasks, run_names(tasks), means, show=show, tell=tell)


def score_tasks(
    tasks: Sequence[RecordedTask],
    names: Sequence[str],
    means: Means = AS_RECORDED,
    *,
    show: Show = iter,
    tell: Callable[[str], None] = silent,
) -> list[ScoredRun]:
    """Return exam tasks, each called by its name, scored from raw responses.

    Raises:
        DataError: A problem is missing or altered.
        ModelError: A tokenizer cannot be loaded.
        RecordError: An exam is unknown, or the prompt was another one.
    """
    runs = []
    with Grader(workers=means.workers) as grader:
        for task, name in zip(show(tasks), names, strict=True):
            exams = exams_of(task)
            scored = score_recorded(task, exams, grader, means.counter(task))
            runs.append(ScoredRun(name, task, exams, scored))
            if means.name_for(task) is None and _is_uncounted(task):
                tell(f"{name}, {runs[-1].cell.title}: tokens are unknown, so {UNCOUNTED[task.record.form]}")
    return runs


UNCOUNTED = {
    "exam": "answers that the budget cut off count as unanswered; name the model's tokenizer (--tokenizer …)",
    "knapsack": "nobody can pay for its answers and every exam is an error; name the model's tokenizer (--tokenizer …)",
}
"""What follows for a run whose tokens are unknown, by its form."""


def _is_uncounted(task: RecordedTask) -> bool:
    return any(
        response.usage is None and response.text is not None
        for document in task.documents
        for request in document.requests
        for response in request
    )


def _check_tokenizers(tasks: Sequence[RecordedTask], means: Means) -> None:
    """Refuse one tokenizer in place of several.

    Raises:
        UsageError: The tasks recorded different ones.
    """
    recorded = sorted({task.record.tokenizer for task in tasks if task.record.tokenizer})
    if means.tokenizer is not None and len(recorded) > 1:
        raise UsageError(
            f"--tokenizer {means.tokenizer} would count for all runs, and they recorded different tokenizers "
            f"({', '.join(recorded)}); report them apart"
        )


def solo_profiles(paths: Sequence[Path], means: Means, tell: Callable[[str], None]) -> list[Profile]:
    """Return the profiles that the solo tasks of ``paths`` make; one that makes none is told and left out.

    Raises:
        RecordError: A results file is damaged.
    """
    found = []
    for task in read_all(paths):
        if task.record.form == "solo":
            try:
                found.append(profile_of(task, means))
            except RoiBenchError as error:
                tell(f"{task.name} makes no profile and is left out: {error}")
    return found


def profile_of(task: RecordedTask, means: Means = AS_RECORDED, *, skip_cost: int | None = None) -> Profile:
    """Return the solo profile that a recorded solo task makes.

    Args:
        task: The task.
        means: What to count and grade with.
        skip_cost: Tokens of a skip; by default what the tokenizer makes of it.

    Raises:
        RecordError: Responses are missing, or their tokens unknown.
        UsageError: The task is no solo task.
    """
    exams, counter = exams_of(task), means.counter(task)
    if skip_cost is None:
        skip_cost = skip_cost_of(counter)
    with Grader(workers=means.workers) as grader:
        return make_profile(task, score_recorded_solo(task, exams, grader, counter), skip_cost)


def skip_cost_of(counter: TokenCounter | None) -> int:
    """Return what writing a skip costs in tokens: a header line and a box with NA."""
    return UNCOUNTED_SKIP_COST if counter is None else len(counter.token_starts(skipped_problem(1)))


def load_profile(path: Path) -> Profile:
    """Return the profile in the file ``path``.

    Raises:
        RecordError: It cannot be read, or is damaged.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; make a profile of the solo task in it with roi-bench profile {path}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read profile {path}: {error.strerror or error}") from error
    return parse_profile(content, str(path))


def choose_solo_task(tasks: Sequence[RecordedTask], name: str | None = None) -> RecordedTask:
    """Return the solo task among ``tasks``, the one called ``name`` if several.

    Raises:
        UsageError: There is none, or several and no name.
    """
    solo = [task for task in tasks if task.record.form == "solo"]
    named = [task for task in solo if name in (None, task.name)]
    if len(named) == 1:
        return named[0]
    known = ", ".join(f"{task.name} ({task.results_path.name})" for task in solo)
    if not solo:
        where = ", ".join(sorted({str(task.results_path) for task in tasks}))
        raise UsageError(f"{where}: holds no solo task; run one first, for example --tasks roi_solo_512")
    if not named:
        raise UsageError(f"no solo task {name!r} there; there are: {known}")
    raise UsageError(f"several solo tasks there: {known}; name one with --task, or one results file")
