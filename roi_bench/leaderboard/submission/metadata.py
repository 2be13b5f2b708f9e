"""Metadata of a submission: from results files and from what its maker gives, fit to be published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PureWindowsPath
from typing import Any

from roi_bench.errors import UsageError, first_line, nearest
from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.leaderboard.checks.reference_tokens import hub_name_of
from roi_bench.leaderboard.checks.response_rules import LOCAL_PREFIX, SHIPPED_PREFIX, shipped_name
from roi_bench.leaderboard.submission.schema import Metadata
from roi_bench.leaderboard.submission.untrusted_files import shown
from roi_bench.records.results import RecordedTask, ResultsFile, find_results, one_run_each, read_results_file

# Names of models and tokenizers fit to be published: no path of the submitter's machine among them.

_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)

_PATH = re.compile(r"[/.~]|.*\\|.*[:@].*/|.*@.*:|.*/.*@", re.DOTALL)
"""A path by its looks: from the root, here or home; with a backslash; or on a host, ``alice@host:/m``.

A colon behind the only slash is a provider's label: ``org/model:free``.
"""


def public_model(name: str) -> str:
    """Return the name of a model without the way to it: the last part of a path, ``roi-bench:…`` for a shipped one."""
    if not _is_path(name):
        return name
    return _shipped(name) or _last_part(name)


def public_tokenizer(name: str) -> str:
    """Return the name under which others find a tokenizer, ``local:…`` for one that they cannot have.

    A copy of a shipped one, or of a reference tokenizer, is that one, whatever its folder is called.
    """
    if not _is_path(name):
        return name if _HUB.fullmatch(name) else _local(name)
    folder = Path(name)
    return _shipped(name) or _same_as_shipped(folder) or hub_name_of(folder) or _local(_last_part(name))


def _is_path(name: str) -> bool:
    return bool(_PATH.match(name)) or name.count("/") > 1 or Path(name).is_dir()


def _last_part(name: str) -> str:
    last = PureWindowsPath(name).name  # it knows both kinds of slashes
    return (last.rpartition(":")[2] if "@" in last else last) or "model"


def _local(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", _last_part(name)).strip("-._")
    return f"{LOCAL_PREFIX}{plain[:80] or 'tokenizer'}"


def _shipped(name: str) -> str | None:
    """Return the name of the shipped model in the folder ``name`` of this or another installation, else None."""
    parts = PureWindowsPath(name).parts[-3:]
    return (
        shipped_name(parts[2]) if parts[:2] == ("roi_bench", "data") and parts[2] in SHIPPED_MODELS.values() else None
    )


def _same_as_shipped(folder: Path) -> str | None:
    """Return the shipped tokenizer that cuts texts as the one in ``folder``, as after training from it, else None."""
    try:
        found = _cutting(folder)
    except (OSError, ValueError, AttributeError):
        return None
    same = (shipped for stage, shipped in SHIPPED_MODELS.items() if _cutting(model_path(stage)) == found)
    return next((shipped_name(shipped) for shipped in same), None)


def _cutting(folder: Path) -> dict[str, Any]:
    """Return what of a ``tokenizer.json`` decides how it cuts a text: batches are padded and cut otherwise."""
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {name: value for name, value in document.items() if name not in ("padding", "truncation")}


# What a results file says of the model and the run, for the metadata of a submission.

LOCAL_BACKENDS = ("hf", "vllm")
"""Backends that run a model on the submitter's own machine."""


def load_results(results: Sequence[Path], tell: Callable[[str], None] = lambda _: None) -> tuple[ResultsFile, ...]:
    """Return the results files in files and folders, each read once.

    Of a task that was started several times the most complete counts; ``tell`` gets a line on the others.

    Raises:
        UsageError: There are none.
        RecordError: A file is damaged.
    """
    paths = dict.fromkeys(found.resolve() for path in results for found in find_results(path))
    files = [read_results_file(path) for path in paths]
    kept, lines = one_run_each([task for file in files for task in file.tasks])
    for line in lines:
        tell(line)
    wanted = {id(task) for task in kept}
    left = [replace(file, tasks=tuple(task for task in file.tasks if id(task) in wanted)) for file in files]
    return tuple(file for file in left if file.tasks)


def metadata_defaults(results: Sequence[ResultsFile]) -> dict[str, Any]:
    """Return what the results files of one model say, by name of the field (:class:`Metadata`).

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
            "(--model renames a model, it merges none)"
        )
    return next(iter(names.values()))


def _identity(name: str) -> str:
    """Return the same for all ways to write the name or the folder of a model."""
    published = public_model(name)
    if published.startswith(SHIPPED_PREFIX):
        return published
    return str(Path(name).resolve()) if Path(name).is_dir() else name.rstrip("/\\")


def _short_names(names: Sequence[str]) -> list[str]:
    """Return distinct names of models: the last part of a path, more of it where two end alike."""
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
                    f"{file.path}: produced with {name} {version}, another with {found[name]}; submit them separately"
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


# Metadata of a submission from what its maker gives: options before a file, a file before what the results say.

KNOWN = tuple(field.name for field in fields(Metadata))
_SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_PARAMETERS = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,12})?)([kmbt]?)", re.ASCII | re.IGNORECASE)
_MOST_PARAMETERS = 10**15
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?-[0-9a-f]{12}", re.ASCII)

REQUIRED = tuple(field.name for field in fields(Metadata) if field.default is MISSING)


def make_metadata(results: Sequence[ResultsFile], file: Path | None, given: Mapping[str, Any]) -> Metadata:
    """Return the metadata of a submission.

    Args:
        results: Its results files.
        file: YAML or JSON file with fields, or None.
        given: Fields that go before it.

    Raises:
        UsageError: A required field is missing, or one is unknown or of a wrong type.
    """
    found = {**metadata_defaults(results), **({} if file is None else _read(file)), **given}
    if isinstance(found.get("date"), date):  # YAML reads a day as such
        found["date"] = found["date"].isoformat()[:10]
    if isinstance(found.get("parameters"), str):
        found["parameters"] = parse_parameters(found["parameters"])
    missing = [name for name in REQUIRED if not str(found.get(name) or "").strip()]
    if missing:
        options = ", ".join(f"--{name.replace('_', '-')} …" for name in missing)
        raise UsageError(f"the results do not include {' and '.join(missing)}; give {options} (or --metadata FILE)")
    return Metadata(**found)


def parse_parameters(text: str) -> int:
    """Return a number of parameters, ``1500000000`` or ``1.5B``.

    Raises:
        UsageError: It is none.
    """
    found = _PARAMETERS.fullmatch(text.strip())
    number = Decimal(found[1]) * _SCALES[found[2].lower()] if found else Decimal(0)
    if number != int(number) or not 1 <= number <= _MOST_PARAMETERS:
        raise UsageError(
            f"{shown(text)!r} is not a number of parameters; write 1500000000, or 1.5B (K, M, B and T are understood)"
        )
    return int(number)


def parse_day(text: str, today: date) -> str:
    """Return the day of a run as it was written.

    Raises:
        UsageError: It is none, or lies in the future.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year < 2000 or day.isoformat() != text:
        raise UsageError(f"{shown(text)!r} is not a date; write it as 2026-11-24")
    if day > today + timedelta(days=1):  # in some time zone it is tomorrow already
        raise UsageError(f"{text} lies in the future, today is {today}; give the day of the run")
    return text


def parse_id(text: str) -> str:
    """Return the id of a submission.

    Raises:
        UsageError: It cannot be one.
    """
    if not _ID.fullmatch(text):
        raise UsageError(
            f"{shown(text)!r} is not the id of a submission; give the name of its folder, such as my-model-0123456789ab"
        )
    return text


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = file.read_text(encoding="utf-8")
        found = json.loads(content) if file.suffix == ".json" else yaml.safe_load(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--metadata {file}: cannot be read ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise UsageError(f"--metadata {file}: has no fields; write lines such as `contact: name@example.org`")
    if unknown := [name for name in found if name not in KNOWN]:
        raise UsageError(f"--metadata {file}: unknown field {str(unknown[0])!r}; {nearest(str(unknown[0]), KNOWN)}")
    return {name: value for name, value in found.items() if value is not None}
