"""Recorded runs, read and scored again from their raw responses, for reports and boards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.analysis.profile import UNCOUNTED_SKIP_COST, Profile, make_profile, parse_profile
from roi_bench.analysis.runs import ScoredRun, in_order, run_names
from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.exams.exam import Exam
from roi_bench.exams.sets import load_exams
from roi_bench.grading.grader import Grader
from roi_bench.harness.tokenizer import HFTokenCounter, recorded_token_counter
from roi_bench.records.regrade import check_rule, score_recorded, score_recorded_solo
from roi_bench.records.results import RecordedTask, find_results, read_results
from roi_bench.scoring.prompts import skipped_problem
from roi_bench.scoring.tokens import TokenCounter

Show = Callable[[Iterable[RecordedTask]], Iterable[RecordedTask]]
"""Goes through tasks and shows progress."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How recorded responses are counted and graded.

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


AS_RECORDED = ScoringOptions()
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


@dataclass(frozen=True, slots=True)
class Runs(Sequence[ScoredRun]):
    """The exam tasks of some results, scored from raw responses: a sequence of runs, each file read once.

    Attributes:
        scored: The runs.
        profiles: The solo profiles that solo tasks among the results make.
    """

    scored: tuple[ScoredRun, ...]
    profiles: tuple[Profile, ...]

    def __len__(self) -> int:
        return len(self.scored)

    def __getitem__(self, index: Any) -> Any:
        return self.scored[index]


def load_runs(
    paths: Sequence[Path],
    options: ScoringOptions = AS_RECORDED,
    *,
    show: Show = iter,
    tell: Callable[[str], None] = silent,
) -> Runs:
    """Return the exam tasks of ``paths``, scored, and the profiles that their solo tasks make.

    A solo task that makes no profile is told and left out.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    tasks = read_all(paths)
    profiles = []
    for task in tasks:
        if not task.record.kind.has_order:
            try:
                profiles.append(profile_of(task, options))
            except RoiBenchError as error:
                tell(f"{task.name} makes no profile and is left out: {error}")
    return Runs(tuple(_score_exam_tasks(tasks, paths, options, show, tell)), tuple(profiles))


def score_runs(
    paths: Sequence[Path],
    options: ScoringOptions = AS_RECORDED,
    *,
    show: Show = iter,
    tell: Callable[[str], None] = silent,
) -> list[ScoredRun]:
    """Return the exam tasks of ``paths``, scored from raw responses; solo tasks among them are left out.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    return _score_exam_tasks(read_all(paths), paths, options, show, tell)


def _score_exam_tasks(
    tasks: Sequence[RecordedTask],
    paths: Sequence[Path],
    options: ScoringOptions,
    show: Show,
    tell: Callable[[str], None],
) -> list[ScoredRun]:
    asked = in_order([task for task in tasks if task.record.kind.has_order])
    if not asked:
        where = ", ".join(str(path) for path in paths)
        raise UsageError(f"{where}: holds no exam task, only problems asked alone; see roi-bench profile")
    _check_tokenizers(asked, options)
    return score_tasks(asked, run_names(asked), options, show=show, tell=tell)


def score_tasks(
    tasks: Sequence[RecordedTask],
    names: Sequence[str],
    options: ScoringOptions = AS_RECORDED,
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
    with Grader(workers=options.workers) as grader:
        for task, name in zip(show(tasks), names, strict=True):
            exams = exams_of(task)
            scored = score_recorded(task, exams, grader, options.counter(task))
            runs.append(ScoredRun(name, task, exams, scored))
            if options.name_for(task) is None and _is_uncounted(task):
                follows = f"{task.record.kind.if_uncounted}; name the model's tokenizer (--tokenizer …)"
                tell(f"{name}, {runs[-1].cell.title}: tokens are unknown, so {follows}")
    return runs


def _is_uncounted(task: RecordedTask) -> bool:
    return any(
        response.usage is None and response.text is not None
        for document in task.documents
        for request in document.requests
        for response in request
    )


def _check_tokenizers(tasks: Sequence[RecordedTask], options: ScoringOptions) -> None:
    """Refuse one tokenizer in place of several.

    Raises:
        UsageError: The tasks recorded different ones.
    """
    recorded = sorted({task.record.tokenizer for task in tasks if task.record.tokenizer})
    if options.tokenizer is not None and len(recorded) > 1:
        raise UsageError(
            f"--tokenizer {options.tokenizer} would count for all runs, and they recorded different tokenizers "
            f"({', '.join(recorded)}); report them apart"
        )


def profile_of(task: RecordedTask, options: ScoringOptions = AS_RECORDED, *, skip_cost: int | None = None) -> Profile:
    """Return the solo profile that a recorded solo task makes.

    Args:
        task: The task.
        options: What to count and grade with.
        skip_cost: Tokens of a skip; by default what the tokenizer makes of it.

    Raises:
        RecordError: Responses are missing, or their tokens unknown.
        UsageError: The task is no solo task.
    """
    exams, counter = exams_of(task), options.counter(task)
    if skip_cost is None:
        skip_cost = skip_cost_of(counter)
    with Grader(workers=options.workers) as grader:
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
    solo = [task for task in tasks if not task.record.kind.has_order]
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
