"""The arguments of ``roi-bench run``: lm_eval's own parser and configuration, and what we add to them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from roi_bench.errors import RecordError, UsageError, nearest

DEFAULT_OUTPUT = "roi-bench-results"
"""Output folder where ``--output_path`` is not given."""


@dataclass(frozen=True, slots=True)
class RunArguments:
    """What to run.

    Attributes:
        config: lm_eval's ``EvaluatorConfig``, validated.
        resume: Continue the journal of the same run if there is one.
    """

    config: Any
    resume: bool


def build_parser() -> argparse.ArgumentParser:
    """Return lm_eval's parser of ``lm_eval run`` with our options added."""
    from lm_eval._cli.run import Run

    root = argparse.ArgumentParser(prog="roi-bench")
    subparsers = root.add_subparsers()
    Run.create(subparsers)
    parser: argparse.ArgumentParser = subparsers.choices["run"]
    parser.prog, parser.usage = "roi-bench run", "roi-bench run --model <model> --tasks <task> [options]"
    parser.description = (
        "Sit exams with a model. Takes every option of `lm_eval run`; samples are always kept, results go to "
        f"./{DEFAULT_OUTPUT} by default."
    )
    parser.epilog = None
    parser.add_argument_group("roi-bench").add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Go on where an interrupted run of the same command stopped (default); --no-resume asks everything anew.",
    )
    return parser


def parse_arguments(arguments: Sequence[str]) -> RunArguments:
    """Return what the command line ``arguments`` ask for.

    Raises:
        UsageError: An option is unknown, or a value cannot be meant.
        RecordError: The file of ``--config`` or ``--samples`` cannot be read.
    """
    from lm_eval.config.evaluate_config import EvaluatorConfig

    parser = build_parser()
    namespace, rest = _parse(parser, arguments)
    if rest:
        options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        raise UsageError(f"unknown option {rest[0]!r}; {nearest(rest[0].split('=')[0], options)}")
    resume = bool(vars(namespace).pop("resume"))
    namespace.log_samples = True
    if not namespace.output_path and not namespace.config:
        namespace.output_path = DEFAULT_OUTPUT
    if namespace.config:
        configured = _checked(EvaluatorConfig.load_yaml_config, namespace.config)
        namespace.output_path = namespace.output_path or configured.get("output_path") or DEFAULT_OUTPUT
    if not namespace.tasks and not namespace.config:
        raise UsageError("no tasks are named; add --tasks, e.g. --tasks roi_tiny_hard_128")
    config = _checked(EvaluatorConfig.from_cli, namespace)
    if config.limit is not None and config.limit <= 0:
        raise UsageError(f"--limit must be above 0, not {config.limit:g}; leave it out for all exams")
    return RunArguments(config, resume)


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    def fail(message: str) -> NoReturn:
        raise UsageError(f"{message}; see roi-bench run --help")

    parser.error = fail  # type: ignore[method-assign]
    try:
        return parser.parse_known_args(list(arguments))
    except (ValueError, AssertionError) as error:  # raised by the types and actions of lm_eval's parser
        raise UsageError(f"{error}; see roi-bench run --help") from error


def _checked(load: Any, source: Any) -> Any:
    """Return ``load(source)``, lm_eval's complaints as ours."""
    try:
        return load(source)
    except OSError as error:
        raise RecordError(f"cannot read {error.filename or source}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(" ".join(str(error).split())) from error
