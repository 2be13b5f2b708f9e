"""Metadata of a submission from what its maker gives: options before a file, a file before what the results tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from roi_bench.errors import UsageError, first_line, nearest
from roi_bench.leaderboard.results_metadata import metadata_defaults
from roi_bench.leaderboard.strict_json import shown
from roi_bench.leaderboard.submission import Metadata
from roi_bench.records.results import ResultsFile

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
        raise UsageError(f"the results do not tell {' and '.join(missing)}; give {options} (or --metadata FILE)")
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
            f"{shown(text)!r} is no number of parameters; write 1500000000, or 1.5B (K, M, B and T are understood)"
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
        raise UsageError(f"{shown(text)!r} is no day; write it as 2026-11-24")
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
            f"{shown(text)!r} is no id of a submission; give the name of its folder, such as my-model-0123456789ab"
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
        raise UsageError(f"--metadata {file}: holds no fields; write lines such as `contact: name@example.org`")
    if unknown := [name for name in found if name not in KNOWN]:
        raise UsageError(f"--metadata {file}: unknown field {str(unknown[0])!r}; {nearest(str(unknown[0]), KNOWN)}")
    return {name: value for name, value in found.items() if value is not None}
