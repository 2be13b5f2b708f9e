"""What commands print beside their tables."""

from __future__ import annotations

import re
import sys

import pytest
from tqdm import tqdm

from roi_bench.cli.table_output import notify, with_progress


def test_a_remark_has_a_line_of_its_own_while_a_progress_bar_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with tqdm(total=2, desc="grading", file=sys.stderr, mininterval=0) as bar:
        bar.update()
        notify("refused this-one: a reason")
        bar.update()
    lines = re.split(r"[\r\n]+", capsys.readouterr().err)
    assert "roi-bench: refused this-one: a reason" in lines
    assert any("2/2" in line for line in lines)


def test_a_remark_draws_no_bar_that_has_not_been_shown_yet(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in with_progress("grading")([1, 2]):
        notify("refused this-one: a reason")
    assert set(re.split(r"[\r\n]+", capsys.readouterr().err)) == {"", "roi-bench: refused this-one: a reason"}
