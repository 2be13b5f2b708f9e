"""``roi-bench submit`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roi_bench.cli.main import main
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered, write_results

ABOUT = ("--contamination", "none", "--contact", "nobody@example.org")


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["submit", *map(str, arguments)])
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("whole") / "submissions")


def test_packing_and_checking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_results(tmp_path / "results", [MadeTask(exams=3, usd=1e-5)])
    out = tmp_path / "submissions"
    options = (*ABOUT, "--licence", "apache-2.0", "--open-weights", "--version", "v2", "--hardware", "a laptop")
    code, printed, told = command(capsys, "pack", results, "--out", out, "--draft", *options, "--notes", "a note")
    assert code == 0, told
    folder = Path(printed.strip())
    assert folder.parent == out
    assert f"roi-bench submit check {folder}" in told
    metadata = json.loads((folder / "submission.json").read_text(encoding="utf-8"))["metadata"]
    assert metadata == {
        "model": "made-up/model",
        "date": "2026-11-24",
        "contamination": "none",
        "contact": "nobody@example.org",
        "version": "v2",
        "provider": "local",
        "organisation": None,
        "licence": "apache-2.0",
        "open_weights": True,
        "parameters": 800448,
        "hardware": "a laptop",
        "notes": "a note",
    }
    code, printed, _ = command(capsys, "check", folder)
    assert code == 0
    assert "roi_tiny_hard_128" in printed
    assert "passed all checks; no badge: a draft is never published" in printed


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "the results do not tell contamination and contact; give --contamination …, --contact …"),
        ((*ABOUT,), 5, "not packed, since it would be refused: "),
        ((*ABOUT, "--draft", "--replaces", "made-up-model-0123456789ab"), 2, "--replaces and --reason come together"),
        ((*ABOUT, "--draft", "--date", "yesterday"), 5, "$.metadata.date: 'yesterday' does not match"),
        ((*ABOUT, "--draft", "--metadata", "nothing.yaml"), 2, "--metadata nothing.yaml: cannot be read"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, message: str
) -> None:
    results = write_results(tmp_path / "results", [MadeTask(exams=2)])
    ended, printed, told = command(capsys, "pack", results, "--out", tmp_path / "out", *options)
    assert (ended, printed) == (code, "")
    assert message in told
    assert told.count("\n") == 1


def test_a_whole_one_earns_its_badge_and_forged_ones_end_with_5(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def raise_claim(document: dict[str, Any]) -> None:
        document["claimed"]["roi_tiny_hard_128"] = {"score": 3.0}

    forged = tampered(whole, tmp_path, rows=lambda rows: rows.pop(), consistent=False)
    raised = tampered(whole, tmp_path / "raised", document=raise_claim)
    code, printed, _ = command(capsys, "check", forged, whole, raised, "--json", "--workers", 1)
    assert code == 5
    refused, found, claimed = json.loads(printed)
    assert set(refused) == {"folder", "refused"}
    assert "it was altered or cut off" in refused["refused"]
    assert (found["id"], found["badge"], found["recounted"], found["remarks"]) == (whole.name, "regraded", True, [])
    (run,) = found["runs"]
    assert (run["task"], run["exams"]) == ("roi_tiny_hard_128", 480)
    score, low, high = run["numbers"]["score"]
    assert 1.5 < low < score < high < 1.9
    assert claimed["runs"][0]["numbers"]["score"][0] == score
    assert [remark["rule"] for remark in claimed["remarks"]] == ["claims"]
    code, printed, told = command(capsys, "check", forged, raised)
    assert code == 5
    assert "roi-bench: refused: " in told
    assert "claims: roi_tiny_hard_128: claims score 3 (found 1.7" in " ".join(printed.split())
    assert "passed all checks; badge: regraded" in printed
