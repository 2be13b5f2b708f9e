"""``roi-bench report`` on runs that were asked in other words as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roi_bench.cli.main import main
from roi_bench.exams.sets import load_exams
from roi_bench.reading.responses import READING_RULE
from roi_bench.scoring.prompts import prompt_sha256
from tests.support.exam_factory import respond
from tests.support.results import sample, write

EXAMS = load_exams("tiny")[:6]


def written(folder: Path, paraphrase: int, right: int) -> Path:
    """A run whose first ``right`` exams are answered right in both orders."""
    folder.mkdir()
    samples: list[dict[str, Any]] = []
    for index, exam in enumerate(EXAMS):
        texts = (
            respond([problem.answer if index < right else "NA" for problem in exam.ordered(order)])
            for order in ("hard", "easy")
        )
        samples.append(sample(exam.id, *([text] for text in texts)))
    labels = [f"paraphrase={paraphrase}"] if paraphrase else []
    changes = {"paraphrase": paraphrase, "prompt_sha256": prompt_sha256("direct", paraphrase), "deviations": labels}
    return write(folder, samples, reading_rule=READING_RULE, **changes)


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["report", *map(str, arguments), "--workers", "1"])
    return exit_.value.code, *capsys.readouterr()


def test_paraphrase_runs_are_a_spread_and_no_rivals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, right in enumerate((4, 3, 5, 2)):
        written(tmp_path / f"{number}", number, right)
    code, out, _ = report(capsys, tmp_path)
    assert code == 0
    assert "Spread over prompts" in out
    assert "with prompt noise" in out
    assert "Ranks and tiers" not in out
    assert "paraphrase=" not in out


def test_paraphrase_runs_alone_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "1", 1, 3)
    code, out, err = report(capsys, tmp_path)
    assert (code, out) == (2, "")
    assert "canonical" in err.splitlines()[-1]
    written(tmp_path / "medium", 0, 3)
    code, out, err = report(capsys, tmp_path)
    assert code == 0
