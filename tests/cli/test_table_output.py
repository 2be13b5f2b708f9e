"""What commands print beside their tables."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from roi_bench.analysis.reports import figures
from roi_bench.cli.main import main
from roi_bench.cli.table_output import notify, with_progress
from roi_bench.errors import DependencyError
from tests.leaderboard.made_submissions import MadeTask, write_results


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


def test_where_no_picture_can_be_drawn_the_option_that_leaves_them_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise DependencyError("pictures need matplotlib")

    monkeypatch.setattr(figures, "check_figures", missing)
    results, out = write_results(tmp_path / "run", [MadeTask(exams=3)]), tmp_path / "report"
    command = ["report", str(results), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == DependencyError.exit_code
    assert "--no-figures" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--no-figures"])
    assert not ended.value.code
    assert (out / "report.md").is_file()
