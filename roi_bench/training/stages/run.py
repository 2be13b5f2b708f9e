"""The stages of a training run in its folder; a run can be continued only by its own recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, RecordError, UsageError
from roi_bench.machine import write_atomically
from roi_bench.training.plan.checks import require_arguments
from roi_bench.training.plan.recipe import Evaluation, Recipe, load_recipe, recipe_names, recipe_text
from roi_bench.training.stages.model import is_main_process, start_of
from roi_bench.training.stages.process import StageRunner, check_exit, stage_runner

Notify = Callable[[str], None]


def open_run(recipe: Recipe, out: Path) -> None:
    """Write the recipe to ``out / "recipe.yaml"``, or make sure that it is the one there.

    Only the evaluation and the device batch sizes (lowered when memory runs out) may differ.

    Raises:
        UsageError: The folder belongs to a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "recipe.yaml"
    if path.exists():
        known = load_recipe(str(path))
        if _trained(known) != _trained(recipe):
            changed = _differences(recipe_text(known), recipe_text(recipe))
            raise UsageError(
                f"{out} has a run of another recipe ({changed}); give another --out, or the settings it was begun with"
            )
    if is_main_process():
        write_atomically(path, recipe_text(recipe).encode("utf-8"))


def _trained(recipe: Recipe) -> Recipe:
    """Return ``recipe`` without what does not change the outcome of training."""
    return replace(
        recipe,
        evaluation=Evaluation(),
        sampling=replace(recipe.sampling, batch_size=1),
        mft=replace(recipe.mft, device_batch_size=1),
        rarl=replace(recipe.rarl, device_batch_size=1),
    )


def require_packages(recipe: Recipe, stage: str, installed: Callable[[str], str | None] | None = None) -> None:
    """Make sure that what ``stage`` needs is installed, before anything is computed.

    Args:
        recipe: The recipe.
        stage: ``mft``, ``rarl`` or ``evaluate``.
        installed: Says which version of a distribution is installed.

    Raises:
        DependencyError: A package is missing or has a version that will not do.
    """
    from roi_bench.harness.installation import version
    from roi_bench.training.plan.checks import check_versions

    for finding in check_versions(recipe, frozenset({stage}), installed or version):
        if finding.kind == "problem":
            raise DependencyError(f"{finding.what}: {finding.detail}")


def _differences(known: str, asked: str) -> str:
    pairs = zip(known.splitlines(), asked.splitlines(), strict=False)
    changed = [f"{old.strip()} there, {new.strip()} asked" for old, new in pairs if old != new]
    return "; ".join(changed[:3])


def run_data(recipe: Recipe, out: Path, notify: Notify) -> Path:
    """Sample, label and build the examples, unless they are there; return their folder.

    Raises:
        UsageError: Several processes were started: sampling is the work of one.
    """
    from roi_bench.training.data import label_table, save_data
    from roi_bench.training.mft.mft import make_examples, make_labels

    require_packages(recipe, "mft")
    open_run(recipe, out)
    if not (out / "data" / "examples" / "README.md").is_file():
        _refuse_several_processes(
            f"there are no examples in {out} yet; make them with one process first: roi-bench train data {recipe.name} "
            f"--out {out}"
        )
        labels = make_labels(recipe, out)
        notify(label_table(labels))
        save_data(recipe, labels, make_examples(recipe, labels), out)
    return out / "data"


def run_mft(recipe: Recipe, out: Path, notify: Notify) -> Path:
    """Build the examples (unless they are there) and train; return the model's folder.

    Examples that are there are taken as they are, so that they can be edited; evaluation problems in them are refused.
    """
    from roi_bench.training.data import load_examples, questions_of, refuse_evaluation_questions
    from roi_bench.training.mft.mft import train_mft

    require_packages(recipe, "mft")
    open_run(recipe, out)
    if _is_done(out / "mft", notify):
        return out / "mft"
    require_arguments(recipe, ("mft",))
    run_data(recipe, out, notify)
    examples = load_examples(out)
    questions = [questions_of(example.prompt) for example in examples]
    if not all(questions):
        raise RecordError(
            f"example {questions.index([])} in {out / 'data' / 'examples'} has a prompt unknown to this "
            "release, so it cannot be checked for evaluation problems; remove it"
        )
    refuse_evaluation_questions({question for found in questions for question in found}, recipe.family)
    folder = train_mft(recipe, examples, out)
    _write_card("mft", recipe, out)
    return folder


def run_rarl(recipe: Recipe, out: Path, notify: Notify, model: str | None = None) -> Path:
    """Train with RARL from the MFT model (or from ``model``); return the model's folder.

    Raises:
        UsageError: The finished model there started from another one.
    """
    from roi_bench.training.rarl.rarl import train_rarl

    require_packages(recipe, "rarl")
    open_run(recipe, out)
    if not _is_done(out / "rarl", notify, model or _folder_there(out / "mft")):
        require_arguments(recipe, ("rarl",))
        train_rarl(recipe, out, model)
        _write_card("rarl", recipe, out)
    return out / "rarl"


def run_stages(recipe: Recipe, asked: Sequence[str], out: Path, notify: Notify, run: StageRunner | None = None) -> str:
    """Do all of a recipe: data, MFT and RARL, each in a process of its own, then the evaluation; return its tables.

    Args:
        recipe: The recipe.
        asked: The recipe's arguments for the command line of a stage: its name or file, and changed settings.
        out: Folder of the run.
        notify: Called with a line on each step.
        run: Runs a stage; by default what :func:`~roi_bench.training.stages.process.stage_runner` chooses.

    Raises:
        UsageError: Several processes were started, or an argument of a later stage is invalid.
        RoiBenchError: A stage failed; of the type that its exit code says.
        KeyboardInterrupt: Ctrl-C; the same command goes on from there.
    """
    _refuse_several_processes(
        "train run is the work of one process; with accelerate launch, give train mft, then train rarl"
    )
    run = run or stage_runner()
    require_arguments(recipe, ("mft", "rarl"))
    for stage in ("mft", "rarl", "evaluate"):
        require_packages(recipe, stage)
    open_run(recipe, out)
    for stage in ("data", "mft", "rarl"):
        notify(f"train {stage}")
        check_exit(run(["train", stage, *asked, "--out", str(out)]), f"train {stage}")
    return run_evaluation(recipe, out, notify, run=run)


def _refuse_several_processes(message: str) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(message)


def run_evaluation(
    recipe: Recipe, out: Path, notify: Notify, shipped: bool = False, run: StageRunner | None = None
) -> str:
    """Evaluate base, MFT and RARL with the benchmark itself; return the tables to print.

    The cards of the run's models get their measured tables; ``shipped`` evaluates the models of the package instead.

    Raises:
        UsageError: Several processes were started.
    """
    from roi_bench.training.stages.evaluation import evaluate_stages

    _refuse_several_processes("evaluation is the work of one process; give the command without accelerate launch")
    require_packages(recipe, "evaluate")
    open_run(recipe, out)
    folder = evaluate_stages(recipe, out, notify=notify, run=run, shipped=shipped)
    for stage in () if shipped else ("mft", "rarl"):
        _write_card(stage, recipe, out, folder / "stages.json")
    notify(f"tables and pictures: {folder}")
    return (folder / "stages.txt").read_text(encoding="utf-8")


def _write_card(stage: str, recipe: Recipe, out: Path, summary: Path | None = None) -> None:
    if is_main_process():
        record = json.loads((out / stage / "training.json").read_text(encoding="utf-8"))
        (out / stage / "README.md").write_text(card_of(stage, recipe, record, summary), encoding="utf-8")


def card_of(stage: str, recipe: Recipe, record: Mapping[str, Any], summary: Path | None = None) -> str:
    """Return the model card of a finished stage.

    Args:
        stage: ``mft`` or ``rarl``.
        recipe: The recipe of the run.
        record: Content of the stage's ``training.json``.
        summary: ``stages.json`` of an evaluation, for the measured table; None where there is none yet.
    """
    from roi_bench.training.stages.cards import Making, measured_tables, stage_card

    making = Making(
        command=_command(stage, recipe, record),
        data=record["data"],
        minutes=record["seconds"] / 60,
        device=record["device"],
        versions=record["versions"],
    )
    return stage_card(stage, recipe, making, measured_tables(summary, stage) if summary else None)


def _command(stage: str, recipe: Recipe, record: Mapping[str, Any]) -> str:
    """Return the command that makes the model: the recipe by name and seed if that gives it, else by its file.

    Of a folder that RARL started from in place of the MFT model, only the name is given.
    """
    named = recipe.name in recipe_names() and load_recipe(recipe.name, [f"seed={recipe.seed}"]) == recipe
    command = f"roi-bench train {stage} {recipe.name if named else 'recipe.yaml'} --out DIR"
    command += f" --set seed={recipe.seed}" if named else ""
    start = record.get("started_from")
    return command if start is None else f"{command} --model {Path(start).name if Path(start).is_dir() else start}"


def _folder_there(folder: Path) -> str | None:
    return str(folder) if folder.is_dir() else None


def _is_done(folder: Path, notify: Notify, start: str | None = None) -> bool:
    """Return whether a stage is finished; ``start`` is None if the model it started from no longer exists.

    Raises:
        UsageError: It is, and started from another model than ``start`` is now.
        RecordError: Its ``training.json`` cannot be read.
    """
    path = folder / "training.json"
    if not path.is_file():
        return False
    again = f"remove {folder} and {folder.name}-checkpoints beside it to train it again"
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get("inputs", {}).get("model to start from")
    except (ValueError, AttributeError) as error:
        raise RecordError(f"{path} is damaged; {again}") from error
    if start is not None and known is not None and known != start_of(start):
        raise UsageError(f"{folder} is finished, and started from another model than {start} is now; {again}")
    notify(f"{folder} is finished; {again}")
    return True
