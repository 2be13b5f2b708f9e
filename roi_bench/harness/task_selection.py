"""Finding tasks by name without indexing the 14,000 that come with lm_eval, unless one of those is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roi_bench.errors import UsageError, nearest
from roi_bench.harness.bridge import task_folders

OUR_PREFIX = "roi_"
"""Every task name of ours begins so; a name that does and is unknown is misspelt, wherever else one might look."""


def select_tasks(names: Sequence[Any], include_path: str | None, metadata: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return an lm_eval ``TaskManager`` that knows ``names``, and the names (patterns expanded) or configurations.

    Args:
        names: Task, group or tag names, patterns, YAML files, or one folder of these.
        include_path: The user's own folder of tasks.
        metadata: Handed to every task.

    Raises:
        UsageError: A name is unknown.
    """
    from lm_eval.tasks import TaskManager

    folders: list[str | Path] = [*task_folders(), *([include_path] if include_path else [])]
    for defaults in (False, True):
        manager = TaskManager(include_path=folders, include_defaults=defaults, metadata=metadata)
        found = {str(name): _find(str(name), manager) for name in names}
        unknown = [name for name, matches in found.items() if not matches]
        if misspelt := [name for name in unknown if defaults or name.startswith(OUR_PREFIX)]:
            known = [name for name in manager.all_tasks if defaults or name.startswith(OUR_PREFIX)]
            raise UsageError(
                f"unknown task {misspelt[0]!r}; {_other_budget(misspelt[0], known)}{nearest(misspelt[0], known)}"
            )
        if not unknown:
            break
    selected: list[Any] = []
    for matches in found.values():
        selected += [match for match in matches if match not in selected]
    return manager, selected


def _other_budget(name: str, known: Sequence[str]) -> str:
    """Return how to ask for the budget that ends ``name``, if only the budget is unknown."""
    stem, _, budget = name.rpartition("_")
    of_stem = [task for task in known if task.rpartition("_")[0] == stem]
    if not budget.isdigit() or not of_stem:
        return ""
    return f"for another budget use --tasks {of_stem[0]} --metadata '{{\"budget\": {budget}}}'; "


def _find(name: str, manager: Any) -> list[Any]:
    """Return the tasks that ``name`` means: registered ones, else those of a file, a pattern of files, or a folder."""
    from glob import glob

    from lm_eval.tasks._yaml_loader import load_yaml

    if not name.endswith(".yaml"):
        registered: list[Any] = manager.match_tasks([name])
        if registered or not Path(name).is_dir():
            return registered
        name = str(Path(name) / "*.yaml")
    return [load_yaml(file, resolve_func=True) for file in sorted(glob(name))]  # noqa: PTH207 - patterns may be absolute


def load_tasks(manager: Any, selected: Sequence[Any]) -> list[Any]:
    """Return the tasks and groups of ``selected``, built: what is wrong with them shows before a model is loaded.

    Raises:
        UsageError: One task is selected twice, alone and within a group.
    """
    try:
        loaded = manager.load(list(selected))
    except ValueError as error:
        if "Duplicate task" not in str(error):
            raise
        raise UsageError(f"{error}; name it once") from error
    groups, members = loaded["groups"], {name for names in loaded["group_map"].values() for name in names}
    return [item for name, item in {**groups, **loaded["tasks"]}.items() if name not in members]
