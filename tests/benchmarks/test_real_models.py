"""Rows of real models hold no text, and give back every number of the run that they were taken from."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import real_models
from benchmarks.real_models import SHOWN, keep, read_rows, samples_of, table
from roi_bench.analysis.reports.score_tables import interval_of
from roi_bench.cli.allocate import allocate
from roi_bench.scoring.statistics import estimate_ratio
from tests.support.playback_run import TASKS, sit


def test_rows_give_every_number_back_and_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for exams in (3, 9):  # a second day
        sit(tmp_path, exams)
        keep(Namespace(out=tmp_path / "out", rows=tmp_path / "rows.csv"))
    assert re.search(r"\b9\b.*\b27\b", capsys.readouterr().out)
    rows = read_rows(tmp_path / "rows.csv")
    results = json.loads(max((tmp_path / "out").rglob("results_*.json")).read_text())["results"]
    for task, order in zip(TASKS, ("hard", "medium"), strict=True):
        samples = samples_of(rows, "a_model", "direct", 128, order)
        assert len(samples) == 9
        for metric in real_models._metrics():
            estimate = estimate_ratio(real_models._terms(metric, samples))
            assert estimate.value == pytest.approx(results[task][f"{metric.name},none"])
            assert estimate.stderr_general == pytest.approx(results[task][f"{metric.name}_stderr,none"])
    table(Namespace(rows=tmp_path / "rows.csv"))
    printed = capsys.readouterr().out
    assert all(name.replace("_", "\\_") in printed for name in SHOWN)
    assert "boxed" not in (tmp_path / "rows.csv").read_text()
    assert (tmp_path / "rows.csv").read_text().count("a_model,direct,easy,128,tiny/0/") == 9


def test_rows_of_exams_asked_on_different_days_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sit(tmp_path / "one", 4)
    sit(tmp_path / "one", 2)  # holds nothing more
    sit(tmp_path / "other", 6, first=4)
    for day in ("one", "other"):
        keep(Namespace(out=tmp_path / day / "out", rows=tmp_path / "rows.csv"))
    assert "0 rows before, 12 now" in capsys.readouterr().out.replace("rows.csv: 12 rows before, 18 now", "")
    sit(tmp_path / "whole", 6)
    keep(Namespace(out=tmp_path / "whole" / "out", rows=tmp_path / "whole.csv"))
    assert (tmp_path / "rows.csv").read_text() == (tmp_path / "whole.csv").read_text()


def tables_of(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Return the Markdown tables of a text, each as its head and its rows."""
    found = []
    for block in re.findall(r"^\|.*(?:\n\|.*)+", text, re.MULTILINE):
        head, _, *rows = [re.split(r" *(?<!\\)\| *", line.strip("| ")) for line in block.splitlines()]
        found.append((head, rows))
    return found


def test_the_page_says_what_the_shipped_rows_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Its first three tables are those printed, without columns of which the page says all in a sentence."""
    table(Namespace(rows=real_models.ROOT / real_models.ROWS))
    printed = tables_of(capsys.readouterr().out)
    shown = tables_of((real_models.ROOT / "docs/real-models.md").read_text())[: len(printed)]
    assert [len(rows) for _, rows in printed[:2]] == [10, 4]
    head, rows = printed[2]
    printed[2] = head, [row for row in rows if row[head.index("prompt")] == "direct"]
    left_out = []
    for (names, cells), (head, rows) in zip(printed, shown, strict=True):
        kept = [names.index(name) for name in head]
        assert [[row[k] for k in kept] for row in cells] == rows
        left_out.append({name: {row[k] for row in cells} for k, name in enumerate(names) if name not in head})
    assert left_out[:2] == [{}, {"model": {"qwen05"}, "n": {"60"}}]
    counts = {"n": {"60", "240"}, "skipped": {"0.00", "0.01"}}  # of the first table; in the sentence above the third
    assert left_out[2] == {"prompt": {"direct"}, "empty": {"0.00"}, **counts}


def test_the_pages_best_policies_come_back_from_the_shipped_profile(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    profile = real_models.ROOT / "docs/real-models-qwen05-profile.json"
    done = CliRunner().invoke(allocate, [str(profile), "--out", str(tmp_path / "allocation")])
    assert done.exit_code == 0, done.output
    page = (real_models.ROOT / "docs/real-models.md").read_text()
    rows = re.findall(r"^\| (easy|medium|hard) \| (512|1,024) \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE)
    assert len(rows) == 5
    for order, budget, value in rows:
        line = rf"^{order} +{budget.replace(',', '')} +60 .* {re.escape(value.strip())} "
        assert re.search(line, done.output, re.MULTILINE), (order, budget, value)


def test_the_pages_counts_of_outcomes_are_those_of_the_shipped_rows() -> None:
    page = " ".join((real_models.ROOT / "docs/real-models.md").read_text().split())
    rows = read_rows(real_models.ROOT / real_models.ROWS)
    by_order = {
        order: [row.outcomes.split("/") for row in rows.values() if row.key[:4] == ("qwen15", "direct", order, 512)]
        for order in ("easy", "hard")
    }
    right = [sum(outcomes[k] == "correct" for outcomes in by_order["easy"]) for k in range(2)]
    assert f"{right[0]} of 60 GSM8K and {right[1]} of 60 MATH problems" in page
    assert [sum(outcomes[k] == "correct" for outcomes in by_order["hard"]) for k in range(3)] == [0, 1, 1]
    first = [outcomes[0] for outcomes in by_order["hard"]]
    assert f"in {first.count('truncated')} exams the budget ends inside the AIME problem" in page
    assert f"in {first.count('wrong')} it is answered wrongly" in page
    assert first.count("skipped") == 1
    direct: dict[tuple[object, ...], list[str]] = {}
    for row in rows.values():
        if row.prompt == "direct":
            direct.setdefault(row.key[:4], []).extend(row.outcomes.split("/"))
    skipped = max(outcomes.count("skipped") / len(outcomes) for outcomes in direct.values())
    assert f"at most {100 * skipped:.2f} % skipped" in page


def test_the_scores_beside_the_best_policies_are_those_of_the_same_exams() -> None:
    page = (real_models.ROOT / "docs/real-models.md").read_text()
    rows = read_rows(real_models.ROOT / real_models.ROWS)
    metrics = {metric.name: metric for metric in real_models._metrics()}
    shown = re.findall(r"^\| (easy|medium|hard) \| (512|1,024) \| ([\d.]+) \[([\d.]+), ([\d.]+)\]", page, re.MULTILINE)
    assert len(shown) == 5
    for order, budget, *numbers in shown:
        asked = samples_of(rows, "qwen05", "direct", int(budget.replace(",", "")), "hard" if order == "easy" else order)
        first = {exam: sample for exam, sample in asked.items() if int(exam.removeprefix("v1/")) < 60}
        name = "score_easy" if order == "easy" else "score"
        found = interval_of(estimate_ratio(real_models._terms(metrics[name], first)), "score")
        assert [f"{number:.2f}" for number in (found.value, found.low, found.high)] == numbers
