"""Write ``docs/module-map.md``: one line a module, the first line of its docstring.

python scripts/module_map.py            write it
python scripts/module_map.py --check    exit with 1 if the page is not what would be written (a test does this)
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "roi_bench"
PAGE = ROOT / "docs" / "module-map.md"
HEAD = """# Module map

Every module of `roi_bench` with the first line of its docstring, written by `python scripts/module_map.py`.
[Architecture](architecture.md) explains how the folders work together.

"""


def summary(path: Path) -> str:
    """Return the first sentence of a module's docstring, markup removed, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.replace("``", "`").replace(":mod:", "").rstrip(".")


def module_map() -> str:
    """Return the page as Markdown: a table for each folder, its modules in alphabetical order."""
    parts = []
    for folder in [PACKAGE, *sorted(path.parent for path in PACKAGE.glob("*/**/__init__.py"))]:
        modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        if modules:
            rows = [f"| `{path.name}` | {summary(path).replace('|', chr(92) + '|')} |" for path in modules]
            parts.append(
                "\n".join([f"## `{folder.relative_to(ROOT).as_posix()}/`", "", "| module | |", "|---|---|", *rows, ""])
            )
    return HEAD + "\n".join(parts)


def main(check: bool) -> int:
    """Write or check the page and return the exit code."""
    wanted = module_map()
    if check:
        return int(PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
