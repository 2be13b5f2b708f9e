"""Makes our tasks and models known to plain ``lm_eval``, without ``--include_path``.

Releases of lm_eval up to 0.4.13 load no plugins. So a start-up file (:mod:`roi_bench.harness.startup`) waits for
lm_eval to import two of its modules, and this module changes them right after they are executed:

- ``lm_eval.tasks.manager``: ``TaskManager`` indexes our folders of tasks after its own and before the user's
  ``include_path``, so a task of the user's wins over one of ours. A manager made with ``include_defaults=False`` asked
  for exactly its own folders and is left alone.
- ``lm_eval.models``: our model names are registered as lazy placeholders.

lm_eval is about to load the entry points ``lm_eval.models`` and ``lm_eval.tasks`` itself (its pull requests 4013 and
4015); ours are declared, and each half of the bridge steps aside where a module names its group. Besides
:mod:`roi_bench.machine` only the standard library is used. ``ROI_BENCH_NO_BRIDGE=1`` switches everything off.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from roi_bench.machine import data_folder

OFF_SWITCH = "ROI_BENCH_NO_BRIDGE"
"""Environment variable that switches the bridge off; empty and ``0`` leave it on."""

TASKS_GROUP = "lm_eval.tasks"
MODELS_GROUP = "lm_eval.models"

MODELS = (
    ("roi-api", "roi_bench.harness.engines.api_model:ApiLM"),
    ("roi-playback", "roi_bench.harness.engines.playback:PlaybackLM"),
)
"""Model names and where their classes are; the same as the entry points in ``pyproject.toml``."""

state: dict[str, str] = {}
"""What became of each bridged module in this process: ``bridged``, ``stepped aside`` or ``failed: …``."""


def switched_off() -> bool:
    """Return whether the environment switches the bridge off."""
    return os.environ.get(OFF_SWITCH, "") not in ("", "0")


def task_folders() -> list[Path]:
    """Return the existing folders of our task files, links resolved: the tasks, and the baselines."""
    folders = [data_folder(name) for name in ("tasks", "baselines/tasks")]
    return [folder for folder in folders if folder.is_dir()]


def find_spec(fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
    """Return the other finders' spec for a bridged module, arranged so that we are called after its execution.

    Returns:
        None if the module is not one of ours to change, is not found, or the bridge is switched off.
    """
    change = _CHANGES.get(fullname)
    if change is None or switched_off():
        return None
    for finder in sys.meta_path:
        if getattr(finder, "roi_bench_bridge", False):
            continue
        spec = finder.find_spec(fullname, path, target)
        if spec is not None:
            _run_after_execution(spec, change)
            return spec
    return None


def install() -> None:
    """Bridge lm_eval in this process without the start-up file; does nothing if it is bridged already."""
    import roi_bench.harness.startup  # noqa: F401 - importing it adds the finder

    if not switched_off():
        for name, change in _CHANGES.items():
            if name in sys.modules and name not in state:
                _apply(change, sys.modules[name])


def names_group(module: ModuleType, group: str) -> bool:
    """Return whether the code of ``module`` has ``group`` among its constants: it loads these entry points itself.

    Comments and docstrings that only mention the group do not count.
    """
    loader = module.__spec__.loader if module.__spec__ else None
    get_code = getattr(loader, "get_code", None)
    code = get_code(module.__name__) if get_code else None
    return code is not None and group in _constants(code)


def _constants(code: CodeType) -> Iterator[object]:
    """Yield the constants of ``code`` and of everything defined in it, tuples opened."""
    waiting: list[object] = [code]
    while waiting:
        item = waiting.pop()
        if isinstance(item, CodeType):
            waiting.extend(item.co_consts)
        elif isinstance(item, (tuple, frozenset)):
            waiting.extend(item)
        else:
            yield item


def _run_after_execution(spec: ModuleSpec, change: Callable[[ModuleType], str]) -> None:
    """Call ``change`` with the module as soon as it is executed; the loader itself is not modified."""
    loader: Any = spec.loader
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == spec.name:  # a zip importer serves many modules
            vars(loader).pop("exec_module", None)
            _apply(change, module)

    loader.exec_module = exec_module


def _apply(change: Callable[[ModuleType], str], module: ModuleType) -> None:
    """Change ``module`` and record the outcome; if lm_eval has changed, it must go on working without us."""
    try:
        state[module.__name__] = change(module)
    except Exception as error:  # noqa: BLE001 - recorded for `roi-bench doctor`
        state[module.__name__] = f"failed: {type(error).__name__}: {error}"


def _bridge_tasks(module: ModuleType) -> str:
    """Have ``TaskManager`` index our folders between lm_eval's own tasks and the user's."""
    if names_group(module, TASKS_GROUP):
        return "stepped aside"
    original = module.TaskManager.__init__
    signature = inspect.signature(original)
    if not {"include_path", "include_defaults"} <= set(signature.parameters):
        raise TypeError(f"TaskManager takes {', '.join(signature.parameters)}, no include_path and include_defaults")

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it replaces that method
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("include_path")
        if not switched_off() and call.arguments.get("include_defaults", True):
            call.arguments["include_path"] = _with_our_tasks(given)
        original(*call.args, **call.kwargs)
        self.include_path = given  # shown to users and passed on, so it stays as given

    module.TaskManager.__init__ = __init__
    return "bridged"


def _with_our_tasks(given: Any) -> list[Any]:
    """Return the user's include paths (None, one, or several) with our folders before them, but none twice."""
    paths = [] if not given else list(given) if isinstance(given, (list, tuple)) else [given]
    named = {Path(path).resolve() for path in paths}
    return [*(folder for folder in task_folders() if folder not in named), *paths]


def _bridge_models(module: ModuleType) -> str:
    """Register our model names as lazy placeholders."""
    registry = sys.modules["lm_eval.api.registry"]
    if names_group(module, MODELS_GROUP) or names_group(registry, MODELS_GROUP):
        return "stepped aside"
    for name, target in MODELS:
        if name not in registry.model_registry:
            registry.model_registry.register(name, target=target)
    return "bridged"


_CHANGES: dict[str, Callable[[ModuleType], str]] = {
    "lm_eval.models": _bridge_models,
    "lm_eval.tasks.manager": _bridge_tasks,
}
