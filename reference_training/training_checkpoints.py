"""Training that goes on from its checkpoints, and only from those of the same training."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roi_bench.errors import ModelError, RecordError, UsageError
from roi_bench.harness.run_identity import fingerprint
from roi_bench.machine import write_atomically

IDENTITY = "training.json"
"""File beside the checkpoints: what the training started from, and the seconds that it has taken so far."""


def is_main_process() -> bool:
    """Return whether this is the first of the processes that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a failure of torch says that memory ran out, on a GPU or a CPU."""
    return any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def start_of(model: str) -> str:
    """Return what identifies the weights that a stage starts from: a hash of the folder's files, or the hub's name."""
    return fingerprint(Path(model)) if Path(model).is_dir() else model


def train_to_the_end(trainer: Any, checkpoints: Path, lower: str, inputs: Mapping[str, str], patience: int = 0) -> int:
    """Train, from the newest complete checkpoint in ``checkpoints`` if there is one.

    Args:
        trainer: A Trainer.
        checkpoints: Its folder of checkpoints.
        lower: What to lower when memory runs out.
        inputs: What decides the outcome beside the recipe, by name: weights to start from, data.
        patience: Evaluations without a better one after which training ends; 0: it never does.

    Returns:
        Seconds of training, those before an interruption included.

    Raises:
        UsageError: The checkpoints are of a training with other inputs.
        RecordError: It is not known of which training they are.
        ModelError: Out of memory.
    """
    before = _claim(checkpoints, inputs)
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None and patience and _bad_evaluations(checkpoint) >= patience:
        _load_best(trainer, checkpoint)
        return before
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"out of memory; lower {lower} and run the same command again: it goes on from the checkpoints in "
            f"{checkpoints}. Or train adapters (lora: {{rank: 32}}) in another --out"
        ) from error
    finally:
        seconds = before + round(time.monotonic() - started)
        _write(checkpoints, inputs, seconds)
    return seconds


def last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete Trainer checkpoint in ``folder``, or None.

    ``trainer_state.json`` is what the Trainer writes last: a checkpoint without it was cut off.
    """
    complete = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.rpartition("-")[2]))) if complete else None


def _claim(checkpoints: Path, inputs: Mapping[str, str]) -> int:
    """Make sure that the checkpoints are of a training with these ``inputs``; return its seconds so far."""
    path = checkpoints / IDENTITY
    if not path.exists():
        if last_checkpoint(checkpoints) is not None:
            raise RecordError(
                f"{checkpoints} holds checkpoints and no {IDENTITY}, so that it cannot be told what they started from; "
                "remove the folder to train from the beginning"
            )
        _write(checkpoints, inputs, 0)
        return 0
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        there, seconds = dict(known["inputs"]), int(known["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is damaged; remove {checkpoints} to train from the beginning") from error
    if there != dict(inputs):
        changed = sorted(name for name in {*there, *inputs} if there.get(name) != inputs.get(name))
        raise UsageError(
            f"{checkpoints} holds checkpoints of a training with another {' and another '.join(changed)}; remove the "
            "folder to train from the beginning, or give another --out"
        )
    return seconds


def _write(checkpoints: Path, inputs: Mapping[str, str], seconds: int) -> None:
    if is_main_process():
        checkpoints.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"inputs": dict(inputs), "seconds": seconds}) + "\n"
        write_atomically(checkpoints / IDENTITY, content.encode("utf-8"))


def _load_best(trainer: Any, checkpoint: str) -> None:
    """Load what a training kept that had lost patience at ``checkpoint`` and died before its model was saved.

    The Trainer cannot go on without a further step, so that its own way of loading the best checkpoint is called.
    """
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    trainer._load_best_model()


def _bad_evaluations(checkpoint: str) -> int:
    """Return how many evaluations in a row had found nothing better when ``checkpoint`` was written."""
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    stored = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    first = stored[0] if isinstance(stored, list) else stored
    return int(first.get("attributes", {}).get("early_stopping_patience_counter", 0))
