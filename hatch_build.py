"""Build hook: puts the start-up file of the bridge at the top of ``site-packages``.

A wheel and an editable installation get the same ``roi_bench_bridge.pth``. It is listed among the installed files, so
``pip uninstall`` removes it. Its one line runs :mod:`roi_bench.harness.startup`, which says what that does and why.
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PTH_NAME = "roi_bench_bridge.pth"
STARTUP_SOURCE = Path("roi_bench", "harness", "startup.py")


def pth_line(source: str) -> str:
    """Return the one line that runs Python ``source`` at interpreter start, in a name space of its own.

    ``site`` executes a line of a ``.pth`` file if it begins with ``import``; the source, without comments and
    docstrings, becomes a string in it.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return f"import sys; exec({ast.unparse(tree)!a}, {{'__name__': 'roi_bench_startup'}})\n"


class BridgeBuildHook(BuildHookInterface[Any]):
    """Adds the start-up file to every wheel, editable ones included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the start-up file and have it packed. ``version`` is ``standard`` or ``editable``."""
        path = Path(tempfile.mkdtemp(prefix="roi_bench_build_"), PTH_NAME)
        path.write_text(pth_line((Path(self.root) / STARTUP_SOURCE).read_text(encoding="utf-8")), encoding="ascii")
        target = "force_include_editable" if version == "editable" else "force_include"
        build_data[target][str(path)] = PTH_NAME
