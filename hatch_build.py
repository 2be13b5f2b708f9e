"""Build hooks: the start-up files of the bridge at the top of ``site-packages``, and the page that an index shows.

A wheel and an editable installation get the same ``roi_bench_bridge.pth``. It is listed among the installed files, so
``pip uninstall`` removes it. Its one line runs :mod:`roi_bench.harness.startup`, which says what that does and why, and
what its successor ``roi_bench_bridge.start`` is for.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PTH_NAME, START_NAME = "roi_bench_bridge.pth", "roi_bench_bridge.start"
STARTUP_COPY = "_roi_bench_startup"
"""Module at the top of ``site-packages``, so that no start of Python imports roi_bench itself."""

PAPER = "https://arxiv.org/abs/2601.03822"
SETTINGS = Path("leaderboard", "submissions", "board.json")
"""Settings of the shipped board; ``project_url`` in them is the one place that holds the project's own address."""

RELATIVE_LINK = r"\[(?P<text>[^\]]*)\]\((?!#|\w+:)(?P<target>[^)\s]+)\)"
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


def absolute_links(page: str, address: str) -> str:
    """Return the README ``page`` as an index shows it, where nothing lies beside it.

    Args:
        page: Markdown, with links to files of the repository.
        address: The project's own address, with a slash at the end; empty: such links become plain text, and pictures
            are left out.
    """

    def picture(found: re.Match[str]) -> str:
        return f"![{found['text']}]({address}raw/HEAD/{found['target']})" if address else ""

    def link(found: re.Match[str]) -> str:
        return f"[{found['text']}]({address}blob/HEAD/{found['target']})" if address else found["text"]

    page = re.sub(rf"!{RELATIVE_LINK}", picture, page)
    return re.sub(r"\n{3,}", "\n\n", re.sub(rf"(?<!!){RELATIVE_LINK}", link, page))


def project_urls(address: str) -> dict[str, str]:
    """Return the links of the project's page on an index; those to its own ``address`` only where it has one."""
    own = {"Homepage": "", "Documentation": "tree/HEAD/docs", "Source": "", "Changelog": "blob/HEAD/CHANGELOG.md"}
    own |= {"Issues": "issues"}
    return {**({name: address + path for name, path in own.items()} if address else {}), "Paper": PAPER}


def own_address(root: Path) -> str:
    """Return the project's own address: ``project_url`` of the shipped board, or an empty text."""
    board = root / SETTINGS
    text = json.loads(board.read_text(encoding="utf-8")).get("project_url", "") if board.is_file() else ""
    return text if not text or text.endswith("/") else f"{text}/"


class IndexPageHook(MetadataHookInterface):
    """Makes the page and the links that an index shows of README.md and of the one setting that holds our address."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``readme`` and ``urls`` to the metadata."""
        root = Path(self.root)
        address = own_address(root)
        page = absolute_links((root / "README.md").read_text(encoding="utf-8"), address)
        metadata["readme"] = {"content-type": "text/markdown", "text": page}
        metadata["urls"] = project_urls(address)


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
        folder = Path(tempfile.mkdtemp(prefix="roi_bench_build_"))
        source = (Path(self.root) / STARTUP_SOURCE).read_text(encoding="utf-8")
        contents = {PTH_NAME: pth_line(source), START_NAME: f"{STARTUP_COPY}:install\n", f"{STARTUP_COPY}.py": source}
        target = "force_include_editable" if version == "editable" else "force_include"
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="ascii")
            build_data[target][str(folder / name)] = name
