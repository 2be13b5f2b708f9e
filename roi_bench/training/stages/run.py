"""The stages of a training run in its folder; each goes on, or is used, only with the settings that it depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, RecordError, UsageError
from roi_bench.machine import write_atomically
from roi_bench.training.plan.checks import require_arguments
from roi_bench.training.plan.recipe import (
    ASKED,
    Recipe,
    load_recipe,
    recipe_names,
    recipe_of_text,
    recipe_text,
    stage_settings,
)
from roi_bench.training.stages.model import check_settings_of, is_main_process, last_checkpoint, start_of
from roi_bench.training.stages.process import StageRunner, check_exit, stage_runner

Notify = Callable[[str], None]


SETTINGS = Path("data") / "settings.json"
"""File of a run with the settings that its data were made with."""


def open_run(recipe: Recipe, out: Path) -> None:
    """Make the folder of a run, and write the recipe of the newest command to ``recipe.yaml``.

    Whether what is there may be used, each stage decides by the settings that it depends on.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_main_process():
        write_atomically(out / "recipe.yaml", recipe_text(recipe).encode("utf-8"))


def check_stage(recipe: Recipe, out: Path, stage: str) -> None:
    """Make sure that what ``data`` or ``mft`` left in ``out``, if anything, was made with the recipe's settings.

    Raises:
        UsageError: It was made with others.
        RecordError: Its record is damaged, or of an older version.
    """
    if stage == "data":
        if (out / "data" / "examples" / "README.md").is_file():
            known = (
                _json(out / SETTINGS, "remove the folder data to make it again") if (out / SETTINGS).is_file() else None
            )
            check_settings_of(known, stage_settings(recipe, "data"), out / "data")
    elif (record := _record(out / stage)) is not None:
        check_settings_of(record.get("settings"), stage_settings(recipe, stage), out / stage)


def check_prompts(recipe: Recipe, out: Path) -> None:
    """Make sure that the trained stages in ``out`` were trained on the prompts that the recipe would ask them with.

    Raises:
        UsageError: They were not.
    """
    for stage in ("mft", "rarl"):
        known = (_record(out / stage) or {}).get("settings")
        if isinstance(known, dict):
            asked = stage_settings(recipe, stage)
            there, now = ({k: held[k] for k in held if k.split(".")[0] in ASKED} for held in (known, asked))
            check_settings_of(there, now, out / stage)


def _record(folder: Path) -> dict[str, Any] | None:
    """Return ``training.json`` of a finished stage, None if it is not finished."""
    path = folder / "training.json"
    return _json(path, _again(folder)) if path.is_file() else None


def _json(path: Path, advice: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RecordError(f"{path} is damaged; {advice}")
    return found


def _again(folder: Path) -> str:
    return f"remove {folder} and {folder.name}-checkpoints beside it to train it again"


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


def run_data(recipe: Recipe, out: Path, notify: Notify) -> Path:
    """Sample, label and build the examples, unless they are there; return their folder.

    Raises:
        UsageError: Several processes were started: sampling is the work of one.
    """
    from roi_bench.training.data import label_table, save_data
    from roi_bench.training.mft.mft import make_examples, make_labels

    require_packages(recipe, "mft")
    check_stage(recipe, out, "data")
    open_run(recipe, out)
    if not (out / "data" / "examples" / "README.md").is_file():
        _refuse_several_processes(
            f"there are no examples in {out} yet; make them with one process first: roi-bench train data {recipe.name} "
            f"--out {out}"
        )
        labels = make_labels(recipe, out)
        notify(label_table(labels))
        (out / "data").mkdir(exist_ok=True)
        write_atomically(out / SETTINGS, json.dumps(stage_settings(recipe, "data")).encode("utf-8"))
        save_data(recipe, labels, make_examples(recipe, labels), out)
    return out / "data"


def run_mft(recipe: Recipe, out: Path, notify: Notify) -> Path:
    """Build the examples (unless they are there) and train; return the model's folder.

    Examples that are there are taken as they are, so that they can be edited; evaluation problems in them are refused.
    """
    from roi_bench.training.data import load_examples, questions_of, refuse_evaluation_questions
    from roi_bench.training.mft.mft import train_mft

    require_packages(recipe, "mft")
    check_stage(recipe, out, "data")
    check_stage(recipe, out, "mft")
    open_run(recipe, out)
    if _record(out / "mft") is not None:
        notify(f"{out / 'mft'} is finished; {_again(out / 'mft')}")
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
        UsageError: The finished model there started from another one, or was made with other settings.
    """
    from roi_bench.training.rarl.rarl import train_rarl

    require_packages(recipe, "rarl")
    if model is None:
        check_stage(recipe, out, "mft")
    done = _rarl_is_done(recipe, out, notify, model or _folder_there(out / "mft"))
    open_run(recipe, out)
    if not done:
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
    if not shipped:
        check_prompts(recipe, out)
    open_run(recipe, out)
    folder = evaluate_stages(recipe, out, notify=notify, run=run, shipped=shipped)
    for stage in () if shipped else ("mft", "rarl"):
        _write_card(stage, recipe, out, folder / "stages.json")
    notify(f"tables and pictures: {folder}")
    return (folder / "stages.txt").read_text(encoding="utf-8")


def _write_card(stage: str, recipe: Recipe, out: Path, summary: Path | None = None) -> None:
    if is_main_process() and (record := _record(out / stage)) is not None:
        made_by = recipe_of_text(record["recipe"], str(out / stage / "training.json")) if "recipe" in record else recipe
        (out / stage / "README.md").write_text(card_of(stage, made_by, record, summary), encoding="utf-8")


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

    What the evaluation asks for changes no model. Of a folder that RARL started from in place of the MFT model, only
    the name is given.
    """
    named = recipe.name in recipe_names()
    if named:
        known = load_recipe(recipe.name, [f"seed={recipe.seed}"])
        named = all(stage_settings(known, name) == stage_settings(recipe, name) for name in ("data", "mft", "rarl"))
    command = f"roi-bench train {stage} {recipe.name if named else 'recipe.yaml'} --out DIR"
    command += f" --set seed={recipe.seed}" if named else ""
    start = record.get("started_from")
    return command if start is None else f"{command} --model {Path(start).name if Path(start).is_dir() else start}"


def _folder_there(folder: Path) -> str | None:
    return str(folder) if folder.is_dir() else None


def _rarl_is_done(recipe: Recipe, out: Path, notify: Notify, start: str | None) -> bool:
    """Return whether RARL is finished, with all the steps that the recipe asks for.

    Args:
        recipe: The recipe.
        out: Folder of the run.
        notify: Called with a line on what is there.
        start: Model to start from; None if the one that it started from no longer exists.

    Raises:
        UsageError: It is finished, and started from another model than ``start`` is now, or with other settings.
        RecordError: Its ``training.json`` is damaged or of an older version, or more steps have no checkpoint.
    """
    folder = out / "rarl"
    record = _record(folder)
    if record is None:
        return False
    inputs = record.get("inputs")
    known = inputs.get("model to start from") if isinstance(inputs, dict) else None
    if start is not None and known is not None and known != start_of(start):
        raise UsageError(f"{folder} is finished, and started from another model than {start} is now; {_again(folder)}")
    if not check_settings_of(record.get("settings"), stage_settings(recipe, "rarl"), folder):
        notify(f"{folder} is finished; {_again(folder)}")
        return True
    if last_checkpoint(out / "rarl-checkpoints") is None:
        raise RecordError(f"{folder} is finished, and has no checkpoints to go on from; {_again(folder)}")
    notify(f"{folder} goes on from step {record.get('steps')} to {recipe.rarl.steps}")
    return False
