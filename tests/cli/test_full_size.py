"""The measurement of docs/measurements.md works, on fewer exams: every command on recorded responses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import analysis_at_full_size
from benchmarks.analysis_at_full_size import Timing, measure, timed
from roi_bench.cli.main import main

MEASURED = "allocate, profile alone"


def in_this_process(name: str, *arguments: object) -> Timing:
    """Run the command; only the measurement needs a process of its own for each, so one has it here."""
    if name == MEASURED:
        return timed(name, *arguments)
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0, name
    return Timing(name, 0.0, 0.0)


@pytest.mark.slow
def test_every_command_works_on_recorded_responses_to_the_real_exams(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    monkeypatch.setattr(analysis_at_full_size, "timed", in_this_process)
    timings = {timing.name: timing for timing in measure(tmp_path, exams=30, samples=2)}
    assert len(timings) == 10
    assert timings[MEASURED].seconds > 0
    assert timings[MEASURED].memory_mb > 0
    with (tmp_path / "out" / "report" / "allocation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    orders = {(row["run"], row["order"], row["budget"]) for row in rows}
    prompts = ("direct", "metacognitive", "greedy_knapsack")
    assert orders == {(p, o, b) for p in prompts for o in ("easy", "medium", "hard") for b in ("512", "1024")}
    for row in rows:
        assert row["n"] == "30"
        product = float(row["V_DP"]) * float(row["AE"]) * float(row["SR"])
        assert product == pytest.approx(float(row["score"]), abs=1e-9)
    assert len(list((tmp_path / "out" / "allocate").glob("budget_sweep_*.png"))) == 3
