"""What a results file tells of the model and the run, for the metadata of a submission."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.leaderboard.public_names import public_model
from roi_bench.leaderboard.recount import SHIPPED_PREFIX
from roi_bench.records.results import RecordedTask, ResultsFile, find_results, read_results_file

LOCAL_BACKENDS = ("hf", "vllm")
"""Backends that run a model on the submitter's own machine."""


def load_results(results: Sequence[Path]) -> tuple[ResultsFile, ...]:
    """Return the results files in files and folders, each read once.

    Raises:
        UsageError: There are none.
        RecordError: A file is damaged.
    """
    paths = dict.fromkeys(found.resolve() for path in results for found in find_results(path))
    return tuple(read_results_file(path) for path in paths)


def metadata_defaults(results: Sequence[ResultsFile]) -> dict[str, Any]:
    """Return what the results files of one model tell, by name of the field (:class:`Metadata`).

    Raises:
        UsageError: They are of several models.
    """
    found: dict[str, Any] = {"model": public_model(one_model([task for file in results for task in file.tasks]))}
    documents = [file.document for file in results]
    days = [document["date"] for document in documents if isinstance(document.get("date"), int | float)]
    if days:
        found["date"] = datetime.fromtimestamp(max(days), UTC).date().isoformat()
    config = documents[0].get("config")
    if isinstance(config, dict):
        if type(count := config.get("model_num_parameters")) is int and count > 0:
            found["parameters"] = count
        if isinstance(commit := config.get("model_sha"), str) and commit:
            found["version"] = commit
        if config.get("model") in LOCAL_BACKENDS:
            found["provider"] = "local"
    return found


def one_model(tasks: Sequence[RecordedTask]) -> str:
    """Return the name of the model that all ``tasks`` were asked of, as recorded.

    Raises:
        UsageError: There are several models; the message lists them.
    """
    names: dict[str, str] = {}
    for task in tasks:
        names.setdefault(_identity(task.model), task.model)
    if len(names) > 1:
        listed = ", ".join(_short_names(list(names)))
        raise UsageError(
            f"the results are of {len(names)} models: {listed}; pack one model at a time, naming its results only "
            "(--model gives one model another name, it joins none)"
        )
    return next(iter(names.values()))


def _identity(name: str) -> str:
    """Return the same for all ways to write the name or the folder of a model."""
    published = public_model(name)
    if published.startswith(SHIPPED_PREFIX):
        return published
    return str(Path(name).resolve()) if Path(name).is_dir() else name.rstrip("/\\")


def _short_names(names: Sequence[str]) -> list[str]:
    """Return names that tell models apart: the last part of a path, more of it where two end alike."""
    short = [public_model(name) for name in names]
    return [
        one if short.count(one) == 1 else "/".join(PureWindowsPath(name).parts[-2:])
        for name, one in zip(names, short, strict=True)
    ]


def software(results: Sequence[ResultsFile]) -> dict[str, str]:
    """Return the versions of what produced the responses, by package.

    Raises:
        UsageError: Two results files were produced by different versions.
    """
    found: dict[str, str] = {}
    for file in results:
        for name, version in _versions(file.document).items():
            if found.setdefault(name, version) != version:
                raise UsageError(
                    f"{file.path}: produced with {name} {version}, another one with {found[name]}; submit them apart"
                )
    return dict(sorted(found.items()))


def total_usd(results: Sequence[ResultsFile]) -> float | None:
    """Return what all responses cost together, as ``roi-bench run`` recorded it; None where nothing was recorded."""
    costs: dict[tuple[Path, str], float] = {}
    for file in results:
        run = file.document.get("roi_bench")
        run = run if isinstance(run, dict) else {}
        cost = run.get("cost")
        if isinstance(cost, dict) and type(cost.get("total_usd")) in (int, float):
            journal = (file.path.parent, str(run.get("journal")))  # runs that share a journal count all of it each
            costs[journal] = max(costs.get(journal, 0.0), float(cost["total_usd"]))
    return sum(costs.values()) if costs else None


def _versions(document: dict[str, Any]) -> dict[str, str]:
    configs: dict[str, dict[str, Any]] = document["configs"]  # read_results found tasks of ours in them
    records = [(config.get("metadata") or {}).get("roi_bench") or {} for config in configs.values()]
    environment = re.search(r"^PyTorch version: (\S{1,60})$", str(document.get("pretty_env_info")), re.MULTILINE)
    found = {
        "roi-bench": next((str(r["roi_bench_version"]) for r in records if r.get("roi_bench_version")), None),
        "lm_eval": document.get("lm_eval_version"),
        "transformers": document.get("transformers_version"),
        "torch": environment[1] if environment and environment[1] != "N/A" else None,
    }
    return {name: str(version) for name, version in found.items() if version}
