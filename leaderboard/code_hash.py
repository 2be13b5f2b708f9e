"""A hash over the code that a result rests on: modules and all that they import of this package, wherever it lies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

_IMPORT = re.compile(
    r"^[ \t]*(?:from (roi_bench[.\w]*) import (\([^)]*\)|[^\n]*)|import (roi_bench[.\w]*))", re.MULTILINE
)
_NAME = re.compile(r"\w+")


def code_hash(package: Path, roots: Sequence[str], data: Sequence[str] = ()) -> str:
    """Return the SHA-256 over the modules that ``roots`` need, and over data.

    Imports are read from the text, those inside functions too, so that a module counts wherever it lies.

    Args:
        package: Folder of the package ``roi_bench``.
        roots: Names of modules, ``roi_bench.grading.grader``.
        data: Patterns of further files below ``package``.
    """
    paths = {_file(package, name) for name in modules_of(package, roots)}
    paths |= {path for pattern in data for path in package.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def modules_of(package: Path, roots: Sequence[str]) -> set[str]:
    """Return the names of ``roots`` and of all modules of the package that they import, directly or not."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for origin, names, plain in _IMPORT.findall(_file(package, name).read_text(encoding="utf-8")):
            imported = [origin or plain, *(f"{origin}.{each}" for each in _NAME.findall(names))]
            waiting += [each for each in imported if _file(package, each).is_file()]
    return found


def _file(package: Path, name: str) -> Path:
    """Return the file of a module or sub-package; where there is none, that of a module of this name."""
    path = package.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if (path / "__init__.py").is_file() else path.parent / f"{path.name}.py"
