"""The processes of a launch (torchrun, accelerate): their ranks, sharing requests, merging results."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roi_bench.errors import ModelError, UsageError

FOREVER = timedelta(weeks=52)
"""How long a process waits for one that has more to generate; one that dies ends the waiting at once."""

MEETING = timedelta(minutes=30)
"""How long the first processes wait for the last one to load its model."""


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Rank of this process and number of processes, in the whole launch and on this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def place() -> ProcessRank:
    """Return this process's rank from the environment that torchrun sets (accelerate launches through it)."""
    local = _number("LOCAL_RANK", 0)
    return ProcessRank(_number("RANK", local), _number("WORLD_SIZE", 1), local, _number("LOCAL_WORLD_SIZE", 1))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default


class Processes:
    """The process group of a launch: each process asks its share of the requests, and the first gets all results.

    It replaces what lm_eval reads from a model (``rank``, ``world_size``, ``all_gather``, …), whose values do not
    hold here: hf counts the processes of one machine, and only on GPUs; vLLM always is process 0 of 1.

    Raises:
        ModelError: The other processes did not join.
    """

    device = "cpu"

    def __init__(self) -> None:
        import torch.distributed as dist

        here = place()
        self.rank, self.world_size = here.rank, here.size
        with self._lost():
            if not dist.is_initialized():
                store, rank, size = next(dist.rendezvous("env://", timeout=MEETING))
                dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=FOREVER)
            self._group = dist.new_group(backend="gloo", timeout=FOREVER)
        self.barrier()

    def all_gather(self, tensor: Any) -> Any:
        """Return the tensors of all processes, one after the other; numbers become a vector."""
        import torch

        return torch.cat([torch.atleast_1d(item) for item in self._gather_all(tensor.cpu())])

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """Return the objects of all processes on process ``dst``, None elsewhere."""
        import torch.distributed as dist

        found: list[Any] | None = [None] * self.world_size if self.rank == dst else None
        with self._lost():
            dist.gather_object(obj, found, dst=dst, group=self._group)
        return found

    def barrier(self) -> None:
        """Wait for all processes."""
        import torch.distributed as dist

        with self._lost():
            dist.barrier(group=self._group)

    def _gather_all(self, obj: Any) -> list[Any]:
        import torch.distributed as dist

        found = [None] * self.world_size
        with self._lost():
            dist.all_gather_object(found, obj, group=self._group)
        return found

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise ModelError(
                f"process {self.rank} of {self.world_size} cannot reach the others ({said}); finished responses are in "
                "their journals: see what the others say, and run the same command again to go on from there"
            ) from error


def processes_of(lm: Any, name: str, model_args: Mapping[str, Any]) -> Processes | None:
    """Return the processes that share the requests to ``lm``, or None where this one asks all that it gets.

    Raises:
        UsageError: Each process would pay for every request.
        ModelError: The other processes did not come.
    """
    from roi_bench.harness.engines.protocol import API, HUGGING_FACE, VLLM, is_a

    here = place()
    if here.size == 1 or is_one_model(model_args):
        return None
    if is_a(lm, HUGGING_FACE) or is_a(lm, VLLM):
        found = Processes()
        if lm.world_size > 1:
            lm._rank = here.rank  # lm_eval takes the local index, which is not unique over several machines
        return found
    line = (
        f"{here.size} processes were launched, and model {name!r} does not share its requests between them: each would "
        "send all of them; start it without torchrun and accelerate"
    )
    if is_a(lm, API):
        raise UsageError(line + ", it sends many at once by itself")
    if here.rank == 0 and lm.world_size == 1:
        sys.stderr.write(f"roi-bench: {line}\n")
    return None


def is_one_model(model_args: Mapping[str, Any]) -> bool:
    """Whether all processes together are one model (tensor parallelism under torchrun), each getting every request."""
    return bool(model_args.get("tp_plan")) or model_args.get("distributed_executor_backend") == "external_launcher"


@contextlib.contextmanager
def launch_hidden_from_vllm(model_args: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, hide the launch from vLLM, so that it loads on this process's GPUs only.

    vLLM reads ``LOCAL_RANK``; and where its own process groups meet over TCP, torch redirects them to torchrun's store.

    Raises:
        UsageError: There are not enough visible GPUs for all processes of this machine.
    """
    here = place()
    if here.size == 1 or is_one_model(model_args):
        yield
        return
    if here.local_size > 1 and (devices := own_devices(here, model_args, os.environ.get(DEVICES))):
        os.environ[DEVICES] = devices
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _is_of_the_launch(name)}
    try:
        yield
    finally:
        os.environ |= hidden


DEVICES = "CUDA_VISIBLE_DEVICES"
"""Environment variables that select vLLM's GPUs, NVIDIA's and AMD's."""


def own_devices(here: ProcessRank, model_args: Mapping[str, Any], visible: str | None) -> str | None:
    """Return the GPUs of a vLLM process as a value of ``CUDA_VISIBLE_DEVICES``; None: all that it sees.

    Args:
        here: Rank of the process.
        model_args: Model arguments, which say how many GPUs one copy of the model takes.
        visible: ``CUDA_VISIBLE_DEVICES`` as the launch set it.

    Raises:
        UsageError: There are not enough for all.
    """
    width, size = _width(model_args), here.local_size
    devices = visible.split(",") if visible else [str(index) for index in range(width * size)]
    if visible and len(devices) == width:
        return None
    if len(devices) < width * size:
        raise UsageError(
            f"{DEVICES}={visible}: {size} processes on this machine with {width} GPUs each want {width * size}; "
            "launch fewer processes, or make more GPUs visible"
        )
    return ",".join(devices[here.local_rank * width : (here.local_rank + 1) * width])


def _width(model_args: Mapping[str, Any]) -> int:
    return int(model_args.get("tensor_parallel_size", 1)) * int(model_args.get("pipeline_parallel_size", 1))


def _is_of_the_launch(name: str) -> bool:
    parts = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT")
    return name in parts or name.endswith("WORLD_SIZE") or name.startswith("TORCHELASTIC_")
