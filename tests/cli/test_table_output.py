"""What commands print beside their tables."""

from __future__ import annotations

import re
import sys

import pytest
from tqdm import tqdm

from roi_bench.cli.table_output import notify


def test_a_remark_has_a_line_of_its_own_while_a_progress_bar_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with tqdm(total=2, desc="grading", file=sys.stderr, mininterval=0) as bar:
        bar.update()
        notify("refused this-one: a reason")
        bar.update()
    lines = re.split(r"[\r\n]+", capsys.readouterr().err)
    assert "roi-bench: refused this-one: a reason" in lines
    assert any("2/2" in line for line in lines)
