"""``roi-bench train``: the reference trainer, MFT and RARL, from labels to the evaluation of every stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roi_bench.cli.main import INTERRUPTED
from roi_bench.errors import RoiBenchError

if TYPE_CHECKING:
    from roi_bench.training.plan.recipe import Recipe


# Submissions to a leaderboard of the stages that ``roi-bench train evaluate`` has evaluated.

ADDED = {"base": "", "mft": " + MFT", "rarl": " + MFT + RARL"}
"""What a stage adds to the name of the model that the recipe trains."""

TRAINED = "Trained on the benchmark's training exams; no evaluation problem is among them (checked by hash)."
GENERATED = "Trained from scratch on generated problems; no evaluation problem is among them (checked by hash)."
UNKNOWN = "Of the base model: see its card."


def pack_stages(recipe: Recipe, out: Path, contact: str | None, notify: Callable[[str], None]) -> list[Path]:
    """Pack a submission of every evaluated stage into ``out / "evaluation" / "submissions"`` and return their folders.

    They are drafts where only some exams were run, or no contact is given. The evaluation is done by
    then, so a submission that cannot be made is only reported.

    Args:
        recipe: The recipe of the training run.
        out: Its folder.
        contact: Who answers questions about the submissions, or None.
        notify: Called with a line on each submission made, or not made.
    """
    evaluation = out / "evaluation"
    found = json.loads((evaluation / "stages.json").read_text(encoding="utf-8"))["results"]
    folders = []
    for stage, files in found.items():
        try:
            folders.append(_pack(recipe, stage, [evaluation / file for file in files], evaluation, contact))
        except RoiBenchError as error:
            notify(f"no submission of {stage}: {error}")
    if folders:
        notify(f"submissions: {evaluation / 'submissions'}{_why_drafts(recipe, contact)}; roi-bench submit check DIR")
    return folders


def _pack(recipe: Recipe, stage: str, files: Sequence[Path], evaluation: Path, contact: str | None) -> Path:
    from roi_bench.leaderboard.submission.metadata import load_results, make_metadata, public_model
    from roi_bench.leaderboard.submission.pack import pack_submission

    statements = ([GENERATED] if recipe.model == "tiny" else [UNKNOWN]) + ([TRAINED] if stage != "base" else [])
    given: dict[str, Any] = {
        "model": public_model(recipe.model) + ADDED[stage],
        "contamination": " ".join(statements),
        "contact": contact or "not given",
        "notes": f"Evaluated by roi-bench train: recipe {recipe.name}, seed {recipe.seed}, stage {stage}.",
    }
    results = load_results(files)
    metadata = make_metadata(results, None, given)
    draft = bool(_why_drafts(recipe, contact))
    return pack_submission(results, evaluation / "submissions", metadata, draft=draft)


def _why_drafts(recipe: Recipe, contact: str | None) -> str:
    if recipe.evaluation.limit is not None:
        return f" (drafts: only {recipe.evaluation.limit} exams were run)"
    return "" if contact else " (drafts: give --contact for ones that can be submitted)"


def _notify(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def _resumable(out: Path | None) -> Iterator[Path]:
    """Yield the folder of the run; on Ctrl-C, say that the same command resumes from there."""
    folder = _folder(out)
    try:
        yield folder
    except KeyboardInterrupt as error:
        _notify(f"roi-bench: interrupted; give the same command again to go on from what is in {folder}")
        raise click.exceptions.Exit(INTERRUPTED) from error


def _keep_probe(context: click.Context, _: click.Parameter, value: bool) -> None:
    """Keep --probe for :func:`_prepared`: it means the same in every command."""
    context.meta["roi_bench.probe"] = value


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every stage: RECIPE, --out, --set, --dry-run and --probe."""
    for option in (
        click.option(
            "--probe",
            is_flag=True,
            expose_value=False,
            callback=_keep_probe,
            help="With --dry-run: load the model, measure for 20 seconds, and estimate how long it takes.",
        ),
        click.option(
            "--dry-run", is_flag=True, help="Check recipe, versions, data, memory, tokenizer; print the plan."
        ),
        click.option(
            "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a setting of the recipe: seed=1."
        ),
        click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run."),
        click.argument("recipe"),
    ):
        command = option(command)
    return command


contact_option = click.option(
    "--contact", help="Who answers questions about the packed submissions; without it they are drafts."
)


@click.group()
def train() -> None:
    """Train a model to know what its thinking is worth: MFT, then RARL, on the benchmark's own code.

    RECIPE is the name of a recipe (tiny, test, qwen2.5-1.5b, …) or a YAML file. Every stage can be interrupted and goes
    on where it stopped when the same command is given again.
    """


@train.command(short_help="Sample the base model, label its problems, build the examples.")
@recipe_options
@click.option(
    "--exams-jsonl",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only write the exams of RARL to this file: prompts, and what roi_bench.rewards needs of each.",
)
@click.option("--held-out", is_flag=True, help="With --exams-jsonl: the held-out exams in place of those trained on.")
def data(
    recipe: str,
    out: Path | None,
    changes: tuple[str, ...],
    dry_run: bool,
    exams_jsonl: Path | None,
    held_out: bool,
) -> None:
    """The first half of mft: sample the base model, label its problems, build the examples.

    With --exams-jsonl nothing is sampled: the exams that RARL would train on are written for another trainer.
    """
    if exams_jsonl is not None:
        _write_exams(recipe, changes, exams_jsonl, held_out)
        return
    if held_out:
        raise click.UsageError(
            "--held-out goes with --exams-jsonl FILE; a run keeps its held-out exams apart by itself"
        )
    if (loaded := _prepared(recipe, changes, out, dry_run, ("data",))) is not None:
        from roi_bench.training.stages.run import run_data

        with _resumable(out) as folder:
            click.echo(run_data(loaded, folder, _notify))


def _write_exams(recipe: str, changes: tuple[str, ...], path: Path, held_out: bool) -> None:
    """Write the exams of a recipe, a row a line."""
    from roi_bench.machine import write_atomically
    from roi_bench.training.plan.recipe import load_recipe
    from roi_bench.training.rarl.rarl import exported_rows

    rows = exported_rows(load_recipe(recipe, changes), held_out)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(lines).encode("utf-8"))
    click.echo(f"{path}: {len(rows)} {'held-out' if held_out else 'training'} exams")


@train.command(short_help="Meta-Cognitive Fine-Tuning (data first, if need be).")
@recipe_options
def mft(recipe: str, out: Path | None, changes: tuple[str, ...], dry_run: bool) -> None:
    """Meta-Cognitive Fine-Tuning: sample the base model, label its problems, train on labelled exams."""
    if (loaded := _prepared(recipe, changes, out, dry_run, ("mft",))) is not None:
        from roi_bench.training.stages.run import run_mft

        with _resumable(out) as folder:
            click.echo(run_mft(loaded, folder, _notify))


@train.command(short_help="Rationality-Aware RL: Dr. GRPO on training exams.")
@recipe_options
@click.option("--model", help="Model to start from (default: OUT/mft).")
def rarl(recipe: str, out: Path | None, changes: tuple[str, ...], dry_run: bool, model: str | None) -> None:
    """Rationality-Aware RL: Dr. GRPO on training exams, paid by the benchmark's own grading."""
    if (loaded := _prepared(recipe, changes, out, dry_run, ("rarl",))) is not None:
        from roi_bench.training.stages.run import run_rarl

        with _resumable(out) as folder:
            click.echo(run_rarl(loaded, folder, _notify, model))


@train.command(short_help="Evaluate every stage and the baselines on the benchmark, report, pack submissions.")
@recipe_options
@contact_option
@click.option("--shipped", is_flag=True, help="Evaluate the tiny models of the package in place of those in OUT.")
def evaluate(
    recipe: str, out: Path | None, changes: tuple[str, ...], dry_run: bool, contact: str | None, shipped: bool
) -> None:
    """Evaluate base, MFT, RARL and the baselines on the benchmark, report, and pack submissions to a leaderboard."""
    if (loaded := _prepared(recipe, changes, out, dry_run, ("evaluate",))) is not None:
        from roi_bench.training.stages.run import run_evaluation

        with _resumable(out) as folder:
            click.echo(run_evaluation(loaded, folder, _notify, shipped))
            pack_stages(loaded, folder, contact, _notify)


@train.command("run", short_help="All of it: mft, rarl, evaluate.")
@recipe_options
@contact_option
def run_all(recipe: str, out: Path | None, changes: tuple[str, ...], dry_run: bool, contact: str | None) -> None:
    """All of it: mft, rarl, evaluate."""
    if (loaded := _prepared(recipe, changes, out, dry_run, ("mft", "rarl", "evaluate"))) is not None:
        from roi_bench.training.stages.run import run_stages

        asked = [recipe, *(part for change in changes for part in ("--set", change))]
        with _resumable(out) as folder:
            click.echo(run_stages(loaded, asked, folder, _notify))
            pack_stages(loaded, folder, contact, _notify)


@train.command(short_help="Show labels and examples of a run.")
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", "name", default="examples", show_default=True, help="labels or examples.")
@click.option("--number", type=click.IntRange(min=0), help="Show only this row.")
@click.option("--limit", type=click.IntRange(min=1), default=3, show_default=True, help="Rows to show.")
def inspect(out: Path, name: str, number: int | None, limit: int) -> None:
    """Show the training data of the run in folder OUT: what is there of which kind, and some rows."""
    from roi_bench.training.data import inspection_text

    click.echo(inspection_text(out, name, number, limit))


def _folder(out: Path | None) -> Path:
    if out is None:
        raise click.UsageError("--out is missing: the folder that the run is written to")
    return out


def _prepared(
    name: str, changes: tuple[str, ...], out: Path | None, dry_run: bool, stages: tuple[str, ...]
) -> Recipe | None:
    """Return the recipe, or None after a dry run.

    Raises:
        UsageError: The recipe is invalid, or a dry run found a problem.
    """
    from roi_bench.training.plan.recipe import load_recipe

    recipe = load_recipe(name, changes)
    probed = click.get_current_context().meta["roi_bench.probe"]
    if probed and not dry_run:
        raise click.UsageError("--probe goes with --dry-run")
    if not dry_run:
        _folder(out)
        return recipe
    from roi_bench.errors import UsageError
    from roi_bench.training.plan.dry_run import make_plan, plan_text, probe

    rates = probe(recipe) if probed else None
    plans = [make_plan(recipe, stage, rates=rates) for stage in stages]
    for plan in plans:
        click.echo(plan_text(plan))
    problems = sum(finding.kind == "problem" for plan in plans for finding in plan.findings)
    if problems:
        raise UsageError(f"recipe {recipe.name}: problems that would stop this run: {problems}; they are marked above")
    return None
