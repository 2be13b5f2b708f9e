"""The calls of lm_eval that differ between its releases: 0.4.12 and 0.4.13 as they are, 0.5 as far as it can be tried.

``pyproject.toml`` excludes 0.5: ``scripts/try_lm_eval_0_5.sh`` tries its pre-release, and docs/architecture.md lists
what is missing. Each function looks at what lm_eval has, never at its version number: a checkout of lm_eval between two
releases has the number of the first and the functions of the second.
"""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from roi_bench.harness.bridge import TASKS_GROUP, names_group, task_folders

# Tasks: finding them, building them, handing built ones to lm_eval's evaluation.


def task_manager(include_path: str | None, metadata: dict[str, Any], *, defaults: bool) -> Any:
    """Return a ``TaskManager`` of our tasks, of the user's folder, and with ``defaults`` of lm_eval's 14,000.

    A release that loads plugins adds our folders to every manager; naming them again would warn once a task.
    """
    from lm_eval.tasks import TaskManager

    ours = [] if names_group(sys.modules["lm_eval.tasks.manager"], TASKS_GROUP) else task_folders()
    folders: list[str | Path] = [*ours, *([include_path] if include_path else [])]
    return TaskManager(include_path=folders, include_defaults=defaults, metadata=metadata)


def task_file(path: str) -> dict[str, Any]:
    """Return the configuration in a task's YAML file."""
    from lm_eval.tasks._yaml_loader import load_yaml

    loaded: dict[str, Any] = load_yaml(path, resolve_func=True)
    return loaded


class _BuiltTasks:
    """Stands for a ``TaskManager`` of a release whose ``load`` takes names alone; returns tasks that are built."""

    def __init__(self, manager: Any, built: Sequence[Any]) -> None:
        self._manager = manager
        self._built = built

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def load(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the built tasks and groups in the shape of ``TaskManager.load``."""
        groups = [
            group for item in self._built if hasattr(item, "get_all_groups") for group in (item, *item.get_all_groups())
        ]
        tasks = [task for item in self._built for task in (item.get_all_tasks() if item in groups else [item])]
        return {
            "tasks": {task.task_name: task for task in tasks},
            "groups": {group.name: group for group in groups},
            "group_map": {group.name: group.child_names for group in groups},
        }


def _manager_of_built(manager: Any, tasks: Sequence[Any]) -> Any:
    takes_names_alone = "overrides" in inspect.signature(manager.load).parameters
    return _BuiltTasks(manager, tasks) if takes_names_alone else manager


# A task's own methods: what lm_eval hands to them and takes from them.


def make_request(
    task: Any, doc: dict[str, Any], arguments: tuple[Any, ...], index: int, given: Mapping[str, Any]
) -> Instance:
    """Return an ``Instance`` for one request of a document.

    Args:
        task: The task.
        doc: The document of the request.
        arguments: Prompt and generation arguments.
        index: Index of the request in its document.
        given: The keywords with which lm_eval called ``construct_requests``: up to 0.4 ``metadata`` (task, document,
            repeats), in 0.5 ``doc_id``.
    """
    named: dict[str, Any] = {"metadata": given.get("metadata")}
    if "doc_id" in given:
        named = {"task_name": task.task_name, "doc_id": given["doc_id"], "repeats": task.config.repeats}
        named["target"] = task.doc_to_target(doc)  # up to 0.4 lm_eval puts it into the samples file by itself
    return Instance(request_type="generate_until", doc=doc, arguments=arguments, idx=index, **named)


def by_request(results: Sequence[Any], repeats: int) -> list[list[Any]]:
    """Return the results of a document as one list of ``repeats`` samples per request; 0.5 joins these lists."""
    if all(isinstance(samples, list) for samples in results):
        return list(results)
    return [list(results[start : start + repeats]) for start in range(0, len(results), repeats)]


def scores_nothing(task: Any) -> bool:
    """Whether lm_eval runs ``task`` for its responses alone (``--predict_only``)."""
    metrics = getattr(task, "_metric_fn_list", None)
    return bool(task._has_metric("bypass")) if metrics is None else "bypass" in metrics


# A run: lm_eval's parser and configuration, its evaluation, its log.


def run_parser() -> ArgumentParser:
    """Return lm_eval's parser of ``lm_eval run``."""
    from lm_eval._cli.run import Run

    subparsers = ArgumentParser(prog="roi-bench").add_subparsers()
    Run.create(subparsers)
    parser: ArgumentParser = subparsers.choices["run"]
    return parser


def configuration_class() -> Any:
    """Return lm_eval's ``EvaluatorConfig``, which no longer shouts at ``--limit``: 60 exams are a fair small run."""
    from lm_eval.config import evaluate_config

    logger = logging.getLogger(evaluate_config.__name__)
    if _is_no_shout not in logger.filters:
        logger.addFilter(_is_no_shout)
    return evaluate_config.EvaluatorConfig


def _is_no_shout(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("--limit SHOULD ONLY BE USED")


def set_up_logging(verbosity: str | None) -> None:
    """Show lm_eval's log at ``verbosity`` or LMEVAL_LOG_LEVEL, and otherwise only its warnings."""
    from lm_eval.utils import setup_logging

    level = logging.getLevelName(str(verbosity or "WARNING"))
    setup_logging(level if isinstance(level, int) else logging.WARNING)


def evaluate(model: Any, tasks: Sequence[Any], manager: Any, **settings: Any) -> dict[str, Any] | None:
    """Run lm_eval's ``simple_evaluate`` on built ``tasks``, without what it says in vain."""
    from lm_eval import evaluator

    with _silenced(), _environment_beside():
        found: dict[str, Any] | None = evaluator.simple_evaluate(
            model=model, tasks=list(tasks), task_manager=_manager_of_built(manager, tasks), **settings
        )
    return found


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep lm_eval quiet where it alarms or says nothing new.

    Outside a repository it has git complain, as if the run had failed; a bar runs while prompts are built, which takes
    milliseconds; and it takes every tokenizer with a chat template for a chat model's (ours warns where that is so).
    """
    from lm_eval import evaluator

    shipped: Callable[[], str | None] = evaluator.get_git_commit_hash
    tasks = [sys.modules[name] for name in ("lm_eval.api.task", "lm_eval.api.task._task") if name in sys.modules]
    bars = {module: module.tqdm for module in tasks if hasattr(module, "tqdm")}
    logger = logging.getLogger(evaluator.__name__)
    evaluator.get_git_commit_hash = lambda: shipped() if _git_describes() else None
    for module in bars:
        module.tqdm = lambda items, **_: items  # type: ignore[attr-defined]
    logger.addFilter(_is_no_guess)
    try:
        yield
    finally:
        evaluator.get_git_commit_hash = shipped
        for module, bar in bars.items():
            module.tqdm = bar  # type: ignore[attr-defined]
        logger.removeFilter(_is_no_guess)


_ENVIRONMENT = """
import json
from lm_eval.loggers.utils import add_env_info
found = {}
add_env_info(found)
print(json.dumps(found))
"""
"""Prints what lm_eval records of the environment."""


@contextmanager
def _environment_beside() -> Iterator[None]:
    """Have another process describe the environment while this one evaluates, unless torch is loaded here anyway.

    For its description lm_eval imports torch and asks pip, after the last response: three seconds more for a run that
    needs neither, such as that of an API model.
    """
    from lm_eval import evaluator

    if "torch" in sys.modules or not hasattr(evaluator, "add_env_info"):
        yield
        return
    shipped: Callable[[dict[str, Any]], None] = evaluator.add_env_info
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _ENVIRONMENT],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,  # a Ctrl-C is for the run
        )
    except OSError:  # no room for another process: lm_eval describes it in this one
        yield
        return

    def add_env_info(storage: dict[str, Any]) -> None:
        try:
            storage |= json.loads(child.communicate(timeout=300)[0].splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, LookupError):
            shipped(storage)

    evaluator.add_env_info = add_env_info
    try:
        yield
    finally:
        evaluator.add_env_info = shipped
        child.kill()
        child.communicate()


def _is_no_guess(record: logging.LogRecord) -> bool:
    return "appears to be an instruct or chat variant" not in str(record.msg)


def _git_describes() -> bool:
    try:
        done = subprocess.run(["git", "describe", "--always"], capture_output=True, check=False)
    except OSError:
        return True  # without git, lm_eval looks for itself, and nothing complains
    return done.returncode == 0


def model_name(model_args: Any, model: str) -> str:
    """Return the name by which lm_eval's tracker calls a model in its files."""
    from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker

    return GeneralConfigTracker._get_model_name(model_args) or str(model)
