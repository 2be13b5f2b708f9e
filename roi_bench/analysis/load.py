"""Loading recorded runs and rescoring them: for reports and boards, for solo profiles, and for comparing engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.analysis.engines.agreement import (
    Encoder,
    Engine,
    EngineRun,
    SentPrompts,
    check_comparable,
    engine_names,
    engine_of,
)
from roi_bench.analysis.profile import UNCOUNTED_SKIP_COST, Profile, make_profile, parse_profile
from roi_bench.analysis.runs import ScoredRun, in_order, run_names
from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.exams.exam import Exam
from roi_bench.exams.sets import load_exams
from roi_bench.grading.grader import Grader
from roi_bench.records.journal import canonical_json, parse_object
from roi_bench.records.regrade import check_rule, score_recorded, score_recorded_solo
from roi_bench.records.results import RecordedTask, find_results, one_run_each, read_results
from roi_bench.records.tokenizer import HFTokenCounter, recorded_token_counter
from roi_bench.scoring.prompts import skipped_problem
from roi_bench.scoring.tokens import TokenCounter

# Recorded runs, rescored from their raw responses, for reports and boards.

Show = Callable[[Iterable[RecordedTask]], Iterable[RecordedTask]]
"""Goes through tasks and shows progress."""


def silent(_: str) -> None:
    """Ignore the line: the default of ``notify``."""


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


def read_all(paths: Sequence[Path], notify: Callable[[str], None] = silent) -> list[RecordedTask]:
    """Return every task of this benchmark in results files and folders, each file once and each run once.

    Of a task that was started several times the most complete counts; ``notify`` gets a line on the others.

    Raises:
        UsageError: A folder holds no results.
        RecordError: A file is damaged, or a task is of another reading rule.
    """
    files = list(dict.fromkeys(found.resolve() for path in paths for found in find_results(path)))
    tasks, lines = one_run_each([task for file in files for task in read_results(file)])
    for line in lines:
        notify(line)
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
    """The exam tasks of results, scored from raw responses: a sequence of runs; each file is read once.

    Attributes:
        scored: The runs.
        profiles: The solo profiles of solo tasks among the results.
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
    notify: Callable[[str], None] = silent,
) -> Runs:
    """Return the exam tasks of ``paths``, scored, and the profiles of their solo tasks.

    A solo task that gives no profile is left out and reported through ``notify``.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    tasks = read_all(paths, notify)
    profiles = []
    for task in tasks:
        if not task.record.kind.has_order:
            try:
                profiles.append(profile_of(task, options))
            except RoiBenchError as error:
                notify(f"{task.name} makes no profile and is left out: {error}")
    return Runs(tuple(_score_exam_tasks(tasks, paths, options, show, notify)), tuple(profiles))


def score_runs(
    paths: Sequence[Path],
    options: ScoringOptions = AS_RECORDED,
    *,
    show: Show = iter,
    notify: Callable[[str], None] = silent,
) -> list[ScoredRun]:
    """Return the exam tasks of ``paths``, scored from raw responses; solo tasks among them are left out.

    Raises:
        UsageError: There is no exam task.
        RecordError: A file is damaged.
    """
    return _score_exam_tasks(read_all(paths, notify), paths, options, show, notify)


def _score_exam_tasks(
    tasks: Sequence[RecordedTask],
    paths: Sequence[Path],
    options: ScoringOptions,
    show: Show,
    notify: Callable[[str], None],
) -> list[ScoredRun]:
    asked = in_order([task for task in tasks if task.record.kind.has_order])
    if not asked:
        where = ", ".join(str(path) for path in paths)
        raise UsageError(f"{where}: has no exam task, only problems asked alone; see roi-bench profile")
    _check_tokenizers(asked, options)
    return score_tasks(asked, run_names(asked), options, show=show, notify=notify)


def score_tasks(
    tasks: Sequence[RecordedTask],
    names: Sequence[str],
    options: ScoringOptions = AS_RECORDED,
    *,
    show: Show = iter,
    notify: Callable[[str], None] = silent,
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
                notify(f"{name}, {runs[-1].cell.title}: tokens are unknown, so {follows}")
    return runs


def _is_uncounted(task: RecordedTask) -> bool:
    return any(
        response.usage is None and response.text is not None
        for document in task.documents
        for request in document.requests
        for response in request
    )


def _check_tokenizers(tasks: Sequence[RecordedTask], options: ScoringOptions) -> None:
    """Refuse to replace several recorded tokenizers by one.

    Raises:
        UsageError: The tasks recorded different ones.
    """
    recorded = sorted({task.record.tokenizer for task in tasks if task.record.tokenizer})
    if options.tokenizer is not None and len(recorded) > 1:
        raise UsageError(
            f"--tokenizer {options.tokenizer} would count for all runs, and they recorded different tokenizers "
            f"({', '.join(recorded)}); report them separately"
        )


def profile_of(task: RecordedTask, options: ScoringOptions = AS_RECORDED, *, skip_cost: int | None = None) -> Profile:
    """Return the solo profile of a recorded solo task.

    Args:
        task: The task.
        options: How to count and grade.
        skip_cost: Tokens of a skip; by default counted with the tokenizer.

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
    """Return the tokens of writing a skip: a header line and a box with NA."""
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
        raise UsageError(f"{where}: has no solo task; run one first, for example --tasks roi_solo_512")
    if not named:
        raise UsageError(f"no solo task {name!r} there; there are: {known}")
    raise UsageError(f"several solo tasks there: {known}; name one with --task, or one results file")


@dataclass(frozen=True, slots=True)
class RecordedEngine:
    """One run on one engine: what one path on the command line stands for.

    Attributes:
        path: As named.
        engine: Its engine.
        tasks: Its exam tasks by name.
        asked: The prompts sent, by task name and exam id.
        seconds: Seconds of the evaluation by results file, where it says them.
        generated: Tokens generated in that time, by results file, where known and the run was not resumed.
    """

    path: Path
    engine: Engine
    tasks: Mapping[str, RecordedTask]
    asked: Mapping[str, Mapping[str, SentPrompts]]
    seconds: Mapping[Path, float]
    generated: Mapping[Path, int]


def engine_groups(
    paths: Sequence[Path],
    options: ScoringOptions = AS_RECORDED,
    *,
    allow_sampled: bool = False,
    show: Show = iter,
    notify: Callable[[str], None] = silent,
) -> list[list[EngineRun]]:
    """Return the runs in ``paths``, one each, grouped by the tasks that at least two of them have.

    Everything that can be refused is refused before anything is graded.

    Args:
        paths: Results files or folders; the first is the reference.
        options: How to count and grade.
        allow_sampled: Allow sampled runs.
        show: Shows progress of grading.
        notify: Called with a line on anything left out.

    Raises:
        UsageError: There are fewer than two, or they cannot be compared.
        RecordError: A file is damaged.
    """
    if len(paths) < 2:
        named = f"only {paths[0]} is named" if paths else "none is named"
        raise UsageError(f"a comparison of engines needs two runs, {named}; name the results folder of each run")
    _refuse_files_named_twice(paths)
    engines = [_read_engine(path, notify) for path in paths]
    names = engine_names([engine.engine for engine in engines])
    found = _groups(list(zip(names, engines, strict=True)), notify)
    for members in found:
        for _, _, task in members[1:]:
            check_comparable(members[0][2], task, allow_sampled=allow_sampled)
        _note_exams_not_shared([(name, task) for name, _, task in members], notify)
    flat = [member for members in found for member in members]
    scored = iter(score_tasks([task for *_, task in flat], [n for n, *_ in flat], options, show=show, notify=notify))
    encoders = [_encoder(task, options) for *_, task in flat]
    known = next(filter(None, encoders), None)  # all runs are of one model, so one tokenizer serves them all
    encode = iter([encoder or known for encoder in encoders])
    return [
        [
            EngineRun(
                name=name,
                engine=engine.engine,
                run=next(scored),
                asked=engine.asked[task.name],
                encode=next(encode),
                seconds=engine.seconds.get(task.results_path),
                generated=engine.generated.get(task.results_path),
            )
            for name, engine, task in members
        ]
        for members in found
    ]


Member = tuple[str, RecordedEngine, RecordedTask]
"""Name of a run, the run, one task of it."""


def _refuse_files_named_twice(paths: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        for file in find_results(path):
            if (other := seen.setdefault(file.resolve(), path)) is not path:
                raise UsageError(f"{path}: {file.name} is also in {other}; name each run once, by its own results file")


def _read_engine(path: Path, notify: Callable[[str], None]) -> RecordedEngine:
    tasks: dict[str, RecordedTask] = {}
    asked: dict[str, dict[str, SentPrompts]] = {}
    seconds: dict[Path, float] = {}
    generated: dict[Path, int] = {}
    engines = []
    found = {file: read_results(file) for file in (one.resolve() for one in find_results(path))}
    kept, lines = one_run_each([task for read in found.values() for task in read])
    for line in lines:
        notify(line)
    for file, whole in found.items():
        if not (read := [task for task in whole if any(task is one for one in kept)]):
            continue
        document = parse_object(file.read_bytes())
        sent = {task.name: _sent_prompts(task) for task in read}
        for task in read:
            check_rule(task)
            if not task.record.kind.together:
                notify(f"{path}: {task.name} asks problems alone, and is left out")
                continue
            if task.name in tasks:
                raise UsageError(f"{path}: has {task.name} twice; name the results_*.json of one run")
            tasks[task.name], asked[task.name] = task, sent[task.name]
            engines.append(engine_of(document))
        if (took := _seconds(document)) is not None:
            seconds[file] = took
        if (count := _generated(document, read, sent)) is not None:
            generated[file] = count
    if not tasks:
        raise UsageError(f"{path}: has no exam task; compare runs of tasks such as roi_exam_hard_512")
    return RecordedEngine(path, engines[0], tasks, asked, seconds, generated)


def _seconds(document: Mapping[str, Any]) -> float | None:
    """Return the seconds of the whole evaluation; lm_eval writes them as text."""
    try:
        seconds = float(document["total_evaluation_time_seconds"])
    except (KeyError, TypeError, ValueError):
        return None
    return seconds if seconds > 0 else None


def _generated(
    document: Mapping[str, Any], tasks: Sequence[RecordedTask], asked: Mapping[str, Mapping[str, SentPrompts]]
) -> int | None:
    """Return the tokens generated during the evaluation, counting responses shared by tasks once."""
    run = document.get("roi_bench")
    resumed = isinstance(run, dict) and run.get("resumed")
    if resumed or set(document["configs"]) != {task.name for task in tasks}:
        return None
    counts: dict[object, int] = {}
    for task in tasks:
        for number, given in enumerate(task.documents):
            sent = asked[task.name].get(given.id, SentPrompts(()))
            for request, responses in enumerate(given.requests):
                prompt = sent.prompts[request] if request < len(sent.prompts) else None
                for sample, response in enumerate(responses):
                    if response.usage is None or response.usage.source == "retokenized":
                        return None
                    where = (task.name, number, request) if prompt is None else (prompt, task.record.budget)
                    counts[where, sample] = response.usage.tokens
    return sum(counts.values())


def _sent_prompts(task: RecordedTask) -> dict[str, SentPrompts]:
    """Return the prompts sent for each document of a task, without documents whose sample does not record them."""
    found, identifier = {}, task.record.kind.identifier
    for number, line in enumerate(task.samples_path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            sample = parse_object(line)
            prompts = tuple(map(_prompt, _requests(sample.get("arguments"))))
            found[str(sample["doc"][identifier])] = SentPrompts(prompts, _counts(sample.get("prompt_tokens")))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{task.samples_path}:{number}: incomplete or damaged sample ({error}); run the task again"
            ) from error
    return found


def _requests(arguments: Any) -> list[Any]:
    """Return the arguments of each request, as a list (lm_eval's own form in memory) or by the names of its files."""
    if isinstance(arguments, dict):
        return [arguments[key] for key in sorted(arguments, key=lambda key: (len(key), key))]
    return arguments if isinstance(arguments, list) else []


def _prompt(arguments: Any) -> str | None:
    found = arguments.get("arg_0") if isinstance(arguments, dict) else arguments[0] if arguments else None
    return found if found is None or isinstance(found, str) else canonical_json(found)


def _counts(found: Any) -> tuple[tuple[int | None, ...], ...]:
    rows = found if isinstance(found, list) else []
    return tuple(tuple(c if type(c) is int else None for c in row) for row in rows if isinstance(row, list))


def _groups(engines: Sequence[tuple[str, RecordedEngine]], notify: Callable[[str], None]) -> list[list[Member]]:
    """Return which runs have which task, in the order of the runs; tasks of a single run are reported and left out."""
    found = []
    for task in dict.fromkeys(name for _, engine in engines for name in engine.tasks):
        members = [(name, engine, engine.tasks[task]) for name, engine in engines if task in engine.tasks]
        if len(members) > 1:
            found.append(members)
        else:
            notify(f"only {members[0][0]} has {task}; it is left out")
    if not found:
        listing = "; ".join(f"{name}: {', '.join(engine.tasks)}" for name, engine in engines)
        raise UsageError(f"the runs have no task in common ({listing}); run the same task on each engine")
    return found


def _note_exams_not_shared(members: Sequence[tuple[str, RecordedTask]], notify: Callable[[str], None]) -> None:
    """Report exams that not all members have.

    Raises:
        UsageError: A member has none in common with the first.
    """
    ids = [{document.id for document in task.documents} for _, task in members]
    for (name, task), exams in zip(members[1:], ids[1:], strict=True):
        if not exams & ids[0]:
            raise UsageError(f"{task.results_path}: has no exam of {task.name} in common with {members[0][0]} ({name})")
    if any(exams != ids[0] for exams in ids):
        counts = ", ".join(f"{name} {len(exams)}" for (name, _), exams in zip(members, ids, strict=True))
        common = len(set.intersection(*ids))
        notify(f"{members[0][1].name}: the runs do not have the same exams ({counts}); {common} are common to all")


def _encoder(task: RecordedTask, options: ScoringOptions) -> Encoder | None:
    counter = options.counter(task)
    return None if counter is None else counter.token_ids
