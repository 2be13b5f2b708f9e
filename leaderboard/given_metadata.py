"""Metadata of a submission from what its maker gives: options before a file, a file before what the results tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any

from roi_bench.errors import UsageError, nearest
from roi_bench.leaderboard.results_metadata import metadata_defaults
from roi_bench.leaderboard.submission import Metadata

KNOWN = tuple(field.name for field in fields(Metadata))
REQUIRED = tuple(field.name for field in fields(Metadata) if field.default is MISSING)


def make_metadata(results: Sequence[Path], file: Path | None, given: Mapping[str, Any]) -> Metadata:
    """Return the metadata of a submission.

    Args:
        results: Its results files or folders.
        file: YAML or JSON file with fields, or None.
        given: Fields that go before it.

    Raises:
        UsageError: A required field is missing, or one is unknown or of a wrong type.
        RecordError: A results file is damaged.
    """
    found = {**metadata_defaults(results), **({} if file is None else _read(file)), **given}
    if isinstance(found.get("date"), date):  # YAML reads a day as such
        found["date"] = found["date"].isoformat()[:10]
    missing = [name for name in REQUIRED if not str(found.get(name) or "").strip()]
    if missing:
        options = ", ".join(f"--{name.replace('_', '-')} …" for name in missing)
        raise UsageError(f"the results do not tell {' and '.join(missing)}; give {options} (or --metadata FILE)")
    return Metadata(**found)


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = file.read_text(encoding="utf-8")
        found = json.loads(content) if file.suffix == ".json" else yaml.safe_load(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--metadata {file}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict):
        raise UsageError(f"--metadata {file}: holds no fields; write lines such as `contact: name@example.org`")
    if unknown := [name for name in found if name not in KNOWN]:
        raise UsageError(f"--metadata {file}: unknown field {str(unknown[0])!r}; {nearest(str(unknown[0]), KNOWN)}")
    return {name: value for name, value in found.items() if value is not None}
