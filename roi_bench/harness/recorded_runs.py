"""Recorded runs, read and scored again from their raw responses, for reports and boards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roi_bench.analysis.profile import UNCOUNTED_SKIP_COST, Profile, make_profile, parse_profile
from roi_bench.analysis.runs import ScoredRun, in_order, run_names
from roi_bench.errors import RecordError, UsageError
from roi_bench.exam_sets import load_exams
from roi_bench.exams import Exam
from roi_bench.grading import Grader
from roi_bench.harness.tokenizer import recorded_token_counter
from roi_bench.prompts import skipped_problem
from roi_bench.regrade import score_recorded, score_recorded_solo
from roi_bench.results_files import RecordedTask, find_results, read_results
from roi_bench.tokens import TokenCounter

Show = Callable[[Iterable[RecordedTask]], Iterable[RecordedTask]]
"""Goes through tasks and shows progress."""


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

    def counter(self, task: RecordedTask) -> TokenCounter | None:
        """Return the token counter for ``task``, None where no tokenizer is known.

        Raises:
            ModelError: The tokenizer cannot be loaded.
        """
        return recorded_token_counter(task.record, self.tokenizer, self.trust_remote_code)


AS_RECORDED = Means()
"""The recorded tokenizer, every core."""


def read_all(paths: Sequence[Path]) -> list[RecordedTask]:
    """Return every task of ours in results files and folders, each file once.

    Raises:
        UsageError: A folder holds no results.
        RecordError: A file is damaged.
    """
    files = list(dict.fromkeys(found.resolve() for path in paths for found in find_results(path)))
    return [task for file in files for task in read_results(file)]


def exams_of(task: RecordedTask) -> dict[str, Exam]:
    """Return the exams of the set of ``task`` by id.

    Raises:
        DataError: A problem is missing or altered.
    """
    return {exam.id: exam for exam in load_exams(task.record.exam_set, seed=task.record.exam_seed or 0)}


def score_runs(paths: Sequence[Path], means: Means = AS_RECORDED, *, show: Show = iter) -> list[ScoredRun]:
    """Return the exam tasks of ``paths``, scored from raw responses; solo tasks among them are left out.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    tasks = in_order([task for task in read_all(paths) if task.record.form != "solo"])
    if not tasks:
        raise UsageError(f"{paths[0]}: holds no exam task, only problems asked alone; see roi-bench profile")
    runs = []
    with Grader(workers=means.workers) as grader:
        for task, name in zip(show(tasks), run_names(tasks), strict=True):
            exams = exams_of(task)
            scored = score_recorded(task, exams, grader, means.counter(task))
            runs.append(ScoredRun(name, task, exams, scored))
    return runs


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
        skip_cost = UNCOUNTED_SKIP_COST if counter is None else len(counter.token_starts(skipped_problem(1)))
    with Grader(workers=means.workers) as grader:
        return make_profile(task, score_recorded_solo(task, exams, grader, counter), skip_cost)


def load_profile(path: Path) -> Profile:
    """Return the profile in the file ``path``.

    Raises:
        RecordError: It cannot be read, or is damaged.
    """
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
        raise UsageError("holds no solo task; run one first, for example --tasks roi_solo_512")
    if not named:
        raise UsageError(f"no solo task {name!r} there; there are: {known}")
    raise UsageError(f"several solo tasks there: {known}; name one with --task, or one results file")
