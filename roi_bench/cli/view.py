"""``roi-bench view``: what a model wrote, exam by exam, as pages on this machine or in the terminal.

It takes any results folder: finished or not, of a local model or of an API. The pages are those of a leaderboard's
exams (extra ``leaderboard``); the terminal needs no extra.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roi_bench.cli.table_output import notify

if TYPE_CHECKING:
    from roi_bench.analysis.load import ScoringOptions
    from roi_bench.analysis.runs import Cell, ScoredRun
    from roi_bench.leaderboard.site.page import PageFile
    from roi_bench.records.results import RecordedTask

OUTCOMES = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty", "error")
"""As :data:`roi_bench.scoring.outcomes.OUTCOMES`, which the command line is not to import for its help."""


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--exam", "exams", multiple=True, metavar="ID", help="Print this exam (v1/003), or problem, and end.")
@click.option("--list", "as_list", is_flag=True, help="Print a line for each exam, and end.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only exams that have this outcome.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pages; nothing is served."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: any free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--tokenizer", help="Tokenizer to count with in place of the recorded one.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a tokenizer that brings its own code.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core).")
def view(
    results: tuple[Path, ...],
    exams: tuple[str, ...],
    as_list: bool,
    outcome: str | None,
    out: Path | None,
    host: str,
    port: int,
    no_browser: bool,
    tokenizer: str | None,
    trust_remote_code: bool,
    workers: int | None,
) -> None:
    """Show the responses in RESULTS (results_*.json files or folders), finished or not, with what was read of them.

    Opens a page on this machine, until Ctrl-C. With --exam or --list it prints to the terminal.
    """
    from roi_bench.analysis.load import ScoringOptions

    in_terminal = bool(exams) or as_list
    if not in_terminal:
        _check_pages()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        notify(line)

    runs = load_views(results, ScoringOptions(tokenizer, trust_remote_code, workers), note, exams)
    if outcome is not None:
        runs = [found for run in runs if (found := _with_outcome(run, outcome)).scored]
        if not runs:
            click.echo(f"no exam has the outcome {outcome}")
            return
    if exams:
        click.echo("\n".join(line for exam in exams for line in exam_lines(runs, exam)))
    elif as_list:
        click.echo("\n".join(line for run in runs for line in list_lines(run)))
    else:
        _show_pages(runs, notes, ", ".join(map(str, results)), out, host, port, not no_browser)


def _check_pages() -> None:
    """Check, before anything is graded, that pages can be made.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    import importlib.util

    from roi_bench.errors import DependencyError

    if importlib.util.find_spec("jinja2") is None:
        raise DependencyError(
            "pages need the package jinja2; install it: pip install 'roi-bench[leaderboard]'. In the terminal: "
            "roi-bench view RESULTS --list, and --exam ID for one exam"
        )


# The runs of a folder, scored, whatever state they are in.


def load_views(paths: Sequence[Path], options: ScoringOptions, note: Any, only: Sequence[str] = ()) -> list[ScoredRun]:
    """Return all tasks in ``paths``, scored; solo tasks too, whose samples are single responses by problem.

    Args:
        paths: Results files or folders.
        options: How to count and grade.
        note: Called with a line on whatever is left out or unknown.
        only: Ids of exams; of others nothing is graded. Empty: all.

    Raises:
        UsageError: There is nothing to show.
        DataError: A problem is missing or altered.
    """
    from roi_bench.analysis.runs import in_order, run_names
    from roi_bench.errors import UsageError

    tasks = _tasks(paths, note)
    asked = in_order([task for task in tasks if task.record.kind.has_order])
    asked += [task for task in tasks if not task.record.kind.has_order]
    if only:
        asked = [replace(task, documents=kept) for task in asked if (kept := _only(task, only))]
        if not asked:
            known = [document.id for task in tasks for document in task.documents]
            raise UsageError(f"no response to {', '.join(only)} there; there are {len(known)}, e.g. {known[0]}")
    return _scored(asked, run_names(asked), options, note)


def _only(task: RecordedTask, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(document for document in task.documents if document.id in names)


def _tasks(paths: Sequence[Path], note: Any) -> list[RecordedTask]:
    """Return the tasks of finished and of unfinished runs; a damaged file is left out with a line."""
    from roi_bench.errors import RecordError, UsageError
    from roi_bench.records.regrade import check_rule
    from roi_bench.records.results import find_results, one_run_each, read_results
    from roi_bench.records.unfinished import NOT_SAID, unfinished_tasks

    finished: list[RecordedTask] = []
    begun: list[RecordedTask] = []
    nothing: UsageError | None = None
    for path in paths:
        try:
            files = find_results(path)
        except UsageError as error:
            files, nothing = [], error
        for file in files:
            try:
                read = read_results(file)
                for task in read:
                    check_rule(task)
                finished += read
            except RecordError as error:
                note(f"left out: {error}")
    for path in paths:
        try:
            begun += unfinished_tasks(path, finished)
        except RecordError as error:
            note(f"left out: {error}")
    found, lines = one_run_each(finished)
    for line in lines:
        note(line)
    for task in begun:
        prompt = f"; {NOT_SAID}" if NOT_SAID in task.record.deviations else ""
        count = f"{len(task.documents)} {task.record.kind.noun}s"
        note(f"{task.name}: not finished; responses to {count} are there so far{prompt}")
    if not found and not begun:
        raise nothing or UsageError(f"{paths[0]}: nothing to show there")
    return [*found, *begun]


def _scored(tasks: Sequence[RecordedTask], names: Sequence[str], options: ScoringOptions, note: Any) -> list[ScoredRun]:
    from roi_bench.analysis.load import exams_of
    from roi_bench.analysis.runs import ScoredRun
    from roi_bench.cli.table_output import with_progress
    from roi_bench.errors import DependencyError, ModelError
    from roi_bench.grading.grader import Grader
    from roi_bench.records.regrade import score_documents

    runs = []
    with Grader(workers=options.workers) as grader:
        for task, name in zip(with_progress("grading")(tasks), names, strict=True):
            try:
                counter = options.counter(task)
            except (DependencyError, ModelError) as error:
                note(f"{name}: tokens by problem are not shown: {error}")
                counter = None
            exams = exams_of(task)
            runs.append(ScoredRun(name, task, exams, score_documents(task, exams, grader, counter)))
    return runs


def _with_outcome(run: ScoredRun, outcome: str) -> ScoredRun:
    """Return ``run`` with the documents alone that have ``outcome`` in any order."""
    kept = {name: samples for name, samples in run.scored.items() if outcome in outcomes_of(samples)}
    documents = tuple(document for document in run.task.documents if document.id in kept)
    return replace(run, scored=kept, task=replace(run.task, documents=documents))


def _responses(samples: Sequence[Any]) -> list[list[Any]]:
    """Return the scored responses of samples by order; of problems asked alone there is one order."""
    from roi_bench.scoring.metrics import Sample

    if samples and isinstance(samples[0], Sample):
        return [[sample.main for sample in samples], [sample.easy for sample in samples]]
    return [list(samples)]


def outcomes_of(samples: Sequence[Any]) -> Counter[str]:
    """Return how many problems of a document's samples ended in each outcome, both orders together."""
    return Counter(one.outcome for order in _responses(samples) for response in order for one in response.problems)


# The terminal.


def list_lines(run: ScoredRun) -> list[str]:
    """Return the exams of ``run`` as lines: id, then by order correct answers, outcomes by position, tokens."""
    from roi_bench.analysis.reports.tables import printable

    sides = [run.cell.order, "easy"] if run.task.record.kind.has_order else ["alone"]
    lines = [printable(f"{_title(run)} · {run.name}")]
    width = max(map(len, run.scored))
    for name, samples in run.scored.items():
        parts = [_side(side, found) for side, found in zip(sides, _responses(samples), strict=True)]
        lines.append(f"{name:{width}}  {'; '.join(parts)}")
    return [*lines, ""]


def _side(side: str, responses: Sequence[Any]) -> str:
    """Return the responses in one order in a line: ``hard 1/3 (correct wrong truncated, 128 tokens)``."""
    if len(responses) > 1:
        counts = Counter(one.outcome for response in responses for one in response.problems)
        return f"{side}, {len(responses)} samples ({', '.join(f'{n} {name}' for name, n in counts.most_common())})"
    (response,) = responses
    tokens = "" if response.tokens is None else f", {response.tokens} tokens"
    outcomes = " ".join(one.outcome for one in response.problems)
    return f"{side} {response.score}/{len(response.problems)} ({outcomes}{tokens})"


def exam_lines(runs: Sequence[ScoredRun], name: str) -> list[str]:
    """Return one exam as lines: its problems with answers, then each run's responses with what was read of them."""
    from roi_bench.analysis.reports.tables import printable
    from roi_bench.leaderboard.site.response_pages import response_views

    lines: list[str] = []
    for run in runs:
        documents = {document.id: document.requests for document in run.task.documents}
        if name not in run.scored:
            continue
        document = run.task.record.kind.documents(run.exams)[name]
        if not lines:
            lines += [name, *_problem_lines(document), ""]
        lines += [f"=== {printable(f'{_title(run)} · {run.name}')}"]
        answers = iter(
            [one for order in _responses(run.scored[name]) for response in order for one in response.problems]
        )
        for response in response_views(run, document, documents[name]):
            lines += ["", f"--- {response.title}: {response.summary}"]
            for piece in response.pieces:
                said = [piece.outcome] if piece.outcome else []
                if piece.outcome and run.task.record.kind.requests < 3:
                    answer = next(answers).answer
                    said += [f"read: {answer}" if answer is not None else "nothing read"]
                lines += ["", f"[{piece.title}] {printable('; '.join([*said, *piece.notes]))}"]
                lines += _readable("".join(span.text for span in piece.spans))
            lines += ["", response.ending] if response.ending else []
        lines.append("")
    return lines


def _problem_lines(document: Any) -> list[str]:
    from roi_bench.exams.exam import TIERS

    asked = zip(TIERS, document.problems, strict=True) if hasattr(document, "problems") else [document]
    lines = []
    for tier, problem in asked:
        lines += [
            "",
            f"{tier} problem {problem.id}; answer: {', '.join(problem.answers)}",
            *_readable(problem.question),
        ]
    return lines


def _readable(text: str) -> list[str]:
    """Return the lines of a foreign text, indented, with characters that cannot be seen written out."""
    from roi_bench.analysis.reports.tables import printable

    return [f"    {printable(line)}" for line in text.strip("\n").splitlines()]


def _title(run: ScoredRun) -> str:
    return _cell(run).title


# The pages.


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A run as pages show it (:class:`roi_bench.leaderboard.site.exam_list.ShownRun`).

    Attributes:
        slug: Name of its page.
        cell: Exams, order (``alone`` for problems asked alone) and budget.
        prompt: Its name.
        decoding: Generation arguments, or an empty text.
        exams: Number of exams.
        repeats: Samples per request.
        exam_ids: Exams with a response in both orders.
        scores: Correct answers of each in the task's order.
        scores_easy: The same in easy order.
        outcomes: Number of problems by outcome, both orders together.
    """

    slug: str
    cell: Cell
    prompt: str
    decoding: str
    exams: int
    repeats: int
    exam_ids: tuple[str, ...]
    scores: tuple[float, ...]
    scores_easy: tuple[float, ...]
    outcomes: Mapping[str, int]

    @property
    def score(self) -> float | None:
        """Correct answers per exam in the task's order; None without any exam."""
        return sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def score_easy(self) -> float | None:
        """The same in easy order; None for problems asked alone."""
        return sum(self.scores_easy) / len(self.scores_easy) if self.scores_easy else None


def local_pages(runs: Sequence[ScoredRun], title: str, notes: Sequence[str]) -> Iterator[PageFile]:
    """Yield the pages of a site of ``runs``: all of them, their exams, every exam's responses.

    Args:
        runs: As :func:`load_views` returns them.
        title: What the first page is called.
        notes: What a reader has to know.
    """
    from roi_bench.leaderboard.site.page import OUTCOME_MEANINGS, PageOptions, render
    from roi_bench.leaderboard.site.pages import static_files
    from roi_bench.leaderboard.site.response_pages import run_pages

    shown = {f"run-{number}": _local(f"run-{number}", run) for number, run in enumerate(runs, start=1)}
    scored = dict(zip(shown, runs, strict=True))
    usd = {slug: {d.id: d.usd for d in run.task.documents if d.usd is not None} for slug, run in scored.items()}
    context = {
        "title": title,
        "notes": notes,
        "runs": list(shown.values()),
        "outcomes": [name for name in OUTCOMES if any(run.outcomes[name] for run in shown.values())],
        "meanings": OUTCOME_MEANINGS,
    }
    yield render("view.html", "index.html", context)
    yield from run_pages("", title, shown, scored, PageOptions(True, None), usd, "local.html")
    yield from static_files()


def _local(slug: str, run: ScoredRun) -> LocalRun:
    from roi_bench.leaderboard.board.grade import decoding_text
    from roi_bench.scoring.statistics import mean_or_none

    rows = {name: _responses(samples) for name, samples in run.scored.items()}
    whole = {name: order for name, order in rows.items() if not any(one.failed for side in order for one in side)}
    means = [[mean_or_none(one.score for one in side) or 0.0 for side in order] for order in whole.values()]
    outcomes: Counter[str] = Counter()
    for samples in run.scored.values():
        outcomes += outcomes_of(samples)
    return LocalRun(
        slug=slug,
        cell=_cell(run),
        prompt=run.name,
        decoding=decoding_text(run.task.decoding),
        exams=len(run.scored),
        repeats=run.task.record.repeats,
        exam_ids=tuple(whole),
        scores=tuple(row[0] for row in means),
        scores_easy=tuple(row[1] for row in means if len(row) > 1),
        outcomes=outcomes,
    )


def _cell(run: ScoredRun) -> Cell:
    cell = run.cell
    return cell if run.task.record.kind.has_order else replace(cell, order="alone")


def _show_pages(
    runs: Sequence[ScoredRun], notes: Sequence[str], title: str, out: Path | None, host: str, port: int, browser: bool
) -> None:
    """Write the pages to ``out``, or serve them until Ctrl-C."""
    import tempfile

    from roi_bench.leaderboard.site.site import SiteFolder, address, make_server

    def write(folder: Path) -> None:
        site = SiteFolder(folder)
        site.write(local_pages(runs, title, notes))
        site.finish()

    if out is not None:
        write(out)
        click.echo(f"the pages are in {out}; look at them: roi-bench leaderboard serve {out}")
        return
    with tempfile.TemporaryDirectory(prefix="roi-bench-view-") as folder:
        write(Path(folder))
        try:
            with make_server(Path(folder), host, port) as server:
                click.echo(f"{title} is at {address(server)} (Ctrl-C ends it)")
                if browser and _has_browser():
                    click.launch(address(server))
                server.serve_forever()
        except KeyboardInterrupt:
            return


def _has_browser() -> bool:
    """Whether a browser with a window can be started: someone looks on, and there is a screen."""
    screen = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.stdout.isatty() and screen
