"""The front door: every public name is documented, lazy, and works as docs/python.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import roi_bench as roi
from roi_bench.errors import UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.scoring.tokens import Usage
from tests.support.exam_factory import respond
from tests.support.playback_run import sit

PAGE = Path("docs/python.md")


def test_every_public_name_is_in_the_documents_and_the_other_way_round() -> None:
    table = PAGE.read_text("utf-8").rpartition("## Names")[2]
    documented = re.findall(r"`([^`]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert sorted(documented) == sorted(roi.__all__)
    assert set(roi.__all__) <= set(dir(roi))
    for name in roi.__all__:
        assert getattr(roi, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = roi.no_such_name


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import roi_bench; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"'([^']+)'", done.stdout))
    assert {name for name in loaded if name.startswith("roi_bench")} == {"roi_bench"}


def test_type_checkers_are_told() -> None:
    assert (Path(roi.__file__).parent / "py.typed").exists()


def test_a_response_is_scored_as_a_run_would() -> None:
    exam = roi.find_exam("tiny/0/003")
    right = [problem.answer for problem in exam.ordered("medium")]
    text = respond([right[0], "NA", "no such number"])
    result = roi.score(exam, text, order="medium", budget=128, tokenizer=str(model_path()))
    assert (result.score, [problem.outcome for problem in result.problems]) == (1, ["correct", "skipped", "wrong"])
    assert [problem.answer for problem in result.problems] == [right[0], "NA", "no such number"]
    for problem in result.problems:
        assert problem.span is not None
        start, end = problem.span
        assert text[start:end] == f"\\boxed{{{problem.answer}}}"
    assert all(problem.tokens for problem in result.problems)
    assert result.tokens == sum(problem.tokens or 0 for problem in result.problems)
    cut = roi.score(exam, text[:30], order="medium", budget=128, usage=Usage(128, "length", "provider"))
    assert [problem.outcome for problem in cut.problems][1:] == ["truncated", "truncated"]
    lost = roi.score(exam, None, budget=128)
    assert lost.failed
    assert [problem.outcome for problem in lost.problems] == ["error"] * 3


def test_prompts_are_those_of_the_tasks() -> None:
    exam = roi.load_exams("tiny")[0]
    bare = roi.exam_prompt(exam, budget=128)
    (system, user) = roi.exam_prompt(exam, budget=128, messages=True)
    assert system["content"] in bare
    assert user["content"] in bare
    assert all(problem.question in bare for problem in exam.problems)
    with pytest.raises(UsageError, match="solo"):
        roi.exam_prompt(exam, budget=128, prompt="solo")
    with pytest.raises(UsageError, match="upwards"):
        roi.exam_prompt(exam, budget=128, order="upwards")


def test_answers_are_graded() -> None:
    assert roi.grade("\\frac{1}{2}", "0.5").correct
    assert roi.grade(["7", "8"], "8", pool="aime").correct
    assert not roi.grade("7", "8", pool="aime").correct
    assert roi.grade("76", "76\\%", pool="gsm8k", question="How many percent are left?").correct


def test_runs_are_loaded_reported_and_compared(tmp_path: Path) -> None:
    sit(tmp_path, 6)
    runs = roi.load_runs(tmp_path / "out")
    assert [run.cell.order for run in runs] == ["medium", "hard"]
    assert (len(runs), runs.profiles) == (2, ())
    report = roi.report(runs)
    scores = report.frame()
    estimate = runs[0].estimates()["score"]
    assert scores.iloc[0]["score"] == estimate.value
    assert {"score_low", "score_high"} <= set(scores.columns)
    assert set(report.figures()) >= {"scores_tiny_hard_128", "scores_tiny_medium_128"}
    assert "Scores" in report._repr_markdown_()
    with pytest.raises(UsageError, match="'score'"):
        report.frame("score")
    same = roi.compare(runs[1], runs[1])
    assert list(same.index) == ["score", "score_easy", "regret"]
    assert (same["difference"] == 0).all()
    assert (same["exams"] == 6).all()
    report.write(tmp_path / "written", figures=False)
    assert (tmp_path / "written" / "scores.csv").exists()


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sit(tmp_path, 6)
    (tmp_path / "out").rename(tmp_path / "notebook")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own page
    printed = capsys.readouterr().out.splitlines()
    assert len(blocks) == 5
    assert printed[-4] == "1"
    assert [line.split()[2] for line in printed[-3:]] == ["skipped", "correct", "wrong"]
