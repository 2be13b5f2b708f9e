"""The rows of the literature are those of SPEC section 10, each with its source, and none is taken for ours."""

from __future__ import annotations

import json

from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board.build import REPORTED_FILE, SECOND_HAND, load_reported, reported_rows

KNOWN = {
    ("Qwen2.5-1.5B-Instruct", "direct", "v1 medium 1024"): (0.98, None),
    ("Qwen2.5-1.5B-Instruct", "MFT + RARL", "v1 medium 1024"): (1.13, 0.02),
    ("Qwen2.5-1.5B-Instruct", "MFT + RARL", "v1 hard 512"): (0.93, None),
    ("Qwen2.5-1.5B-Instruct", "MFT + RARL", "v1 hard 1024"): (None, 0.02),
    ("GPT-4o-mini", "direct", "v1 hard 512"): (0.32, None),
    ("DeepSeek-V3.2", "direct", "v1 hard 512"): (0.49, None),
}
"""What SPEC section 10 tells, all of it second-hand."""


def test_the_rows_are_those_that_are_known() -> None:
    found = {(row.model, row.method, row.cell.title): (row.score, row.regret) for row in load_reported()}
    assert found == KNOWN
    assert len(load_reported()) == len(KNOWN)


def test_every_row_says_where_it_is_from_and_that_we_did_not_read_it_there() -> None:
    for row in load_reported():
        assert row.source == f"ROI-Reasoning, arXiv 2601.03822 ({SECOND_HAND})"


def test_a_row_that_stands_in_its_source_is_not_called_second_hand(monkeypatch, tmp_path) -> None:
    rows = json.loads(REPORTED_FILE.read_text(encoding="utf-8"))
    file = tmp_path / "reported.json"
    file.write_text(json.dumps([{**rows[0], "second_hand": False, "source": "a table"}]), encoding="utf-8")
    monkeypatch.setattr("roi_bench.leaderboard.board.build.REPORTED_FILE", file)
    load_reported.cache_clear()
    try:
        assert [row.source for row in load_reported()] == ["a table"]
    finally:
        load_reported.cache_clear()


def test_a_cell_gets_its_own_rows_and_a_generated_set_none() -> None:
    assert [row.model for row in reported_rows(Cell("v1", None, "hard", 512))] == [
        "Qwen2.5-1.5B-Instruct",
        "DeepSeek-V3.2",
        "GPT-4o-mini",
    ]
    assert reported_rows(Cell("v1", None, "hard", 2048)) == ()
    assert reported_rows(Cell("fresh", 0, "hard", 512)) == ()
    assert reported_rows(Cell("tiny", 0, "hard", 128)) == ()
