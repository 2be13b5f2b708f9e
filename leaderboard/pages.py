"""All pages that show submissions side by side; they are made anew at every build."""

from __future__ import annotations

from collections.abc import Iterator

from roi_bench.leaderboard.board import Board
from roi_bench.leaderboard.chart_page import chart_pages
from roi_bench.leaderboard.compare_page import compare_pages
from roi_bench.leaderboard.feed import history_pages
from roi_bench.leaderboard.method_page import method_page
from roi_bench.leaderboard.model_page import model_pages
from roi_bench.leaderboard.page import STATIC, PageFile, PageOptions
from roi_bench.leaderboard.table_page import table_pages


def board_pages(board: Board, options: PageOptions) -> Iterator[PageFile]:
    """Yield every page that depends on more than one submission, and the data of the compare page.

    Args:
        board: What is shown.
        options: What the site shows.
    """
    yield from table_pages(board)
    yield from chart_pages(board)
    yield from model_pages(board)
    yield from compare_pages(board, options)
    yield method_page(board)
    yield from history_pages(board)


def static_files() -> Iterator[PageFile]:
    """Yield the files of ``static/``, by name."""
    for path in sorted(STATIC.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield PageFile(f"static/{path.name}", path.read_bytes())
