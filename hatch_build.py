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
LINKS = ("tasks", "baselines", "reference_training")
"""Folders at the top that the package reaches through links of the same name."""


class _Bare(ast.NodeTransformer):
    """Removes what costs time at every start and does nothing then: docstrings, annotations, imports for types."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        node.returns = None
        return self.visit_body(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node

    def visit_body(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            del node.body[0]
        return self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_body  # noqa: N815 - names that ast looks for


def pth_line(source: str) -> str:
    """Return the one line that runs Python ``source`` at interpreter start, in a name space of its own.

    ``site`` executes a line of a ``.pth`` file if it begins with ``import``; the source becomes a string in it.
    """
    bare = ast.unparse(_Bare().visit(ast.parse(source)))
    return f"import sys; exec({bare!a}, {{'__name__': 'roi_bench_startup'}})\n"


class BridgeBuildHook(BuildHookInterface[Any]):
    """Adds the start-up file to every wheel, editable ones included; refuses a wheel that would lack the task files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the start-up file and have it packed. ``version`` is ``standard`` or ``editable``."""
        broken = [f"roi_bench/{name}" for name in LINKS if not Path(self.root, "roi_bench", name).is_dir()]
        if broken and version != "editable":  # an editable installation finds the folders beside the package
            self.app.abort(
                f"{', '.join(broken)}: this checkout has no symbolic links, so the wheel would lack the task files; "
                "check it out again after `git config core.symlinks true`, or use `pip install --editable .`"
            )
        path = Path(tempfile.mkdtemp(prefix="roi_bench_build_"), PTH_NAME)
        path.write_text(pth_line((Path(self.root) / STARTUP_SOURCE).read_text(encoding="utf-8")), encoding="ascii")
        target = "force_include_editable" if version == "editable" else "force_include"
        build_data[target][str(path)] = PTH_NAME
