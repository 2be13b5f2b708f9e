"""The dry run: what a recipe needs, whether it is there, and what a run would do; no model's weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from roi_bench.errors import UsageError, nearest
from roi_bench.reference_training.plan_checks import (
    Finding,
    Installed,
    check_arguments,
    check_batches,
    check_data,
    check_versions,
    check_visible_gpus,
)
from roi_bench.reference_training.plan_model import look_at_model, memory_findings
from roi_bench.reference_training.recipe import Recipe
from roi_bench.reference_training.stage_model import launched_processes
from roi_bench.scoring.outcomes import level_bounds

PLANNED = {
    "data": frozenset({"mft"}),
    "mft": frozenset({"mft"}),
    "rarl": frozenset({"rarl"}),
    "evaluate": frozenset({"evaluate"}),
    "run": frozenset({"mft", "rarl", "evaluate"}),
}
"""What each command does; ``data`` is the first half of ``mft`` and trains nothing."""

EXAMS = 480
"""Exams of an evaluation task without a limit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, and what was found on the way.

    Attributes:
        name: Name of the recipe.
        stage: A key of :data:`PLANNED`.
        processes: Processes, one a device.
        findings: What was looked at.
        work: What would be done, in order: what, and how much of it.
    """

    name: str
    stage: str
    processes: int
    findings: tuple[Finding, ...]
    work: tuple[tuple[str, str], ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings because of which the run would stop."""
        return tuple(finding for finding in self.findings if finding.kind == "problem")


def make_plan(
    recipe: Recipe,
    stage: str,
    *,
    processes: int | None = None,
    device_bytes: int | None = None,
    installed: Installed | None = None,
) -> Plan:
    """Check a recipe against what is here, and return what a run of ``stage`` would do.

    Nothing is written. Problem pools may be downloaded, and of the model its configuration and tokenizer.

    Args:
        recipe: The recipe.
        stage: ``data``, ``mft``, ``rarl``, ``evaluate`` or ``run`` (``mft``, ``rarl``, ``evaluate``).
        processes: Processes, one a device; by default what ``accelerate launch`` set, else 1.
        device_bytes: Memory of a device; by default that of the first CUDA GPU, if there is one.
        installed: Says which version of a distribution is installed.

    Raises:
        UsageError: Unknown stage, or processes below 1.
    """
    from roi_bench.harness.installation import version

    if stage not in PLANNED:
        raise UsageError(f"unknown stage {stage!r}; {nearest(stage, list(PLANNED))}")
    if processes is None:
        processes = launched_processes()
    if processes < 1:
        raise UsageError(f"{processes} processes; give a number of at least 1")
    stages = PLANNED[stage]
    findings = list(check_versions(recipe, stages, installed or version))
    trained = frozenset() if stage == "data" else stages
    findings += check_arguments(recipe, trained)
    findings += check_data(recipe, stages)
    findings += check_batches(recipe, trained, processes)
    findings += check_visible_gpus(trained, processes)
    model_findings, facts = look_at_model(recipe)
    findings += model_findings
    findings += memory_findings(recipe, trained, facts, processes, device_bytes or _cuda_bytes())
    return Plan(recipe.name, stage, processes, tuple(findings), tuple(_work(recipe, stage)))


def _cuda_bytes() -> int | None:
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)


def plan_text(plan: Plan) -> str:
    """Return ``plan`` as text: a line a finding, then a line for each piece of work, then the verdict."""
    plural = "" if plan.processes == 1 else "es"
    lines = [f"Plan of recipe {plan.name!r}, {plan.stage}, {plan.processes} process{plural}", ""]
    lines += [f"{finding.kind:8} {finding.what}: {finding.detail}" for finding in plan.findings]
    lines += ["", "What would be done:"]
    lines += [f"  {what}: {how_much}" for what, how_much in plan.work]
    count = len(plan.problems)
    verdict = "nothing stands in the way" if not count else f"{count} problem{'s' * (count > 1)} to settle first"
    return "\n".join([*lines, "", f"Nothing was trained: {verdict}."])


def _work(recipe: Recipe, stage: str) -> Iterator[tuple[str, str]]:
    """Yield what would be done, and how much of it; tokens are upper bounds."""
    stages, total = PLANNED[stage], 0
    if "mft" in stages:
        sampled, work = _mft_work(recipe)
        total += sampled
        yield from work[: 2 if stage == "data" else None]
    if "rarl" in stages:
        generated, work = _rarl_work(recipe)
        total += generated
        yield from work
    if "evaluate" in stages:
        asked, line = _evaluation_work(recipe)
        total += asked
        yield "evaluation", line
    yield "tokens to generate", f"{total:,} at most"


def _mft_work(recipe: Recipe) -> tuple[int, list[tuple[str, str]]]:
    sampling, mft = recipe.sampling, recipe.mft
    asked = sampling.problems
    problems = asked.easy + asked.middle + asked.hard
    cap = sampling.cap or level_bounds("tiny" if recipe.family == "tiny" else "v1")[-1]
    samples = problems * sampling.samples
    examples = mft.singles + mft.exams + mft.solo
    steps = ceil(ceil(examples / mft.batch_size) * mft.epochs)
    return samples * cap, [
        ("samples", f"{problems:,} problems × {sampling.samples} = {samples:,} solutions of at most {cap:,} tokens"),
        ("MFT examples", f"at most {mft.singles:,} single problems, {mft.exams:,} exams, {mft.solo:,} without a level"),
        ("MFT steps", f"at most {steps:,} of {mft.batch_size} examples ({mft.epochs:g} epochs)"),
    ]


def _rarl_work(recipe: Recipe) -> tuple[int, list[tuple[str, str]]]:
    rarl, budget = recipe.rarl, recipe.budgets[-1]
    responses = rarl.prompts * rarl.generations
    work = [
        ("RARL steps", f"{rarl.steps:,} of {rarl.prompts} exams × {rarl.generations} = {responses} responses"),
        ("RARL responses", f"{rarl.steps * responses:,} of at most {budget:,} tokens"),
    ]
    held_out = 0
    if rarl.evaluate_every:
        times = rarl.steps // rarl.evaluate_every
        each = rarl.evaluation_exams * 2 * len(recipe.budgets)
        held_out = times * rarl.evaluation_exams * 2 * sum(recipe.budgets)
        parts = f"{rarl.evaluation_exams} exams × 2 orders × {len(recipe.budgets)} budgets"
        work.append(("RARL evaluations", f"{times} of {parts} = {each:,} responses"))
    return rarl.steps * responses * budget + held_out, work


def _evaluation_work(recipe: Recipe) -> tuple[int, str]:
    from roi_bench.exams.manifest import load_manifest
    from roi_bench.reference_training.stage_evaluation import MODES, STAGES, prompts_of_stage
    from roi_bench.scoring.kinds import KINDS
    from roi_bench.scoring.prompts import PROMPTS

    exams = min(recipe.evaluation.limit or EXAMS, EXAMS)
    problems = 3 * exams
    if recipe.family == "v1":  # hard problems come back in several exams
        problems = min(problems, len(load_manifest().problems))
    requests = sum(KINDS[PROMPTS[name].kind].requests for stage in STAGES for name in prompts_of_stage(recipe, stage))
    budgets, repeats, stages = recipe.budgets, recipe.evaluation.samples, len(STAGES)
    asked = requests * len(MODES) * exams
    alone = stages * problems * repeats
    responses = f"{asked * len(budgets):,} responses and {alone:,} solo samples"
    text = f"{stages} models, {exams} exams a task: at most {responses}"
    return asked * sum(budgets) + alone * budgets[-1], text
