"""What a run of an API model cost, for its results file and its last lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.api.settings import ApiSettings
from roi_bench.api.spending import usd_text
from roi_bench.harness.api_requests import maybe_paid, paid
from roi_bench.records.journal import Journal
from roi_bench.scoring.costs import task_cost


def cost_of_run(samples: Mapping[str, Sequence[Mapping[str, Any]]], journal: Journal) -> dict[str, Any] | None:
    """Return the cost of the run and of each task; None where no response has a known cost.

    ``total_usd`` counts each response once, though tasks share those in easy order; ``lost_usd`` is what attempts whose
    response never came may have cost besides, at most. A task's ``usd`` is that of the responses that its score counts.
    """
    found = {name: task_cost(task) for name, task in samples.items()}
    tasks = {name: cost.as_document() for name, cost in found.items() if cost is not None}
    if not tasks and not maybe_paid(journal):
        return None
    return {"total_usd": paid(journal), "lost_usd": maybe_paid(journal), "tasks": tasks}


def cost_lines(cost: Mapping[str, Any] | None, model: Any) -> list[str]:
    """Return the cost of a run of ``model`` as lines to print; none for a model that costs no money."""
    if cost is None:
        settings = getattr(model, "settings", None)
        if not isinstance(settings, ApiSettings):
            return []
        known = getattr(model, "price", None) is not None
        return ["cost: none yet" if known else f"cost: unknown, as no price of {settings.model} is known"]
    lost = f", at most {usd_text(cost['lost_usd'])} more for lost attempts" if cost["lost_usd"] else ""
    lines = [f"cost: {usd_text(cost['total_usd'])} for all responses, easy order included{lost}"]
    for name, task in cost["tasks"].items():
        per_correct = task["usd_per_correct"]
        shown = "n/a" if per_correct is None else usd_text(per_correct)
        unknown = f", {task['unknown']} responses of unknown cost left out" if task["unknown"] else ""
        own = " in its own order" if task["usd_easy"] else ""
        lines.append(f"  {name}: {usd_text(task['usd'])}{own}, {shown} per correct answer{unknown}")
    return lines


def missing_lines(journal: Journal, most: int = 10) -> list[str]:
    """Return a line for each response that could not be had: which, and why."""
    missing = [entry for entry in journal.entries.values() if entry.response is None]
    lines = []
    for entry in missing[:most]:
        named = " ".join(str(entry.extra[name]) for name in ("exam", "order", "problem") if name in entry.extra)
        what = named or f"prompt {entry.key.prompt_sha256[:12]}…"
        lines.append(f"missing: {what}, sample {entry.key.sample}: {entry.extra.get('error', 'no response')}")
    if len(missing) > most:
        lines.append(f"missing: and {len(missing) - most} more")
    return lines
