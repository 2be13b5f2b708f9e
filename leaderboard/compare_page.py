"""The compare page: any two runs of one cell, and the data that its script reads besides each model's ``data.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board import Board, CellTable, Standing
from roi_bench.leaderboard.page import PageFile, PageOptions, render
from roi_bench.leaderboard.shown_text import visible_line


def compare_link(a: Standing, b: Standing) -> str:
    """Return the address, from the site's folder, of the comparison of two runs of one cell."""
    query = {"cell": a.run.cell.slug, "a": _value(a), "b": _value(b)}
    return f"compare.html?{urlencode(query, safe='/')}"


def compare_pages(board: Board, options: PageOptions) -> Iterator[PageFile]:
    """Yield ``compare.html``, ``data/models.json`` (runs by cell) and ``data/exams/<set>.json`` (exams, clusters)."""
    yield render("compare.html", "compare.html", {"board": board, "exam_pages": options.exam_pages})
    yield _json_file("data/models.json", {"cells": [_cell(table) for table in board.cells if table.standings]})
    sets: dict[str, list[Standing]] = {}
    for table in board.cells:
        sets.setdefault(_set_name(table.cell), []).extend(table.standings)
    for name, standings in sets.items():
        clusters = {
            exam: cluster
            for standing in standings
            for exam, cluster in zip(standing.run.exam_ids, standing.run.exam_clusters, strict=True)
        }
        exams = sorted(clusters)  # ids of a set count up with leading zeros
        yield _json_file(f"data/exams/{name}.json", {"exams": exams, "clusters": [clusters[exam] for exam in exams]})


def _cell(table: CellTable) -> dict[str, Any]:
    names = _names(table.standings)
    return {
        "slug": table.cell.slug,
        "title": f"{table.cell.title} ({len(names)} {'run' if len(names) == 1 else 'runs'})",
        "set": _set_name(table.cell),
        "runs": [
            {"id": standing.entry.id, "prompt": standing.run.prompt, "slug": standing.run.slug, "name": name}
            for standing, name in zip(table.standings, names, strict=True)
        ],
    }


def _names(standings: Sequence[Standing]) -> list[str]:
    """Return ``model · prompt`` of each run; where two would be called alike, with the end of the submission's id."""
    names = []
    for standing in standings:
        parts = [standing.entry.graded.submission.metadata.model, standing.run.prompt, standing.run.decoding]
        names.append(" · ".join(visible_line(part) for part in parts if part))
    seen = Counter(names)
    return [
        name if seen[name] == 1 else f"{name} · {standing.entry.id[-12:]}"
        for standing, name in zip(standings, names, strict=True)
    ]


def _value(standing: Standing) -> str:
    return f"{standing.entry.id}/{standing.run.prompt}"


def _set_name(cell: Cell) -> str:
    return f"{cell.exam_set}_{cell.exam_seed}" if cell.exam_seed else cell.exam_set


def _json_file(path: str, content: Any) -> PageFile:
    return PageFile(path, (json.dumps(content, separators=(",", ":")) + "\n").encode("ascii"))
