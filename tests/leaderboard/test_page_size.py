import pytest

from roi_bench.leaderboard.site.table_page import table_pages
from tests.leaderboard.invented_board import CELLS, MAIN, invented_board

LIMIT = 180_000
"""Bytes before compression."""


@pytest.fixture(scope="module")
def sizes():
    board = invented_board(200, exams=30, cells=(MAIN, CELLS[2]))
    return {page.path: page.content for page in table_pages(board)}


def test_tables_of_two_hundred_models_stay_small(sizes):
    assert list(sizes) == ["index.html", "cells/v1_hard_512.html", "cells/v1_hard_1024.html"]
    assert sizes["index.html"].count(b"<th scope=row>") == 200
    assert {path: len(content) for path, content in sizes.items() if len(content) >= LIMIT} == {}


def test_a_row_leaves_room_for_longer_names(sizes):
    head, _, body = sizes["index.html"].partition(b"<tbody>")
    rows = body.partition(b"</tbody>")[0]
    rest = len(sizes["index.html"]) - len(rows)
    assert len(head) < 8_000
    assert rest + 200 * (len(rows) / 200 + 98) < LIMIT
