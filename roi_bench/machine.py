"""The machine that this runs on: cores, folders of shipped data, and files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> tuple[int, ...]:
    """Return the ids of the cores that this process may use; where the system does not say, 0 to their number − 1."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def data_folder(name: str) -> Path:
    """Return a folder of shipped data, links resolved: ``tasks``, ``baselines/tasks``, ``reference_training/recipes``.

    An installation has them inside the package. So has a checkout, through links; one that was made without symbolic
    links has files in their place, and the folders beside the package.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    return (inside if inside.is_dir() else package.parent / name).resolve()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step: whoever reads it sees the old file or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
