"""Imports what the stages of a run need, in the process from which they are forked."""

from __future__ import annotations

import gc
import signal
from contextlib import suppress
from importlib import import_module

SHARED = (
    "datasets",
    "trl.trainer.sft_trainer",
    "trl.trainer.grpo_trainer",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
)
"""Modules that take seconds to import; torch, transformers, accelerate and peft come with them."""


def import_shared() -> None:
    """Import :data:`SHARED`, and exclude the new objects from later garbage collections.

    Modules that cannot be imported are left out: the stage that needs one reports the error. Ctrl-C meanwhile is left
    to the process that started this one.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    try:
        for name in SHARED:
            with suppress(Exception):
                import_module(name)
    finally:
        gc.freeze()
        gc.enable()
        signal.signal(signal.SIGINT, before)


import_shared()
