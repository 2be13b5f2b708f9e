"""``roi-bench submit``: make a submission to a leaderboard of finished runs, and check one as the board does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roi_bench.cli.table_output import LOG_WIDTH, NARROWEST, notify, with_progress

if TYPE_CHECKING:
    from roi_bench.analysis.reports.tables import Interval
    from roi_bench.leaderboard.board.graded import GradedRun, GradedSubmission

BADGE = "regraded"
"""What a submission earns by passing; the others are given by a board's maintainers."""

REFUSED = 5
"""Exit code where a submission was refused, that of a :class:`roi_bench.errors.RecordError`."""


class Checked(click.ParamType):  # type: ignore[type-arg] # click before 8.4 takes no argument here
    """Click parameter type: a text parsed by a function, which may raise UsageError."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        """Take the type's name in the help text, and the function."""
        self.name = name
        self.parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return the parsed value."""
        from roi_bench.errors import UsageError

        try:
            return self.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _day(text: str) -> object:
    from roi_bench.leaderboard.submission.metadata import parse_day

    return parse_day(text, date.today())


def _id(text: str) -> object:
    from roi_bench.leaderboard.submission.metadata import parse_id

    return parse_id(text)


def _parameters(text: str) -> object:
    from roi_bench.leaderboard.submission.metadata import parse_parameters

    return parse_parameters(text)


def _check_packages() -> None:
    """Name the packages that checks need before anything is read, packed or graded.

    Raises:
        DependencyError: One is not installed.
    """
    from roi_bench.errors import DependencyError

    missing = [name for name in ("jsonschema", "tokenizers") if find_spec(name) is None]
    if missing:
        raise DependencyError(f"a submission is checked with {' and '.join(missing)}: pip install {' '.join(missing)}")


@click.group()
def submit() -> None:
    """Submissions to a leaderboard: raw responses and metadata, from which every number is computed again."""


@submit.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the submission's folder."
)
@click.option(
    "--metadata",
    "metadata_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML or JSON file with the fields below; an option goes before it.",
)
@click.option("--model", help="Name of the model, org/name, in place of the recorded one.")
@click.option("--version", help="Its version, revision or snapshot.")
@click.option("--provider", help="Who served it (openai, local, …).")
@click.option("--organisation", help="Who made it.")
@click.option("--licence", help="Licence of its weights.")
@click.option("--open-weights/--closed-weights", default=None, help="Whether its weights are public.")
@click.option("--parameters", type=Checked("NUMBER", _parameters), help="Number of its parameters, 1500000000 or 1.5B.")
@click.option("--hardware", help="What it ran on.")
@click.option("--date", type=Checked("DAY", _day), help="Day of the run, 2026-11-24 (default: from the results).")
@click.option("--contamination", help="What of the exams the model may have seen in training.")
@click.option("--contact", help="Who answers questions about this submission.")
@click.option("--notes", help="Anything else.")
@click.option("--model-url", metavar="URL", help="Where the model can be had, https://….")
@click.option("--paper-url", metavar="URL", help="Where a paper on it is.")
@click.option("--code-url", metavar="URL", help="Where the code of the run is.")
@click.option("--replaces", type=Checked("ID", _id), help="Submission that this one corrects; needs --reason.")
@click.option("--reason", help="Why it is corrected.")
@click.option("--draft", is_flag=True, help="Allow an incomplete exam set; drafts are never published.")
@click.option("--tokenizer", help="Tokenizer to count with in place of the recorded one.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a tokenizer that brings its own code.")
def pack(
    results: tuple[Path, ...],
    out: Path,
    metadata_file: Path | None,
    replaces: str | None,
    reason: str | None,
    draft: bool,
    tokenizer: str | None,
    trust_remote_code: bool,
    **fields: Any,
) -> None:
    """Make a submission of RESULTS (results_*.json files or folders), and check it.

    RESULTS are those of one model; several models are packed one at a time. Fields that the results have (model, date,
    parameters, version) need not be given. No path of this machine gets in.
    """
    from roi_bench.analysis.load import ScoringOptions
    from roi_bench.errors import UsageError
    from roi_bench.leaderboard.submission.metadata import load_results, make_metadata
    from roi_bench.leaderboard.submission.pack import Correction, pack_submission

    _check_packages()
    if (replaces is None) != (reason is None):
        raise UsageError("--replaces and --reason come together: name the submission that is corrected, and say why")
    loaded = load_results(results, notify)
    metadata = make_metadata(
        loaded, metadata_file, {name: value for name, value in fields.items() if value is not None}
    )
    folder = pack_submission(
        loaded,
        out,
        metadata,
        correction=Correction(replaces, reason) if replaces is not None and reason is not None else None,
        draft=draft,
        options=ScoringOptions(tokenizer, trust_remote_code),
        show=with_progress("packing"),
        tell=notify,
    )
    click.echo(str(folder))
    notify(f"look at its numbers with: roi-bench submit check {folder}")


@submit.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for it.  [default: beside FOLDER]"
)
def migrate(folder: Path, out: Path | None) -> None:
    """Rewrite the submission in FOLDER, of an older form, in today's, from itself alone.

    Responses and numbers stay as they are; what the older form did not record stays unknown. The new submission has
    another id and lies beside the old one, which stays.
    """
    from roi_bench.leaderboard.submission.pack import migrate_submission

    _check_packages()
    _refuse_parent(folder)
    beside = folder.resolve().parent if out is None else out
    written = migrate_submission(folder, beside, tell=notify)
    if written is None:
        notify(f"{folder}: is of today's form already; nothing to do")
        return
    click.echo(str(written))
    notify(
        f"on a board, remove {folder.name} and write {written.name} in its place in reviews.json and accepted.json, "
        "and as what its corrections name"
    )


@submit.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR…", type=click.Path(path_type=Path))
@click.option("--recount", is_flag=True, help="Count tokens again with tokenizers from the hub too.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core).")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check(folders: tuple[Path, ...], recount: bool, workers: int | None, as_json: bool) -> None:
    """Check submissions by the board's own rules, grade them from their responses, and say what badge they earn.

    Exits with 5 if one is refused.
    """
    from roi_bench.errors import RecordError

    _check_packages()
    for folder in folders:
        _refuse_parent(folder)
    found: list[dict[str, Any]] = []
    for folder in with_progress("checking")(folders):
        try:
            graded = _grade(folder, recount, workers)
        except RecordError as error:
            found.append({"folder": str(folder), "refused": str(error)})
            if not as_json:
                notify(f"refused: {error}")
            continue
        found.append(_as_dict(folder, graded))
        if not as_json:
            _print(graded)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if any("refused" in one for one in found):
        raise click.exceptions.Exit(REFUSED)


def _refuse_parent(folder: Path) -> None:
    """Refuse a folder of submissions where a single submission is expected.

    Raises:
        UsageError: ``folder`` is not a submission itself, but contains some.
    """
    from roi_bench.errors import UsageError
    from roi_bench.leaderboard.board.gather import holds_submissions

    if holds_submissions(folder):
        raise UsageError(f"{folder}: is not a submission but a folder of them; name the submissions: {folder}/*")


def _grade(folder: Path, recount: bool, workers: int | None) -> GradedSubmission:
    from roi_bench.leaderboard.board.grade import grade_submission
    from roi_bench.leaderboard.checks.rules import check_submission

    return grade_submission(check_submission(folder, recount=recount), workers=workers)[0]


def _badge(graded: GradedSubmission) -> str | None:
    return None if graded.submission.draft else BADGE


def _as_dict(folder: Path, graded: GradedSubmission) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "id": graded.submission.id,
        "badge": _badge(graded),
        "recounted": graded.recounted,
        "remarks": [{"rule": remark.rule, "text": remark.text} for remark in graded.remarks],
        "profiles": list(graded.profiles),
        "runs": [
            {
                "task": run.task,
                "exams": run.exams,
                "tokens_checked": run.tokens_checked,
                "numbers": {name: [n.value, n.low, n.high] for name, n in run.numbers.items()},
                "over_prompts": {
                    name: asdict(found)
                    for name, found in (("score", run.score_prompts), ("regret", run.regret_prompts))
                    if found is not None
                },
            }
            for run in graded.runs
        ],
    }


def _print(graded: GradedSubmission) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from roi_bench.leaderboard.site.page import spread_lines
    from roi_bench.leaderboard.submission.untrusted_files import shown

    width = max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else LOG_WIDTH
    console, submission = Console(width=width), graded.submission
    console.print(escape(f"{submission.id}: {shown(submission.metadata.model)}"), soft_wrap=True, highlight=False)
    table = Table(Column("task", no_wrap=True), "exams", "score", "regret", "skips", "tokens")
    for run in graded.runs:
        table.add_row(run.task, str(run.exams), *_cells(run))
    console.print(table)
    for run in graded.runs:
        if lines := spread_lines(run.score_prompts):
            console.print(f"{run.task}: score over {', '.join(map(' '.join, lines))}", soft_wrap=True, highlight=False)
    for profile in graded.profiles:
        console.print(f"solo profile: {profile}", soft_wrap=True, highlight=False)
    for remark in graded.remarks:
        console.print(escape(f"{remark.rule}: {shown(remark.text, 400)}"), soft_wrap=True, highlight=False)
    badge = _badge(graded)
    verdict = f"badge: {badge}" if badge else "no badge: a draft is never published"
    console.print(f"passed all checks; {verdict}", soft_wrap=True, highlight=False)


def _cells(run: GradedRun) -> Sequence[str]:
    score = run.numbers["score"]
    between = "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
    others = [_number(run.numbers[name], digits) for name, digits in (("regret", 3), ("skip_rate", 3), ("tokens", 1))]
    return [_number(score, 3) + between, *others]


def _number(found: Interval, digits: int) -> str:
    return "–" if found.value is None else f"{found.value:.{digits}f}"
