"""Runs of another reading rule or prompt version are named as such, read again only by ``regrade``, and never mixed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.analysis.load import ScoringOptions, profile_of, score_runs
from roi_bench.analysis.profile import parse_profile
from roi_bench.cli.main import main
from roi_bench.cli.regrade import regrade
from roi_bench.errors import RecordError
from roi_bench.harness.run import run
from roi_bench.harness.run_record import run_digest
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import Header
from roi_bench.records.results import KEYS, Sending, read_results
from roi_bench.scoring.prompts import PROMPT_VERSION, prompt_sha256
from tests.leaderboard.made_submissions import MadeTask, write_results
from tests.support.messages import shown_in

EXAM = MadeTask(exams=3)
ALONE = MadeTask(order=None, prompt="solo", skill=(1.0, 0.9, 0.3), attempts=(True, True, True), budget=256, exams=3)
OLD = ("reading_rule", "starts_in_reasoning", "think_tags", *KEYS)
"""What records of reading rule 1 do not say."""


def altered(path: Path, **changes: Any) -> Path:
    """Alter the records in a results file; None takes a field away."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for config in content["configs"].values():
        record = config["metadata"]["roi_bench"]
        record |= changes
        for name in [name for name, value in changes.items() if value is None]:
            del record[name]
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Results of reading rule 1: exams and problems alone."""
    return altered(write_results(tmp_path / "old", [EXAM, ALONE]), **dict.fromkeys(OLD))


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the line in which a command ends."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == RecordError.exit_code
    *_, line = capsys.readouterr().err.splitlines()
    return line


def test_a_record_that_names_no_rule_is_of_rule_1(old: Path) -> None:
    records = [task.record for task in read_results(old)]
    assert {record.reading_rule for record in records} == {1}
    assert not any(record.starts_in_reasoning or record.think_tags for record in records)
    assert {record.sending for record in records} == {Sending()}


@pytest.mark.parametrize("command", ["report", "profile", "allocate"])
def test_no_report_profile_or_allocation_is_made_of_it(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    new = write_results(tmp_path / "new", [EXAM, ALONE])
    arguments: list[object] = [command, old, new]
    if command == "allocate":
        assert failed(capsys, "profile", old).startswith("roi-bench: ")
        profile = tmp_path / "profile.json"
        with pytest.raises(SystemExit):
            main(["profile", str(new), "--out", str(profile)])
        capsys.readouterr()
        arguments = [command, profile, "--results", old]
    line = failed(capsys, *arguments)
    assert f"{old}: roi_tiny_" in line
    assert re.search(r"\brule 1\b.*\brule 2\b", line)


def test_submit_pack_refuses_it(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--contact", "me", "--contamination", "none", "--draft", "--out", tmp_path / "out")
    line = failed(capsys, "submit", "pack", old, *given)
    assert shown_in(line, "rule 1")
    assert not (tmp_path / "out").exists()


def test_regrade_reads_it_by_todays_rule_and_says_so(old: Path, tmp_path: Path) -> None:
    content = json.loads(old.read_text(encoding="utf-8"))
    content["results"]["roi_tiny_hard_128"] = {"alias": "roi_tiny_hard_128", "score,none": 3.0, "skip_rate,none": 0.0}
    old.write_text(json.dumps(content), encoding="utf-8")
    done = CliRunner().invoke(regrade, [str(old), "--json"])
    assert done.exit_code == 1  # the made score is another
    numbers = next(task["numbers"] for task in json.loads(done.output) if task["task"] == "roi_tiny_hard_128")
    assert set(numbers) == {"score", "skip_rate"}  # what rule 1 did not record does not differ
    assert not numbers["score"]["equal"]
    assert [task["reading_rule"] for task in json.loads(done.output)] == [{"recorded": 1, "applied": 2}] * 2
    said = CliRunner().invoke(regrade, [str(old)]).output
    assert len([line for line in said.splitlines() if shown_in(line, "rule 2", "rule 1")]) == 2
    said = CliRunner().invoke(regrade, [str(write_results(tmp_path / "new", [EXAM]))]).output
    assert shown_in(said, "rule 2")
    assert "rule 1" not in said


def test_regrade_names_the_file_where_there_are_several(tmp_path: Path) -> None:
    paths = [write_results(tmp_path / name, [EXAM]) for name in ("one", "two")]
    said = CliRunner().invoke(regrade, [str(path) for path in paths]).output
    assert [line.split(": ")[0] for line in said.splitlines() if "numbers" in line] == [str(path) for path in paths]
    said = CliRunner().invoke(regrade, [str(paths[0])]).output
    assert str(paths[0]) not in said


def test_another_prompt_version_is_named_even_by_regrade(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(old, prompt_sha256="ef9661eee9ef02c2fdf0aba2f43bb25fa551f6aa46aa36f5c8ff4125a2fd3d80")
    line = failed(capsys, "regrade", old)
    assert shown_in(line, "ef9661eee9ef… (version 1)", "'direct'", f"{prompt_sha256()[:12]}… (version 2)")
    altered(old, prompt_sha256="73ebd895a181abecbb8b5888b1140243c0e6e6fb745cd87faf64f174ed6ccaa0")
    assert shown_in(failed(capsys, "regrade", old), "73ebd895a181… (version 1)")  # paraphrase 2
    altered(old, reading_rule=READING_RULE, prompt_sha256="0" * 64)
    assert shown_in(failed(capsys, "report", old), "000000000000…", "'direct'")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reading_rule": 3}, r"\brule 3\b.*\brule 2\b"),
        ({"reading_rule": 0}, "roi_tiny_hard_128.*'reading_rule'"),
        ({"reading_rule": "2"}, "roi_tiny_hard_128.*'reading_rule'"),
        ({"reading_rule": 1.5}, "roi_tiny_hard_128.*'reading_rule'"),
        ({"starts_in_reasoning": "yes"}, "roi_tiny_hard_128.*'starts_in_reasoning'"),
        ({"think_tags": "x"}, "roi_tiny_hard_128.*'think_tags'"),
        ({"think_tags": [["<a>"]]}, "roi_tiny_hard_128.*'think_tags'"),
        ({"sent_as": "a letter"}, "roi_tiny_hard_128.*'sent_as'"),
        ({"system_instruction_sha256": 7}, "roi_tiny_hard_128.*'system_instruction_sha256'"),
    ],
)
def test_records_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = altered(write_results(tmp_path, [EXAM]), **changes)
    with pytest.raises(RecordError, match=message):
        read_results(path)


def test_a_profile_of_another_rule_is_named(tmp_path: Path) -> None:
    from roi_bench.analysis.profile import profile_text

    (task,) = read_results(write_results(tmp_path, [ALONE]))
    text = profile_text(profile_of(task, ScoringOptions(workers=1)))
    value = json.loads(text)
    assert value["reading_rule"] == READING_RULE
    parse_profile(text.encode(), "file")
    del value["reading_rule"]
    with pytest.raises(RecordError, match=r"^file: .*\brule 1\b.*\brule 2\b"):
        parse_profile(json.dumps(value).encode(), "file")


def test_a_run_of_today_is_reported(tmp_path: Path) -> None:
    (scored,) = score_runs([write_results(tmp_path, [EXAM])], ScoringOptions(workers=1))
    assert scored.task.record.reading_rule == READING_RULE


@pytest.mark.parametrize(
    ("missing", "theirs", "ours"),
    [
        (["reading_rule"], "reading rule 1", "reading rule 2"),
        (["prompt_version"], "prompt version 1", "prompt version 2"),
        (
            ["reading_rule", "prompt_version"],
            "reading rule 1 and prompt version 1",
            "reading rule 2 and prompt version 2",
        ),
    ],
)
def test_a_journal_of_another_version_is_named_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: list[str], theirs: str, ours: str
) -> None:
    responses = tmp_path / "responses.jsonl"
    lines = [
        {"exam": "tiny/0/000", "order": order, "response": "### Problem 1\n\\boxed{1}"} for order in ("hard", "easy")
    ]
    responses.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [
        *("--model", "roi-playback", "--model_args", f"responses={responses}", "--tasks", "roi_tiny_hard_128"),
        *("--limit", "1", "--output_path", str(tmp_path / "out")),
    ]
    run(command)
    (journal,) = (tmp_path / "out").rglob("journal-*.jsonl")
    header, *entries = journal.read_text(encoding="utf-8").splitlines()
    value = json.loads(header)
    assert (value["run"]["reading_rule"], value["run"]["prompt_version"]) == (READING_RULE, PROMPT_VERSION)
    for name in missing:
        del value["run"][name]
    digest = run_digest(Header(value["run"]))
    older = journal.with_name(f"journal-{digest}.rank0.jsonl")  # as a run of that version called it
    assert older != journal
    older.write_text("\n".join([json.dumps(value), *entries]) + "\n", encoding="utf-8")
    before = older.read_bytes()
    capsys.readouterr()
    run(command)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if str(older) in line]
    assert line.startswith("roi-bench: ")
    assert re.search(rf"\b{theirs}\b.*\b{ours}\b", line)
    assert older.read_bytes() == before
