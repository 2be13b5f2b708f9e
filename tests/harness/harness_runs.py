"""Running the harness in this process on a few tasks of ours, without its index of built-in tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import roi_bench

TASK_FOLDERS = [str(Path(roi_bench.__file__).parent / name) for name in ("tasks", "baselines/tasks")]


def evaluate(
    tasks: list[str], *, model: str = "hf", metadata: dict[str, Any] | None = None, **model_args: Any
) -> dict[str, Any]:
    """Run ``tasks`` on a model of the harness's registry and return its results with samples."""
    return simple_evaluate(tasks, model=model, model_args=model_args, metadata=metadata)


def simple_evaluate(
    tasks: list[str], *, model: Any, model_args: dict[str, Any], metadata: dict[str, Any] | None, **options: Any
) -> dict[str, Any]:
    """Call lm_eval as its command line does: model arguments and ``--metadata`` reach the tasks."""
    results = simple_evaluate_or_none(tasks, model=model, model_args=model_args, metadata=metadata, **options)
    if results is None:
        raise RuntimeError("lm_eval returned nothing on the main process")
    return results


def simple_evaluate_or_none(
    tasks: list[str], *, model: Any, model_args: dict[str, Any], metadata: dict[str, Any] | None, **options: Any
) -> dict[str, Any] | None:
    """Do the same in one of several processes; all but the first get None."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(
        include_path=TASK_FOLDERS, include_defaults=False, metadata={**model_args, **(metadata or {})}
    )
    results: dict[str, Any] | None = lm_eval.simple_evaluate(
        model=model, model_args=model_args, tasks=tasks, task_manager=manager, **options
    )
    return results
