"""The arguments of ``roi-bench run``: lm_eval's own parser and configuration, with our additions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from roi_bench.errors import RecordError, UsageError, nearest
from roi_bench.harness.releases import configuration_class, run_parser, task_file, task_manager

# Finding tasks by name without indexing the 14,000 that come with lm_eval, unless one of them is selected.

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
    for defaults in (False, True):
        manager = task_manager(include_path, metadata, defaults=defaults)
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
    """Return how to get the budget at the end of ``name``, if only the budget is unknown."""
    stem, _, budget = name.rpartition("_")
    of_stem = [task for task in known if task.rpartition("_")[0] == stem]
    if not budget.isdigit() or not of_stem:
        return ""
    return f"for another budget use --tasks {of_stem[0]} --metadata '{{\"budget\": {budget}}}'; "


def _find(name: str, manager: Any) -> list[Any]:
    """Return the tasks that ``name`` means: registered ones, else those of a file, a pattern of files, or a folder."""
    from glob import glob

    if not name.endswith(".yaml"):
        registered: list[Any] = manager.match_tasks([name])
        if registered or not Path(name).is_dir():
            return registered
        name = str(Path(name) / "*.yaml")
    return [task_file(file) for file in sorted(glob(name))]  # noqa: PTH207 - patterns may be absolute


def load_tasks(manager: Any, selected: Sequence[Any]) -> list[Any]:
    """Build the tasks and groups of ``selected``, so that their errors show before a model is loaded.

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


DEFAULT_OUTPUT = "roi-bench-results"
"""Output folder where ``--output_path`` is not given."""


@dataclass(frozen=True, slots=True)
class RunArguments:
    """What to run.

    Attributes:
        config: lm_eval's ``EvaluatorConfig``, validated.
        resume: Continue the journal of the same run if there is one.
        batch_size: Requests at once; None to leave it to the engine.
        dry_run: Only show what would be sent, and what it may cost.
    """

    config: Any
    resume: bool
    batch_size: int | None = None
    dry_run: bool = False


API_MODEL = "roi-api"
"""lm_eval's name of :class:`roi_bench.harness.engines.api_model.ApiLM`, which alone knows money."""

API_OPTIONS = ("max_usd", "provider_batch", "wait", "dry_run")


def build_parser() -> argparse.ArgumentParser:
    """Return lm_eval's parser of ``lm_eval run`` with our options added."""
    parser = run_parser()
    parser.prog, parser.usage = "roi-bench run", "roi-bench run --model <model> --tasks <task> [options]"
    parser.description = (
        "Run exams with a model. Takes every option of `lm_eval run`; samples are always saved, results go to "
        f"./{DEFAULT_OUTPUT} by default."
    )
    parser.epilog = None
    parser.add_argument_group("roi-bench").add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Resume an interrupted run of the same command (default); --no-resume starts over.",
    )
    _add_api_options(parser.add_argument_group(f"API models (--model {API_MODEL})"))
    return parser


def _add_api_options(group: Any) -> None:
    """Add options for paid APIs."""
    group.add_argument(
        *("--max-usd", "--max_usd"),
        type=float,
        metavar="USD",
        help="Stop before the run costs more, all its starts together; a higher limit goes on from there.",
    )
    group.add_argument(
        *("--dry-run", "--dry_run"),
        action="store_true",
        help="Print the requests (JSON lines) and what they may cost; none is sent, nothing is written. A server of "
        "your own (base_url) is only asked what it is.",
    )
    group.add_argument(
        *("--provider-batch", "--provider_batch"),
        action="store_true",
        help="Use the provider's batch mode: half the price, results within 24 hours. Stop and start again at will.",
    )
    group.add_argument(
        *("--no-wait", "--no_wait"),
        dest="wait",
        action="store_false",
        help="With --provider-batch: end after submitting; the same command fetches the results later.",
    )


def parse_arguments(arguments: Sequence[str]) -> RunArguments:
    """Parse the command line ``arguments``.

    Raises:
        UsageError: An option is unknown, or a value is invalid.
        RecordError: The file of ``--config`` or ``--samples`` cannot be read.
    """
    evaluator_config = configuration_class()
    parser = build_parser()
    namespace, rest = _parse(parser, arguments)
    if rest:
        options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        raise UsageError(f"unknown option {rest[0]!r}; {nearest(rest[0].split('=')[0], options)}")
    resume = bool(vars(namespace).pop("resume"))
    money = {name: vars(namespace).pop(name) for name in API_OPTIONS}
    namespace.log_samples = True
    sizes = [getattr(namespace, "batch_size", None)]
    if not namespace.output_path and not namespace.config:
        namespace.output_path = DEFAULT_OUTPUT
    if namespace.config:
        configured = _checked(evaluator_config.load_yaml_config, namespace.config)
        namespace.output_path = namespace.output_path or configured.get("output_path") or DEFAULT_OUTPUT
        sizes.append(configured.get("batch_size"))
    if not namespace.tasks and not namespace.config:
        raise UsageError("no tasks are named; add --tasks, e.g. --tasks roi_tiny_hard_128")
    config = _checked(evaluator_config.from_cli, namespace)
    if config.limit is not None and config.limit <= 0:
        raise UsageError(f"--limit must be above 0, not {config.limit:g}; leave it out for all exams")
    _apply_api_options(config, money)
    size = next((size for size in sizes if size is not None), None)
    return RunArguments(config, resume, _batch_size(size), bool(money["dry_run"]))


def _batch_size(given: Any) -> int | None:
    """Return the batch size that was ``given``, None for none and for an automatic one.

    Raises:
        UsageError: It is neither a positive whole number nor ``auto``.
    """
    text = "auto" if given is None else str(given)
    if text.split(":")[0] == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--batch_size must be a whole number of at least 1, or auto, not {text!r}")
    return int(text)


def _apply_api_options(config: Any, given: dict[str, Any]) -> None:
    """Pass our options to the API model as its arguments of the same names.

    Raises:
        UsageError: The model is another one, which does not have them.
    """
    changed = {name: value for name, value in given.items() if value not in (None, False) or name == "wait"}
    if given["wait"]:
        del changed["wait"]
    if changed and config.model != API_MODEL:
        option = "--no-wait" if "wait" in changed else f"--{next(iter(changed)).replace('_', '-')}"
        raise UsageError(f"{option} is for API models; use it with --model {API_MODEL}, not with {config.model!r}")
    if "wait" in changed and not given["provider_batch"]:
        raise UsageError("--no-wait goes with --provider-batch; otherwise responses come at once")
    config.model_args = {**config.model_args, **{key: changed[key] for key in changed if key != "dry_run"}}


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    def fail(message: str) -> NoReturn:
        raise UsageError(f"{message}; see roi-bench run --help")

    parser.error = fail  # type: ignore[method-assign]
    try:
        return parser.parse_known_args(list(arguments))
    except (ValueError, AssertionError) as error:  # raised by the types and actions of lm_eval's parser
        raise UsageError(f"{error}; see roi-bench run --help") from error


def _checked(load: Any, source: Any) -> Any:
    """Return ``load(source)``, with lm_eval's errors as ours."""
    try:
        return load(source)
    except OSError as error:
        raise RecordError(f"cannot read {error.filename or source}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(" ".join(str(error).split())) from error
