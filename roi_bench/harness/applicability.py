"""Which tasks a model can sit at all: an exam that it cannot sit is "not applicable", never scored 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.errors import ModelError
from roi_bench.harness.engines.protocol import Engine
from roi_bench.harness.task import RoiTask


def applicable_tasks(
    tasks: Sequence[Any], engine: Engine, gen_kwargs: Mapping[str, Any] | None
) -> tuple[list[Any], dict[str, str]]:
    """Return the tasks that ``engine`` can sit, and why it cannot sit the others, by name.

    Args:
        tasks: lm_eval tasks and groups, loaded.
        engine: The engine.
        gen_kwargs: Generation arguments of the command line.

    Raises:
        ModelError: It can sit none of them, or only with other parameters.
    """
    reasons: dict[str, str] = {}
    context = engine.facts.get("max_model_len")
    for task in budget_tasks(tasks):
        task.engine_context = context
        if gen_kwargs:
            task.set_config(key="generation_kwargs", value=dict(gen_kwargs), update=True)
        if reason := engine.why_not(task.config.generation_kwargs):
            reasons[str(task.config.task)] = reason
    if not reasons:
        return list(tasks), {}
    left = [task for task in _leaves(tasks) if str(task.config.task) not in reasons]
    if not left:
        name, reason = next(iter(reasons.items()))
        raise ModelError(f"not applicable, nothing was sent: {name}: {reason}")
    return left, reasons


def budget_tasks(tasks: Sequence[Any]) -> list[RoiTask]:
    """Return the tasks of this benchmark among ``tasks`` (names, where only integrity is checked, are none)."""
    return [task for task in _leaves(tasks) if isinstance(task, RoiTask)]


def _leaves(tasks: Sequence[Any]) -> list[Any]:
    return [leaf for item in tasks for leaf in (item.get_all_tasks() if hasattr(item, "get_all_tasks") else [item])]
