"""The real ``lm_eval`` command in a process of its own, and several under ``accelerate launch``."""

from __future__ import annotations

import os
import socket
import subprocess

from tests.support.warm_process import run

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "ACCELERATE_USE_CPU": "true",
}


def lm_eval(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run lm_eval in one process, with further environment variables."""
    return python("-m", "lm_eval", *arguments, **environment)


def accelerate(processes: str, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` under ``accelerate launch`` in several processes on the CPU.

    ``--cpu`` starts one process only; ``--multi_gpu`` starts several, ``ACCELERATE_USE_CPU`` puts them on the CPU.
    """
    place = ("--num_processes", processes, "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    several = ("--multi_gpu", "--main_process_port", str(free_port())) if processes != "1" else ("--cpu",)
    return python("-m", "accelerate.commands.launch", *several, *place, "-m", module, *arguments)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in the repository's root."""
    return run(arguments, {**ENVIRONMENT, **environment})
