"""The dry run: a recipe's requirements, whether they are met, and what a run would do; weights only for a probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from math import ceil
from time import monotonic
from typing import Any

from roi_bench.errors import DataError, ModelError, RoiBenchError, UsageError, first_line, nearest
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import exam_messages
from roi_bench.training.plan.checks import (
    Finding,
    Installed,
    Stages,
    check_arguments,
    check_batches,
    check_curriculum,
    check_data,
    check_versions,
    check_visible_gpus,
    launched_with,
)
from roi_bench.training.plan.memory_estimate import USABLE, Memory, Shape, Workload, estimate, shape_of
from roi_bench.training.plan.recipe import Recipe
from roi_bench.training.plan.rules import renamed_arguments
from roi_bench.training.rarl.rarl import HELD_OUT_ORDERS
from roi_bench.training.stages.model import (
    adapter_settings,
    base_model_name,
    launched_processes,
    load_model,
    load_tokenizer,
)

# A recipe's requirements for its model: context, chat template, memory; from the configuration, without weights.

PROMPT_EXAMS = 24
"""Training exams whose prompts are counted."""

UNKNOWN_PROMPT = 1000
"""Tokens of a prompt where none could be counted (a metacognitive prompt with three real problems has some 700)."""

GB = 1e9

SMALLEST_BFLOAT_RATE = 2e-5
"""Learning rate below which most updates of weights kept in bfloat16 round to nothing."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a model without its weights.

    Attributes:
        shape: Its shape; None if not available.
        prompt_tokens: Tokens of the longest exam prompt that was counted; None if none was.
    """

    shape: Shape | None
    prompt_tokens: int | None


def look_at_model(recipe: Recipe) -> tuple[list[Finding], ModelFacts]:
    """Read configuration and tokenizer, and judge context, vocabulary and chat template."""
    name = base_model_name(recipe)
    findings: list[Finding] = []
    shape = None
    try:
        shape = _load_shape(name)
    except ModelError as error:
        findings.append(Finding("problem", "model", str(error)))
    else:
        findings.append(Finding("ok", "model", f"{recipe.model}: {shape.parameters / 1e6:,.1f} million parameters"))
    try:
        tokenizer = load_tokenizer(name)
    except RoiBenchError as error:
        findings.append(Finding("problem", "tokenizer", first_line(error)))
        return findings, ModelFacts(shape, None)
    findings += _tokenizer_findings(recipe, tokenizer, shape)
    try:
        longest = _longest_prompt(recipe, tokenizer)
    except DataError:  # the pools have a finding of their own
        findings.append(Finding("warning", "prompts", f"not counted without problems; {UNKNOWN_PROMPT} tokens assumed"))
        longest = None
    facts = ModelFacts(shape, longest)
    if shape is not None and longest is not None:
        findings.append(_context_finding(recipe, shape, longest))
    return findings, facts


def _load_shape(name: str) -> Shape:
    """Return the shape of a model.

    Raises:
        ModelError: Its configuration is missing, or is not of a causal language model.
    """
    advice = "give a folder with config.json, or the name of a model on the hub that can be reached"
    try:
        from transformers import AutoConfig

        return shape_of(AutoConfig.from_pretrained(name))
    except ImportError as error:
        raise ModelError(f"{name}: checking the model needs transformers and accelerate ({error})") from error
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        reason = first_line(error)
        raise ModelError(f"cannot read the configuration of {name!r}: {reason}; {advice}") from error


def _tokenizer_findings(recipe: Recipe, tokenizer: Any, shape: Shape | None) -> Iterator[Finding]:
    if tokenizer.eos_token_id is None:
        detail = "it has no end-of-sequence token, so that no response would end; take another one"
        yield Finding("problem", "tokenizer", detail)
    if shape is not None and len(tokenizer) > shape.vocabulary:
        detail = f"{len(tokenizer)} entries, the model has {shape.vocabulary}: they do not belong together"
        yield Finding("problem", "tokenizer", detail)
    if recipe.chat and not tokenizer.chat_template:
        yield Finding("problem", "chat template", f"chat is true, {recipe.model} has none; set chat: false")
    elif not recipe.chat and tokenizer.chat_template and recipe.model != "tiny":
        detail = f"{recipe.model} has one and chat is false: its prompts are bare text; set chat: true for a chat model"
        yield Finding("warning", "chat template", detail)


def _longest_prompt(recipe: Recipe, tokenizer: Any) -> int:
    """Return the tokens of the longest of some exam prompts.

    Raises:
        DataError: A training pool is missing.
    """
    from roi_bench.training.data import RARL_STREAM, chat_wrapper, exam_stream, stream_seed

    longest = 0
    wrap = chat_wrapper(recipe if tokenizer.chat_template else replace(recipe, chat=False), tokenizer)
    for exam in islice(exam_stream(recipe.family, stream_seed(recipe.seed, RARL_STREAM)), PROMPT_EXAMS):
        questions = [problem.question for problem in exam.problems]
        asked = exam_messages(questions, recipe.budgets[-1], "metacognitive", level_bounds(exam.problems[0].pool))
        longest = max(longest, len(tokenizer(wrap(asked), add_special_tokens=False, verbose=False)["input_ids"]))
    return longest


def _context_finding(recipe: Recipe, shape: Shape, longest: int) -> Finding:
    budget = recipe.budgets[-1]
    what = f"longest of {PROMPT_EXAMS} exam prompts {longest} tokens + budget {budget} = {longest + budget}"
    holds = f"the model holds {shape.context}" if recipe.context is None else f"context is {recipe.context}"
    limit = min(filter(None, (shape.context, recipe.context)), default=None)
    if recipe.context is not None and shape.context is not None and recipe.context > shape.context:
        return Finding("problem", "context", f"{holds}, more than the model's {shape.context}; lower context")
    if limit is None:
        return Finding("warning", "context", f"{what}; the model does not say how much it holds")
    if longest + budget > limit:
        detail = f"{what}, {holds}; lower budgets, raise context, or take a model with a longer one"
        return Finding("problem", "context", detail)
    return Finding("ok", "context", f"{what}, {holds}")


def memory_findings(
    recipe: Recipe, stages: Stages, facts: ModelFacts, processes: int, device_bytes: int | None
) -> Iterator[Finding]:
    """Estimate the memory of each training stage on each device, and compare it with what the device has.

    Args:
        recipe: The recipe.
        stages: Which stages.
        facts: What is known of the model.
        processes: Processes, one a device.
        device_bytes: Memory of a device; None if there is none here, or it is not known.
    """
    quantised = recipe.lora is not None and recipe.lora.quantised
    if device_bytes is None and quantised:
        yield Finding("problem", "device", "lora.quantised needs a CUDA GPU, there is none; set lora.quantised: false")
    if device_bytes is None and "rarl" in stages and recipe.rarl.rollouts == "vllm":
        yield Finding("problem", "device", "rarl.rollouts: vllm needs a CUDA GPU; there is none")
    sharded = launched_with("FSDP") or launched_with("DEEPSPEED")
    if recipe.dtype == "bfloat16" and recipe.lora is None and not sharded:
        yield from _lost_updates(recipe, stages)
    if facts.shape is None:
        return
    shards = [processes] if sharded else sorted({1, processes})
    for stage in ("mft", "rarl"):
        for shared in shards if stage in stages else ():
            work = workload(recipe, stage, facts.prompt_tokens, processes, shared)
            yield _memory_finding(recipe, stage, work, estimate(facts.shape, work), device_bytes)


def _lost_updates(recipe: Recipe, stages: Stages) -> Iterator[Finding]:
    """Yield a warning for each stage whose steps are too small for weights in bfloat16.

    Adam moves a weight by about the learning rate; bfloat16 has 8 bits of precision, so that a weight of 0.01 moves in
    steps of 3e-5 to 6e-5 or not at all. Without float32 copies (FSDP and DeepSpeed keep them) smaller steps are lost.
    """
    for stage, rate in (("mft", recipe.rate("mft")), ("rarl", recipe.rate("rarl"))):
        if stage in stages and rate < SMALLEST_BFLOAT_RATE:
            detail = f"steps of {rate:g} are lost in weights of dtype bfloat16; set dtype: float32 and bf16: true under"
            yield Finding("warning", f"{stage}.learning_rate", f"{detail} {stage}.trainer (mixed precision)")


def workload(recipe: Recipe, stage: str, prompt_tokens: int | None, processes: int, shared: int) -> Workload:
    """Return what a device holds in ``mft`` or ``rarl``, its states shared out over ``shared`` processes."""
    rarl, lora = recipe.rarl, recipe.lora
    sequences, trainer = recipe.mft.device_batch_size, recipe.mft.trainer
    rollouts = 0
    if stage == "rarl":
        sequences, trainer = rarl.device_batch_size, rarl.trainer
        if rarl.rollouts == "transformers":
            rollouts = -(-rarl.prompts * rarl.generations // processes)
    newer = renamed_arguments(trainer, {"activation_checkpointing"})
    return Workload(
        sequences=sequences,
        tokens=(prompt_tokens or UNKNOWN_PROMPT) + recipe.budgets[-1],
        scored=recipe.budgets[-1],
        rollouts=rollouts,
        weights=recipe.dtype,
        autocast=trainer.get("bf16") is True or trainer.get("fp16") is True,
        adapter_rank=lora.rank if lora else 0,
        quantised=lora is not None and lora.quantised,
        processes=shared,
        checkpointing=bool(newer.get("activation_checkpointing", True)),  # on a GPU the default is true
        fused_head=_fused_head(),
    )


def _fused_head() -> bool:
    """Tell whether this TRL computes logits in tiles."""
    try:
        return find_spec("trl.kernels.chunked_logprob") is not None
    except ImportError:
        return False


def _memory_finding(recipe: Recipe, stage: str, work: Workload, memory: Memory, device_bytes: int | None) -> Finding:
    what = f"{stage} memory"
    if work.processes > 1:
        what += f", states shared out over {work.processes} processes"
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "Adam": memory.optimizer,
        "copies": memory.copies,
        "activations": memory.activations,
        "logits": memory.logits,
        "generation": memory.cache,
    }
    text = ", ".join(f"{name} {size / GB:.2f}" for name, size in parts.items() if size)
    detail = f"about {memory.peak / GB:.1f} GB on each device at worst ({text})"
    reserved = 0.0
    trainer = recipe.rarl.trainer
    if stage == "rarl" and recipe.rarl.rollouts == "vllm" and not trainer.get("vllm_enable_sleep_mode", False):
        reserved = recipe.vllm.beside_training
        detail += f", beside {reserved:.0%} of the device for vLLM"
    if device_bytes is None:
        return Finding("ok", what, detail)
    room = device_bytes * max(0.0, min(USABLE, 1.0 - reserved))
    detail += f"; usable are {room / GB:.1f} of {device_bytes / GB:.1f} GB"
    if memory.peak <= room:
        return Finding("ok", what, detail)
    return Finding("warning", what, f"{detail}: {_what_to_lower(stage, work, memory)}")


def _what_to_lower(stage: str, work: Workload, memory: Memory) -> str:
    """Return the advice about the largest part."""
    if memory.states >= max(memory.activations + memory.logits, memory.cache):
        return "train adapters (lora: {rank: 32}, quantised: true), or share the states out (FSDP, ZeRO-3)"
    if memory.cache > memory.activations + memory.logits:
        return "lower rarl.prompts or rarl.generations, or set rarl.rollouts: vllm"
    if not work.checkpointing:
        return f"switch gradient checkpointing on under {stage}.trainer, or lower {stage}.device_batch_size"
    return f"lower {stage}.device_batch_size"


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
    """The plan of a run, with the findings of its checks.

    Attributes:
        name: Name of the recipe.
        stage: A key of :data:`PLANNED`.
        processes: Processes, one a device.
        findings: Results of the checks.
        work: The work in order: what, and how much.
        hours: What each piece of work takes at most at the rates of a probe; empty without one.
    """

    name: str
    stage: str
    processes: int
    findings: tuple[Finding, ...]
    work: tuple[tuple[str, str], ...]
    hours: tuple[tuple[str, str], ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that would stop the run."""
        return tuple(finding for finding in self.findings if finding.kind == "problem")


def make_plan(
    recipe: Recipe,
    stage: str,
    *,
    processes: int | None = None,
    device_bytes: int | None = None,
    installed: Installed | None = None,
    rates: Rates | None = None,
) -> Plan:
    """Check a recipe on this machine, and return the plan of a run of ``stage``.

    Nothing is written. Problem pools may be downloaded, and of the model its configuration and tokenizer.

    Args:
        recipe: The recipe.
        stage: ``data``, ``mft``, ``rarl``, ``evaluate`` or ``run`` (``mft``, ``rarl``, ``evaluate``).
        processes: Processes, one a device; by default what ``accelerate launch`` set, else 1.
        device_bytes: Memory of a device; by default that of the first CUDA GPU, if there is one.
        installed: Says which version of a distribution is installed.
        rates: Rates that :func:`probe` measured, for an estimate of the time.

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
    findings += check_curriculum(recipe, trained)
    findings += check_batches(recipe, trained, processes)
    findings += check_visible_gpus(trained, processes)
    model_findings, facts = look_at_model(recipe)
    findings += model_findings
    findings += memory_findings(recipe, trained, facts, processes, device_bytes or _cuda_bytes())
    hours = () if rates is None else tuple(_hours(recipe, stage, rates, facts.prompt_tokens or UNKNOWN_PROMPT))
    return Plan(recipe.name, stage, processes, tuple(findings), tuple(_work(recipe, stage)), hours)


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
    lines += [f"  {what}: {how_long}" for what, how_long in plan.hours]
    count = len(plan.problems)
    verdict = "no problem was found" if not count else f"{count} problem{'s' * (count > 1)} to settle first"
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
        ("MFT orders", mft.orders.text()),
        ("MFT steps", f"at most {steps:,} of {mft.batch_size} examples ({mft.epochs:g} epochs)"),
    ]


def _rarl_work(recipe: Recipe) -> tuple[int, list[tuple[str, str]]]:
    rarl, budget = recipe.rarl, recipe.budgets[-1]
    responses = rarl.prompts * rarl.generations
    work = [
        ("RARL steps", f"{rarl.steps:,} of {rarl.prompts} exams × {rarl.generations} = {responses} responses"),
        ("RARL orders", rarl.orders.text()),
        ("RARL responses", f"{rarl.steps * responses:,} of at most {budget:,} tokens"),
    ]
    held_out = 0
    if rarl.evaluate_every:
        times = rarl.steps // rarl.evaluate_every
        orders = len(HELD_OUT_ORDERS)
        each = rarl.evaluation_exams * orders * len(recipe.budgets)
        held_out = times * rarl.evaluation_exams * orders * sum(recipe.budgets)
        parts = f"{rarl.evaluation_exams} exams × {orders} orders × {len(recipe.budgets)} budgets"
        work.append(("RARL evaluations", f"{times} of {parts} = {each:,} responses"))
    return rarl.steps * responses * budget + held_out, work


def _evaluation_work(recipe: Recipe) -> tuple[int, str]:
    from roi_bench.exams.manifest import load_manifest
    from roi_bench.scoring.kinds import KINDS
    from roi_bench.scoring.prompts import PROMPTS
    from roi_bench.training.stages.evaluation import EVALUATED_ORDERS, STAGES, prompts_of_stage

    exams = min(recipe.evaluation.limit or EXAMS, EXAMS)
    problems = 3 * exams
    if recipe.family == "v1":  # hard problems come back in several exams
        problems = min(problems, len(load_manifest().problems))
    requests = sum(KINDS[PROMPTS[name].kind].requests for stage in STAGES for name in prompts_of_stage(recipe, stage))
    budgets, repeats, stages = recipe.budgets, recipe.evaluation.samples, len(STAGES)
    asked = requests * len(EVALUATED_ORDERS) * exams
    alone = stages * problems * repeats
    responses = f"{asked * len(budgets):,} responses and {alone:,} solo samples"
    text = f"{stages} models, {exams} exams a task: at most {responses}"
    return asked * sum(budgets) + alone * budgets[-1], text


# The probe: how fast this machine generates and trains, measured for some seconds with the recipe's own model.

PROBE_SECONDS = 20.0
"""Seconds that a probe takes, half of them for generation; loading the model comes on top."""

PROBE_ROWS = 64
"""Most responses that a probe generates at once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured rates of transformers on one device.

    Attributes:
        generated: Tokens generated a second, over all responses of a batch.
        trained: Tokens, prompts included, that forward and backward passes take a second.
    """

    generated: float
    trained: float


def probe(recipe: Recipe, seconds: float = PROBE_SECONDS) -> Rates:
    """Measure how fast the base model generates responses to an exam, and trains on one.

    Raises:
        ModelError: The model cannot be loaded, or does not fit.
        DataError: A training pool is missing.
    """
    from roi_bench.training.data import RARL_STREAM, chat_wrapper, exam_stream, stream_seed
    from roi_bench.training.mft.mft import on_gpu, prompt_tokens

    name = base_model_name(recipe)
    tokenizer = load_tokenizer(name)
    exam = next(exam_stream(recipe.family, stream_seed(recipe.seed, RARL_STREAM)))
    asked = exam_messages(
        [problem.question for problem in exam.problems],
        recipe.budgets[-1],
        "metacognitive",
        level_bounds(exam.problems[0].pool),
    )
    (ids,) = prompt_tokens([chat_wrapper(recipe, tokenizer)(asked)], tokenizer)
    model = on_gpu(load_model(name, recipe).eval())
    rows = min(PROBE_ROWS, recipe.rarl.prompts * recipe.rarl.generations)
    generated = _generated_rate(model, ids, rows, recipe.budgets[-1], tokenizer.pad_token_id, seconds / 2)
    if recipe.lora is not None:
        from peft import get_peft_model

        model = get_peft_model(model, adapter_settings(recipe.lora))
    sequence = [*ids, *ids[-1:] * recipe.budgets[-1]]
    return Rates(generated, _trained_rate(model, sequence, recipe.mft.device_batch_size, seconds / 2))


def _generated_rate(model: Any, ids: list[int], rows: int, budget: int, pad: int, seconds: float) -> float:
    """Return tokens generated a second: the difference between a longer and a shorter run, so without the prompt."""
    import torch

    from roi_bench.training.rarl.budget_trainer import generate

    begun, limit, known, rate = monotonic(), 4, None, 0.0
    while True:
        started = monotonic()
        with torch.inference_mode():
            generate(model, [ids] * rows, [limit] * rows, [-1], pad, 1.0)  # no id ends a response
        took = monotonic() - started
        if known is not None:
            rate = rows * (limit - known[0]) / max(took - known[1], 1e-6)
            if monotonic() - begun >= seconds or limit >= budget:
                return rate
        known, limit = (limit, took), min(2 * limit, max(budget, limit + 1))


def _trained_rate(model: Any, ids: list[int], most: int, seconds: float) -> float:
    """Return tokens a second of forward and backward passes, over as many sequences at once as there is time for."""
    import torch

    model.train()
    begun, rows, rate = monotonic(), 1, 0.0
    while True:
        batch, started = torch.tensor([ids] * rows, device=model.device), monotonic()
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        loss.item()  # a GPU has finished then
        model.zero_grad(set_to_none=True)
        took = monotonic() - started
        rate = rows * len(ids) / took
        left = seconds - (monotonic() - begun)
        if left < took:
            return rate
        if rows < most and left > 2 * took:
            rows = min(2 * rows, most)


def _hours(recipe: Recipe, stage: str, rates: Rates, prompt: int) -> Iterator[tuple[str, str]]:
    """Yield what each piece of work takes at most: its upper bound of tokens at the rates of a probe."""
    stages, sequence = PLANNED[stage], prompt + recipe.budgets[-1]
    yield "measured", f"{rates.generated:,.0f} tokens a second generated, {rates.trained:,.0f} trained, by transformers"
    if "mft" in stages:
        examples = ceil((recipe.mft.singles + recipe.mft.exams + recipe.mft.solo) * recipe.mft.epochs)
        yield "time for samples", _time(_mft_work(recipe)[0] / rates.generated)
        if stage != "data":
            yield "time for MFT", _time(examples * sequence / rates.trained)
    if "rarl" in stages:
        responses = recipe.rarl.steps * recipe.rarl.prompts * recipe.rarl.generations
        yield "time for RARL", _time(_rarl_work(recipe)[0] / rates.generated + responses * sequence / rates.trained)
    if "evaluate" in stages:
        yield "time for the evaluation", _time(_evaluation_work(recipe)[0] / rates.generated)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours at most" if seconds >= 5400 else f"{seconds / 60:.1f} minutes at most"
