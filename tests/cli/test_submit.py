"""``roi-bench submit`` as a user runs it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roi_bench.cli.main import main
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered, tiny_counter, write_results
from tests.support.messages import missing

ABOUT = ("--contamination", "none", "--contact", "nobody@example.org")


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["submit", *map(str, arguments)])
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("whole") / "submissions")


@pytest.mark.parametrize("arguments", [("pack", "nothing", "--out", "out"), ("check", "nothing")])
def test_what_is_missing_is_named_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("roi_bench.cli.submit.find_spec", lambda name: None if name == "tokenizers" else object())
    code, printed, told = command(capsys, *arguments)
    assert (code, printed, len(told.splitlines())) == (6, "", 1)
    assert told.endswith("pip install tokenizers\n")


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
    assert missing(["passed", "no badge"], printed) == []


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ((), 2, ["--contamination", "--contact"]),
        ((*ABOUT,), 5, ["478 of 480 exams"]),
        ((*ABOUT, "--draft", "--replaces", "made-up-model-0123456789ab"), 2, ["--replaces", "--reason"]),
        ((*ABOUT, "--draft", "--date", "yesterday"), 2, ["'--date'", "'yesterday'", "2026-11-24"]),
        ((*ABOUT, "--draft", "--date", "2026-02-30"), 2, ["'--date'", "'2026-02-30'"]),
        ((*ABOUT, "--draft", "--date", "2999-01-01"), 2, ["'--date'", "2999-01-01"]),
        (
            (*ABOUT, "--draft", "--replaces", "mine", "--reason", "r"),
            2,
            ["'--replaces'", "'mine'"],
        ),
        ((*ABOUT, "--draft", "--parameters", "1.5X"), 2, ["'--parameters'", "'1.5X'", "1500000000"]),
        ((*ABOUT, "--draft", "--parameters", "0"), 2, ["'--parameters'", "'0'"]),
        ((*ABOUT, "--draft", "--tokenizer", "{results}"), 4, ["results'"]),
        ((*ABOUT, "--draft", "--metadata", "nothing.yaml"), 2, ["--metadata nothing.yaml"]),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, facts: list[str]
) -> None:
    results = write_results(tmp_path / "results", [MadeTask(exams=2)])
    ended, printed, told = command(
        capsys,
        "pack",
        results,
        "--out",
        tmp_path / "out",
        *(option.format(results=results.parent) for option in options),
    )
    assert (ended, printed) == (code, "")
    assert missing(facts, told) == []
    assert told.count("\n") == 1


def test_a_model_too_long_is_told_by_its_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_results(tmp_path / "results", [MadeTask(exams=2)])
    code, _, told = command(capsys, "pack", results, "--out", tmp_path, "--draft", *ABOUT, "--model", "x" * 150)
    assert code == 5
    assert missing(["metadata.model", "150", "120"], told.splitlines()[-1]) == []
    assert "x" * 50 not in told.splitlines()[-1]


def test_several_models_are_packed_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "two" / "a", [MadeTask(exams=2)], model="/data/mine/one")
    write_results(tmp_path / "two" / "b", [MadeTask(exams=2, order="medium")], model="made-up/two")
    for options in ((), ("--model", "made-up/both")):
        code, printed, told = command(capsys, "pack", tmp_path / "two", "--out", tmp_path / "out", *ABOUT, *options)
        assert (code, printed) == (2, "")
        assert missing(["2 models", "one, made-up/two"], told) == []
        assert "/data/mine" not in told
    code, printed, _ = command(
        capsys, "pack", tmp_path / "two" / "b", "--out", tmp_path / "out", "--draft", *ABOUT, "--model", "made-up/new"
    )
    assert (code, Path(printed.strip()).name[:12]) == (0, "made-up-new-")


def test_parameters_are_written_as_people_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_results(tmp_path / "results", [MadeTask(exams=2)])
    options = ("--draft", *ABOUT, "--parameters", "1.5B")
    _, printed, _ = command(capsys, "pack", results, "--out", tmp_path / "out", *options)
    document = json.loads((Path(printed.strip()) / "submission.json").read_text(encoding="utf-8"))
    assert document["metadata"]["parameters"] == 1_500_000_000


def test_the_folder_of_all_submissions_is_none(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, told = command(capsys, "check", whole, whole.parent, "--json")
    assert (code, printed) == (2, "")
    assert f"{whole.parent}/*" in told
    (tmp_path / "empty").mkdir()
    code, _, told = command(capsys, "check", tmp_path / "empty")
    assert code == 5
    assert missing([tmp_path / "empty", "submission.json"], told) == []


def test_a_draft_of_a_complete_run_is_told_so(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = whole.parent.with_name(f"{whole.parent.name}-results")
    _, printed, told = command(capsys, "pack", results, "--out", tmp_path, "--draft", *ABOUT)
    assert missing(["draft", "complete", "--draft"], told) == []
    _, printed, _ = command(capsys, "check", printed.strip())
    assert re.search(r"^.*draft: complete.*--draft", printed, re.MULTILINE)
    part = write_results(tmp_path / "part", [MadeTask(exams=2)])
    _, printed, told = command(capsys, "pack", part, "--out", tmp_path, "--draft", *ABOUT)
    assert "a draft" not in told
    _, printed, _ = command(capsys, "check", printed.strip())
    assert re.search(r"^.*draft: not whole", printed, re.MULTILINE)
    assert "draft: a draft" not in printed


def test_one_response_over_budget_is_refused(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hashes, id and token_lengths are those of the longer response, so that nothing but the budget refuses it."""

    def lengthen(rows: list[dict[str, Any]]) -> None:
        response = rows[7]["requests"][0][0]
        text = response["text"] + " 1 + 1 = 2" * 60
        starts = list(tiny_counter().token_starts(text))
        assert len(starts) > 128 + 20
        lengths = [after - before for before, after in zip([0, *starts], starts, strict=False)]
        usage = {"tokens": len(starts) + 1, "finish_reason": "stop", "source": "generated"}
        rows[7]["requests"][0][0] = {**response, "text": text, "usage": usage, "token_lengths": lengths}

    long = tampered(whole, tmp_path, rows=lengthen)
    code, printed, told = command(capsys, "check", long)
    assert (code, printed) == (5, "")
    assert re.search(r"tiny/0/007.*tokens.*128", told)


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
    assert missing(["roi_tiny_hard_128.jsonl.gz", "SHA-256"], refused["refused"]) == []
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
    assert re.search(r"claims: roi_tiny_hard_128: .*score 3 .*1\.7", " ".join(printed.split()))
    assert missing(["passed", "badge: regraded"], printed) == []


def test_what_words_do_to_a_score_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = MadeTask(exams=6, skill=(0.9, 0.6, 0.0))
    worded = [replace(task, paraphrase=number, skill=(0.5, 0.2 * number, 0.0)) for number in (1, 2)]
    folder = made_submission(tmp_path / "made", [task, *worded])
    code, printed, _ = command(capsys, "check", folder, "--workers", 1)
    assert code == 0
    assert re.search(r"roi_tiny_hard_128: score over 3 prompts \d\.\d\d to \d\.\d\d, with noise", printed)
    assert "paraphrase" not in printed.partition("passed")[0].partition("score over")[0]
    (found,) = json.loads(command(capsys, "check", folder, "--json", "--workers", 1)[1])
    (run,) = found["runs"]
    assert run["over_prompts"]["score"]["prompts"] == 3
    assert set(run["over_prompts"]) == {"score", "regret"}
