"""Names of models and tokenizers fit to be published: no path of the submitter's machine among them."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.leaderboard.recount import LOCAL_PREFIX, shipped_name

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

    A copy of a shipped one is that one, whatever its folder is called.
    """
    if not _is_path(name):
        return name if _HUB.fullmatch(name) else _local(name)
    return _shipped(name) or _same_as_shipped(Path(name)) or _local(_last_part(name))


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
    """Return the shipped tokenizer of which ``folder`` holds a copy, else None."""
    for stage, shipped in SHIPPED_MODELS.items():
        pairs = [(folder / file, model_path(stage) / file) for file in ("tokenizer.json", "tokenizer_config.json")]
        try:
            if all(copy.read_bytes() == original.read_bytes() for copy, original in pairs):
                return shipped_name(shipped)
        except OSError:
            continue
    return None
