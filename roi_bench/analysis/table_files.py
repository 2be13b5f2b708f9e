"""Tables and their pictures as files: text, Markdown, CSV, SVG, PNG; the same tables give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from roi_bench.analysis.tables import Table, to_csv, to_markdown, to_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT_WIDTH = 200
"""Columns of a text table in a file."""

FIGURE_SUFFIXES = (".svg", ".png")


def write_tables(tables: Sequence[Table], folder: Path, name: str, figures: Mapping[str, Figure] | None = None) -> None:
    """Write ``tables`` into ``folder``: ``NAME.txt``, ``NAME.md``, one CSV each; and ``figures`` as SVG and PNG.

    Files of earlier calls with the same names are replaced; nothing else in the folder is touched.
    """
    figures = figures or {}
    folder.mkdir(parents=True, exist_ok=True)
    pictures = "".join(f"\n![{figure}]({figure}.svg)\n" for figure in figures)
    (folder / f"{name}.txt").write_text("\n".join(to_text(table, TEXT_WIDTH) for table in tables), encoding="utf-8")
    (folder / f"{name}.md").write_text("\n".join(map(to_markdown, tables)) + pictures, encoding="utf-8")
    for table in tables:
        (folder / f"{table.name}.csv").write_bytes(to_csv(table).encode("utf-8"))
    if figures:
        from roi_bench.analysis.figures import save_figure

        for figure, drawn in figures.items():
            for suffix in FIGURE_SUFFIXES:
                save_figure(drawn, folder / f"{figure}{suffix}")
