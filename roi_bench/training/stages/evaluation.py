"""Evaluation of a training run by the benchmark itself: the ordinary tasks on base, MFT and RARL, as `roi-bench run`.

Each call of ``roi-bench run`` is a process of its own, so that a model's memory is free before the next one is loaded,
and so that an interrupted evaluation goes on from the journals when the same command is given again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, RecordError, UsageError, nearest
from roi_bench.exams import tiny
from roi_bench.exams.sets import load_exams
from roi_bench.scoring.kinds import solo_problems
from roi_bench.training.mft.mft import vllm_settings
from roi_bench.training.plan.recipe import Recipe
from roi_bench.training.stages.process import StageRunner, check_exit, stage_runner

STAGES = ("base", "mft", "rarl")
"""The models of a training run, in the order in which they come about."""

EVALUATED_ORDERS = ("medium", "hard")
"""Orders that are asked; each task asks the easy order beside its own."""

STAGE_PROMPTS = {
    "base": ("direct", "plan_and_solve", "least_to_most", "metacognitive"),
    "mft": ("metacognitive", "greedy_knapsack"),
    "rarl": ("metacognitive",),
}
"""How each stage is asked: as it is meant to be, then as the baselines ask."""

TASK_STEMS = {"tiny": "roi_tiny", "v1": "roi_exam", "fresh": "roi_fresh"}
SOLO_STEMS = {"tiny": "roi_tiny_solo", "v1": "roi_solo", "fresh": "roi_fresh_solo"}
"""How the names of a family's tasks begin: exams, and problems alone."""

NAMED_BUDGETS = {"tiny": tiny.TINY_BUDGETS, "v1": (512, 1024), "fresh": (512, 1024)}
"""Budgets that a family's tasks have in their names; others go through ``--metadata``."""

RESULTS = "results"
"""Folder of the results within an evaluation's, with one folder a stage."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ``roi-bench run``.

    Attributes:
        stage: Stage whose model is asked.
        tasks: Task names.
        metadata: Settings that differ from the task names: ``budget``, ``repeats``.
        limit: Documents of each task; None for all.
    """

    stage: str
    tasks: tuple[str, ...]
    metadata: Mapping[str, int]
    limit: int | None


def evaluate_stages(
    recipe: Recipe,
    out: Path,
    stages: Sequence[str] = STAGES,
    notify: Callable[[str], None] = lambda _: None,
    run: StageRunner | None = None,
    *,
    shipped: bool = False,
) -> Path:
    """Evaluate the stages of the training run in ``out`` and return the folder with the outcome.

    It holds ``results/`` (as ``roi-bench run`` writes them, by stage), ``report/`` (as ``roi-bench report`` writes it),
    and ``stages.txt``, ``stages.md``, ``stages.csv``, ``aims.csv`` and ``stages.json``, the summary.

    Args:
        recipe: The recipe of the training run.
        out: Its folder.
        stages: Which of :data:`STAGES`.
        notify: Called with a line on each step.
        run: Runs a command; by default what :func:`~roi_bench.training.stages.process.stage_runner` chooses.
        shipped: Evaluate the tiny models that come with the package in place of those in ``out``.

    Raises:
        UsageError: An unknown stage, a model that has not been made yet, or ``shipped`` for another than the tiny one.
        RoiBenchError: A call failed; of the type that its exit code says.
        KeyboardInterrupt: Ctrl-C; the same command goes on from there.
    """
    chosen = check_stages(stages)
    if shipped and recipe.model != "tiny":
        raise UsageError(
            f"--shipped evaluates the tiny models of the package; recipe {recipe.name} is of {recipe.model!r}"
        )
    models = {stage: model_of_stage(recipe, out, stage, shipped) for stage in chosen}
    evaluation = (out / "evaluation").resolve()
    for budget in recipe.budgets:
        if budget not in NAMED_BUDGETS[recipe.family]:
            notify(f"no task is named after the budget of {budget} tokens; its results are labelled budget={budget}")
    cuda = recipe.evaluation.backend != "hf" or _has_cuda()
    run = run or stage_runner()
    files: dict[str, list[Path]] = {}
    calls = [call for stage in chosen for call in stage_calls(recipe, stage)]
    for number, call in enumerate(calls, start=1):
        what = call.tasks[0] if len(call.tasks) == 1 else f"{len(call.tasks)} tasks"
        notify(f"evaluation {number} of {len(calls)}, {call.stage}: {what}")
        results = evaluation / RESULTS / call.stage
        command = stage_command(recipe, call, models[call.stage], results, cuda=cuda)
        files.setdefault(call.stage, []).append(_run_call(call.stage, command, results, run))
    from roi_bench.training.stages.report import write_stage_report

    write_stage_report(recipe, files, evaluation, notify)
    return evaluation


def check_stages(stages: Sequence[str]) -> tuple[str, ...]:
    """Return ``stages``, each once and in the order of :data:`STAGES`.

    Raises:
        UsageError: One is unknown, or there are none.
    """
    for stage in stages:
        if stage not in STAGES:
            raise UsageError(f"unknown stage {stage!r}; {nearest(stage, STAGES)}")
    if not stages:
        raise UsageError(f"no stage to evaluate; name some of {', '.join(STAGES)}")
    return tuple(stage for stage in STAGES if stage in stages)


def model_of_stage(recipe: Recipe, out: Path, stage: str, shipped: bool = False) -> str:
    """Return the model of a stage: a folder (absolute), or a name on the hub.

    Args:
        recipe: The recipe.
        out: Folder of the run.
        stage: One of :data:`STAGES`.
        shipped: Take the tiny models that come with the package in place of those in ``out``.

    Raises:
        UsageError: The stage has not been trained yet.
    """
    if shipped:
        return str(tiny.model_path(stage))
    if stage == "base":
        if recipe.model == "tiny":
            return str(tiny.model_path())
        return str(Path(recipe.model).resolve()) if Path(recipe.model).is_dir() else recipe.model
    folder = out / stage
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no model there; make it first: roi-bench train {stage} RECIPE --out {out}")
    return str(folder.resolve())


def stage_calls(recipe: Recipe, stage: str) -> list[Call]:
    """Return the calls that evaluate one stage: named budgets together, each other budget, then problems alone.

    ``--metadata`` counts for all tasks of a call, so that what needs it has a call of its own.
    """
    limit, named = recipe.evaluation.limit, NAMED_BUDGETS[recipe.family]
    usual = [budget for budget in recipe.budgets if budget in named]
    calls = [Call(stage, _exam_tasks(recipe, stage, usual), {}, limit)] if usual else []
    others = [budget for budget in recipe.budgets if budget not in named]
    tasks = _exam_tasks(recipe, stage, [max(named)])
    calls += [Call(stage, tasks, {"budget": budget}, limit) for budget in others]
    if recipe.evaluation.samples > 0:
        cap = max(recipe.budgets)
        metadata = {"repeats": recipe.evaluation.samples, **({} if cap in named else {"budget": cap})}
        name = f"{SOLO_STEMS[recipe.family]}_{cap if cap in named else max(named)}"
        calls.append(Call(stage, (name,), metadata, _solo_limit(recipe)))
    return calls


def prompts_of_stage(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """Return the prompts of a stage's exams; without baselines only the stage's own."""
    return STAGE_PROMPTS[stage] if recipe.evaluation.baselines else STAGE_PROMPTS[stage][:1]


def _exam_tasks(recipe: Recipe, stage: str, budgets: Sequence[int]) -> tuple[str, ...]:
    return tuple(
        f"{TASK_STEMS[recipe.family]}_{order}_{budget}{'' if prompt == 'direct' else f'_{prompt}'}"
        for budget in budgets
        for order in EVALUATED_ORDERS
        for prompt in prompts_of_stage(recipe, stage)
    )


def _solo_limit(recipe: Recipe) -> int | None:
    """Return the number of problems in the evaluated exams; solo tasks take them in the order of the exams."""
    limit = recipe.evaluation.limit
    return None if limit is None else len(solo_problems(load_exams(recipe.family)[:limit]))


def stage_command(recipe: Recipe, call: Call, model: str, results: Path, *, cuda: bool) -> list[str]:
    """Return the command line of a call, as arguments of ``roi-bench``.

    Args:
        recipe: The recipe.
        call: The call.
        model: Folder or name of the stage's model.
        results: Where results go.
        cuda: Whether the backend finds a device by itself; false asks for the CPU.
    """
    arguments: dict[str, Any] = {"pretrained": model, "dtype": recipe.dtype, **recipe.evaluation.model_args}
    arguments |= _everywhere(recipe)
    command = ["run", "--model", recipe.evaluation.backend]
    command += ["--model_args", json.dumps(arguments), "--tasks", ",".join(call.tasks)]
    command += ["--batch_size", str(recipe.evaluation.batch_size), "--log_samples", "--output_path", str(results)]
    command += [] if cuda else ["--device", "cpu"]
    command += ["--apply_chat_template"] if recipe.chat else []
    command += ["--system_instruction", recipe.system_prompt] if recipe.system_prompt else []
    command += ["--limit", str(call.limit)] if call.limit is not None else []
    command += ["--metadata", json.dumps(dict(call.metadata))] if call.metadata else []
    return command


def _everywhere(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of the whole recipe as arguments of lm_eval's model."""
    arguments: dict[str, Any] = {}
    if recipe.evaluation.backend == "vllm":
        arguments |= vllm_settings(recipe)
    else:
        if recipe.context is not None:
            arguments["max_length"] = recipe.context
        if recipe.attn_implementation is not None:
            arguments["attn_implementation"] = recipe.attn_implementation
    if recipe.chat_template_kwargs:
        arguments["chat_template_args"] = dict(recipe.chat_template_kwargs)
    return arguments


def _run_call(stage: str, command: list[str], results: Path, run: StageRunner) -> Path:
    """Run a call and return its results file.

    Earlier results in the folder may be of another model or recipe, so only the file that is new counts.

    Raises:
        RoiBenchError: The call failed, or left no results.
        KeyboardInterrupt: It was interrupted.
    """
    before = set(results.rglob("results_*.json"))
    code = run(command)
    check_exit(code, f"the evaluation of {stage}")
    new = sorted(set(results.rglob("results_*.json")) - before)
    if len(new) != 1:
        raise RecordError(
            f"{results}: the evaluation of {stage} left {len(new)} new results files, not one; is another evaluation "
            "writing there?"
        )
    return new[0]


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError as error:
        raise DependencyError("evaluation needs torch; install it: pip install 'roi-bench[train]'") from error
    return bool(torch.cuda.is_available())
