"""Loading the lm_eval model that a run names, and choosing its engine; every failure is one line."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, ModelError, RoiBenchError, UsageError, first_line, nearest
from roi_bench.harness.engines.protocol import API, HUGGING_FACE, PLAYBACK, VLLM, Engine, generates_as, is_a
from roi_bench.harness.engines.vllm_start import cause as vllm_cause
from roi_bench.harness.engines.vllm_start import defaults as vllm_defaults
from roi_bench.harness.engines.vllm_start import installed as vllm_installed
from roi_bench.harness.engines.vllm_start import let_lm_eval_find_it, set_up_log, stand_guard
from roi_bench.harness.processes import launch_hidden_from_vllm

EXPECTED_ERRORS = (OSError, ValueError, AssertionError, RuntimeError)
"""Errors of backends whose message says by itself what is wrong; of others the type is shown, too."""

FOLDERS = ("pretrained", "tokenizer", "peft", "delta", "lora_local_path")
"""Arguments of lm_eval's models that name a folder, or something on the hub."""


def load_model(config: Any) -> Any:
    """Return the lm_eval model that ``config`` names, loaded.

    Raises:
        UsageError: There is no backend of that name, or it has no such argument.
        DependencyError: The backend's package is not installed.
        ModelError: The model cannot be loaded.
    """
    import lm_eval.models  # noqa: F401 - registers the names
    from lm_eval.api.registry import get_model, model_registry

    if config.model not in model_registry:
        raise UsageError(f"unknown model {config.model!r}; {nearest(config.model, list(model_registry.keys()))}")
    _refuse_missing_folders(config)
    _refuse_text_for_chats(config)
    is_vllm, errors = config.model.startswith("vllm"), None
    try:
        if is_vllm:
            _refuse_ray_actors(config.model_args)
            errors = set_up_log(config.verbosity)
            let_lm_eval_find_it()
        backend = get_model(config.model)
        if "transformers" in sys.modules:
            importlib.import_module("transformers.modeling_utils")  # would be imported with the weights otherwise
            sys.modules["transformers"].utils.logging.disable_progress_bar()
        collect_garbage_again()
        size = config.batch_size if str(config.batch_size).isdigit() else 1  # an automatic one is found by the engine
        given = {"batch_size": size, "max_batch_size": config.max_batch_size, "device": config.device}
        if is_vllm:
            stand_guard()
        with launch_hidden_from_vllm(config.model_args) if is_vllm else contextlib.nullcontext():
            model_args = {**vllm_defaults(), **config.model_args} if is_vllm else config.model_args
            return backend.create_from_arg_obj(model_args, given)
    except RoiBenchError:
        raise
    except ImportError as error:
        raise DependencyError(_missing(config.model, error)) from error
    except TypeError as error:
        raise UsageError(f"--model_args do not fit model {config.model!r}: {first_line(error)}") from error
    except Exception as error:  # backends raise anything over weights, a configuration or a device
        if isinstance(error, AttributeError) and "'torch'" in str(error) and "dtype" in config.model_args:
            raise UsageError(
                f"dtype={config.model_args['dtype']} in --model_args is no data type of torch; use auto, bfloat16, "
                "float16 or float32"
            ) from error
        said = _said(error) if isinstance(error, EXPECTED_ERRORS) else f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(
            f"cannot load model {config.model!r} {shown_arguments(config.model_args)}: {vllm_cause(errors) or said}"
        ) from error


def _said(error: Exception) -> str:
    """Return an error's message as one line; the first line of pydantic's messages only counts the errors."""
    if type(error).__module__.startswith("pydantic") and callable(faults := getattr(error, "errors", None)):
        return "; ".join(first_line(ValueError(fault["msg"])) for fault in faults())
    return first_line(error)


def _refuse_missing_folders(config: Any) -> None:
    """Refuse a path that does not exist; libraries take it for a name on the hub, or notice only at the first request.

    Raises:
        ModelError: One of the folders does not exist.
    """
    for name in FOLDERS:
        value = config.model_args.get(name)
        is_path = isinstance(value, str) and value.startswith(("/", "./", "../", "~"))
        if is_path and not Path(value).expanduser().exists():
            raise ModelError(
                f"cannot load model {config.model!r} {shown_arguments(config.model_args)}: there is no folder {value} "
                f"({name})"
            )


def _refuse_text_for_chats(config: Any) -> None:
    """Refuse lm_eval's own chat backends without a chat template; each request would end in an assertion.

    Raises:
        UsageError: The template is not applied.
    """
    if config.model.endswith("chat-completions") and not config.apply_chat_template:
        raise UsageError(
            f"model {config.model!r} takes chat messages; add --apply_chat_template, or use --model roi-api, which "
            "counts every token as well (docs/api-models.md)"
        )


def check_tokenizer(lm: Any, model_args: Mapping[str, Any]) -> None:
    """Refuse an empty tokenizer: transformers makes one for some models whose folder has none.

    Raises:
        ModelError: The tokenizer is empty, so that every prompt would look the same to the model.
    """
    if not is_a(lm, HUGGING_FACE) and not is_a(lm, VLLM):
        return
    if list(lm.tok_encode("Problem 1")) == list(lm.tok_encode("What is it?")):
        named = model_args.get("tokenizer") or model_args.get("pretrained")
        raise ModelError(
            f"{named} has no tokenizer; put its files there, or name another one: tokenizer=FOLDER_OR_NAME"
        )


def _missing(model: str, error: ImportError) -> str:
    """Return what is missing for ``model``: its package, or a part of an installed one."""
    extra = model if model in ("hf", "vllm") else "api"
    if model.startswith("vllm") and importlib.util.find_spec("vllm") is not None:
        named = " ".join(vllm_installed() or ("vllm, of no distribution,",))
        return (
            f"model {model!r}: {named} is installed but cannot be imported: {first_line(error)}; it may be only "
            "partly installed, or built for other versions of its dependencies; docs/engines.md lists versions that "
            "work together"
        )
    package = (error.name or "").partition(".")[0]
    if found := importlib.metadata.packages_distributions().get(package):
        return (
            f"model {model!r}: {package} is installed but cannot be imported: {first_line(error)}; it is of a version "
            f"that does not fit, or only partly there: pip install --force-reinstall --no-deps {found[0]}"
        )
    return (
        f"model {model!r} needs a package that is missing: {first_line(error)}; install it, e.g. "
        f"pip install 'roi-bench[{extra}]'"
    )


def _refuse_ray_actors(model_args: Mapping[str, Any]) -> None:
    """Refuse lm_eval's data parallelism for vLLM: launched processes do the same, and keep finished responses.

    Raises:
        UsageError: It is requested.
    """
    size = model_args.get("data_parallel_size", 1)
    if str(size) not in ("", "1"):
        raise UsageError(
            f"data_parallel_size={size}: lm_eval would reload {size} copies of the model for each batch, and save "
            f"nothing before the end of a batch; use torchrun --nproc-per-node {size} -m roi_bench run with the same "
            "arguments without data_parallel_size (docs/scale.md)"
        )


def collect_garbage_again() -> None:
    """Switch garbage collection on again, excluding everything imported so far."""
    gc.freeze()
    gc.enable()


def shown_arguments(model_args: Mapping[str, Any]) -> str:
    """Return model arguments as they are typed, without secrets."""
    from roi_bench.harness.run_record import SECRETS

    return ",".join(f"{name}={value}" for name, value in model_args.items() if name not in SECRETS)


def engine_of(lm: Any, *, seed: int | None = None, batch_size: int | None = None, longest: int | None = None) -> Engine:
    """Return the engine for ``lm``.

    Args:
        lm: A loaded lm_eval model. A model of an unknown class is asked in batches through ``generate_until``.
        seed: Seed of sampling; None leaves the generators alone.
        batch_size: Requests at once, as the user wants it; None: the engine chooses.
        longest: Tokens of the longest request, prompt and response, as far as that is known.
    """
    if is_a(lm, API):
        from roi_bench.harness.engines.api import ApiEngine

        return ApiEngine(lm, seed=seed)
    if is_a(lm, VLLM) and generates_as(lm, VLLM):
        from roi_bench.harness.engines.vllm import VllmEngine

        return VllmEngine(lm, seed=seed, at_once=batch_size)
    if is_a(lm, HUGGING_FACE) and generates_as(lm, HUGGING_FACE):
        from roi_bench.harness.engines.huggingface import HuggingFaceEngine

        return HuggingFaceEngine(lm, seed=seed, batch_size=batch_size, longest=longest)
    if is_a(lm, HUGGING_FACE) or is_a(lm, VLLM):
        from roi_bench.harness.engines.local import MeteredEngine

        return MeteredEngine(lm, seed=seed, batch_size=batch_size, schedules=is_a(lm, VLLM))
    if is_a(lm, PLAYBACK):
        from roi_bench.harness.engines.playback import PlaybackEngine

        return PlaybackEngine(lm)
    from roi_bench.harness.engines.local import BatchedEngine

    return BatchedEngine(lm, seed=seed, batch_size=batch_size)
