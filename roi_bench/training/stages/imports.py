"""Importing this imports what the stages of a run need: it is the whole work of the process they are forked from."""

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
    """Import :data:`SHARED`, and keep what that made out of later garbage collections.

    What cannot be imported is left out: the stage that needs it says what is wrong. Ctrl-C meanwhile is left to the
    process that started this one.
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
