"""vLLM as an engine: its scheduler gets every request, and each response is recorded when it is finished."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.errors import ModelError, UsageError
from roi_bench.harness.engines.local import LocalEngine, version_of
from roi_bench.harness.engines.metering import MeteredText
from roi_bench.harness.engines.protocol import Job, Request, exam_fields, fixed_batches
from roi_bench.machine import usable_cores
from roi_bench.records.journal import Entry
from roi_bench.scoring.tokens import FinishReason, Usage

# Waking a run whose vLLM engine was killed: vLLM notices, but does not wake the caller that waits for the next output.

SECONDS = 1.0
"""Time between two looks at the engine."""


@contextlib.contextmanager
def woken_if_killed(core: Any) -> Iterator[None]:
    """Within the block, end the wait for the engine's next output once its process is gone.

    If the system kills the engine's process for memory, vLLM's client (seen with 0.32) marks the engine as dead and
    ends the thread that reads its outputs, while ``LLMEngine.step`` still waits on the queue that this thread filled.
    An exception put into that queue is raised there, as vLLM's own ``EngineDeadError``.

    Args:
        core: vLLM's ``LLMEngine``. One without such a client (the engine in this process) is left alone.
    """
    client = getattr(core, "engine_core", None)
    resources, outputs = getattr(client, "resources", None), getattr(client, "outputs_queue", None)
    if outputs is None or resources is None or not hasattr(resources, "engine_dead"):
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            if resources.engine_dead:
                outputs.put_nowait(RuntimeError("the engine's process is gone"))
                return

    watching = threading.Thread(target=watch, name="roi-bench watches vLLM", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


WAITING = 4096
"""Requests given to the scheduler before some of them are finished; more would only take memory."""

FEW_CORES = 4
"""On so many cores or fewer, one left out costs a quarter of the speed or more."""

SECONDS_TO_END = 30
"""Seconds that vLLM's processes get to end by themselves; it would kill them after 5, sooner than their workers end."""

REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A request as given to vLLM: its prompt as token ids, sampling parameters and stop strings."""

    request: Request
    prompt: list[int]
    sampling: Any
    stops: list[str]


class VllmEngine(LocalEngine):
    """Engine for lm_eval's ``vllm``: drives vLLM's own engine step by step.

    lm_eval hands a batch to vLLM and waits for all of it. Here the scheduler has all requests from the beginning, and a
    response is on the disk as soon as it is finished, while others go on.

    Args:
        lm: A :class:`lm_eval.models.vllm_causallms.VLLM` with an engine in this process.
        seed: Seed of sampling, derived for each request; None sends none.
        at_once: Requests in the scheduler at once; None: all, it keeps as many running as its ``max_num_seqs`` allows.
    """

    def __init__(self, lm: Any, *, seed: int | None = None, at_once: int | None = None) -> None:
        self.lm = lm
        self._seed = seed
        self._at_once = at_once

    @property
    def facts(self) -> Mapping[str, Any]:
        """Version, number format, quantisation, parallelism, and how many requests run at once."""
        config = self.lm.model.llm_engine.vllm_config
        return {
            "name": "vllm",
            "version": version_of("vllm"),
            "torch": version_of("torch"),
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "quantization": config.model_config.quantization,
            "device": str(config.device_config.device_type),
            "max_model_len": config.model_config.max_model_len,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "pipeline_parallel_size": config.parallel_config.pipeline_parallel_size,
            "batch_size": self._at_once or config.scheduler_config.max_num_seqs,
            "batch_size_is_automatic": self._at_once is None,
        }

    def advice(self, requests: int) -> str | None:
        """Advise against a batch size that limits vLLM's scheduling, or to use all cores of a small machine."""
        config = self.lm.model.llm_engine.vllm_config
        running = config.scheduler_config.max_num_seqs
        if self._at_once is None or self._at_once >= min(requests, running):
            return _core_left_out(config)
        return (
            f"--batch_size {self._at_once} lets vLLM work on {self._at_once} requests at once; without it, it "
            f"schedules up to {running} by itself, which is faster"
        )

    def ask(self, job: Job) -> None:
        """Send the missing requests.

        Raises:
            ModelError: vLLM refused a request, or its engine died.
        """
        # Ids are positions in ``ordered``, the longest prompts first, as in lm_eval.
        core = self.lm.model.llm_engine
        ordered = [request for batch in fixed_batches(job.missing, len(job.missing) or 1, len) for request in batch]
        pending, waiting = dict(enumerate(self._schedule(ordered))), list(range(len(ordered)))[::-1]
        try:
            with woken_if_killed(core):
                while waiting or core.has_unfinished_requests():
                    # Keep the scheduler supplied before each step; it decides by itself how many run at once.
                    while waiting and core.get_num_unfinished_requests() < (self._at_once or WAITING):
                        self._add(core, waiting[-1], pending[waiting[-1]])
                        waiting.pop()
                    if finished := [output for output in core.step() if output.finished]:
                        job.record([self._entry(pending.pop(int(output.request_id)), output) for output in finished])
        except BaseException as error:
            if isinstance(error, _dead()):
                error.add_note("if the system killed it for memory, reduce its memory: see docs/engines.md")
            self._abort(core, list(pending))
            raise

    def close(self) -> None:
        """End vLLM's processes and wait for them, so that their last output comes before that of the run."""
        core = getattr(self.lm.model.llm_engine, "engine_core", None)
        if (shutdown := getattr(core, "shutdown", None)) is not None:
            takes_time = "timeout" in inspect.signature(shutdown).parameters
            shutdown(**({"timeout": SECONDS_TO_END} if takes_time else {}))

    def _schedule(self, requests: Sequence[Request]) -> Iterator[Scheduled]:
        """Yield what lm_eval would hand to vLLM: the same token ids, sampling parameters and stop strings."""
        from lm_eval.models.utils import maybe_truncate
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        lm, prompts = self.lm, [request.prompt for request in requests]
        end = lm.tokenizer.decode(lm.eot_token_id) or getattr(lm.tokenizer, "eos_token", None)
        for request, ids in zip(requests, lm.tok_encode(prompts), strict=True):
            generation = request.instance(self._seed).args[1]
            arguments, stops, budget = lm.modify_gen_kwargs(generation, eos=end, default_max_gen_toks=lm.max_gen_toks)
            ids, budget = maybe_truncate(ids, max_gen_toks=budget, max_model_len=lm.max_length, side=lm.truncation_side)
            sent = [stop for stop in stops if stop == end] if lm.think_end_token else stops
            try:
                sampling = SamplingParams(
                    max_tokens=budget, stop=sent, output_kind=RequestOutputKind.FINAL_ONLY, **arguments
                )
            except (TypeError, ValueError) as error:
                raise UsageError(f"vLLM does not take the generation arguments {arguments}: {error}") from error
            yield Scheduled(request, ids, sampling, stops)

    def _add(self, core: Any, number: int, scheduled: Scheduled) -> None:
        try:
            core.add_request(
                str(number),
                _rendered(core, scheduled.prompt),
                scheduled.sampling,
                lora_request=self.lm.lora_request,
            )
        except ValueError as error:
            raise ModelError(f"vLLM refused a prompt of {len(scheduled.prompt)} tokens: {error}") from error

    def _entry(self, scheduled: Scheduled, output: Any) -> Entry:
        """Return a finished output as a journal entry, without a response if the engine failed in the middle of it."""
        from lm_eval.models.utils import postprocess_generated_text

        completion, request = output.outputs[0], scheduled.request
        extra = {**exam_fields(request), "prompt_tokens": len(scheduled.prompt)}
        if completion.finish_reason not in REASONS:
            return Entry(request.key, None, None, {**extra, "error": f"vLLM: {completion.finish_reason}"})
        text = postprocess_generated_text(completion.text, scheduled.stops, self.lm.think_end_token)
        usage = Usage(len(completion.token_ids), REASONS[completion.finish_reason], "generated")
        return Entry(request.key, MeteredText(text, usage), usage, extra)

    def _abort(self, core: Any, numbers: Sequence[int]) -> None:
        """Abort the requests in flight, if the engine still responds."""
        try:
            core.abort_request([str(number) for number in numbers])
        except (_dead(), RuntimeError, OSError):
            return  # the engine is gone; the cause has been reported


def _core_left_out(config: Any) -> str | None:
    """Return how to make vLLM use all cores of a small machine; on a CPU it leaves one to its scheduler."""
    cores = usable_cores()
    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "auto")
    processes = config.parallel_config.tensor_parallel_size * config.parallel_config.pipeline_parallel_size
    if config.device_config.device_type != "cpu" or binding != "auto" or processes > 1:
        return None
    if not 1 < len(cores) <= FEW_CORES:
        return None
    names = ",".join(map(str, cores))
    return f"vLLM leaves a core out; with VLLM_CPU_OMP_THREADS_BIND={names} it computes on all {len(cores)}, and faster"


def _dead() -> type[Exception]:
    """Return the error class that vLLM raises when its engine is dead."""
    return getattr(sys.modules.get("vllm.v1.engine.exceptions"), "EngineDeadError", RuntimeError)


def _rendered(core: Any, prompt: list[int]) -> Any:
    """Return a prompt as vLLM's renderer passes it to the engine; vLLM is about to drop bare prompts."""
    bare = {"prompt_token_ids": prompt}
    renderer = getattr(core, "renderer", None)
    return bare if renderer is None else renderer.render_cmpl([bare])[0]
