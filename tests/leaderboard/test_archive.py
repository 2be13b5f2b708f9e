"""Runs of older rules and prompts: what is current, where the others stand, what compares them with nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import RecordError
from roi_bench.leaderboard.board.board import BoardSettings, Review
from roi_bench.leaderboard.board.build import load_board, make_board
from roi_bench.leaderboard.board.gather import GradingOptions, grade_one
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.exporters.every_eval_ever import evaluation_results
from roi_bench.leaderboard.exporters.tables import board_tables
from roi_bench.leaderboard.site.page import PageOptions
from roi_bench.leaderboard.site.pages import board_pages
from roi_bench.leaderboard.site.site import BuildOptions, build_site
from roi_bench.leaderboard.submission.schema import outdated
from roi_bench.scoring.prompts import PROMPT_VERSION, PROMPTS, prompt_sha256, prompt_version
from tests.leaderboard.invented_board import CELLS, MAIN, invented_submission
from tests.leaderboard.made_submissions import SOLO, MadeTask, made_submission, tampered
from tests.support.messages import missing

FIRST_DIRECT = "ef9661eee9ef02c2fdf0aba2f43bb25fa551f6aa46aa36f5c8ff4125a2fd3d80"
PROMPT = "prompt version 1 (today: 2)"
RULE = "reading rule 1 (today: 2)"


def made_older(graded: Any, count: int | None = None, **changes: Any) -> Any:
    """Return a graded submission whose first ``count`` tasks were asked or read as ``changes`` say."""
    tasks = graded.submission.tasks
    count = len(tasks) if count is None else count
    older = tuple(replace(task, **changes) for task in tasks[:count])
    return replace(graded, submission=replace(graded.submission, tasks=(*older, *tasks[count:])))


def test_one_place_says_what_is_current() -> None:
    (task,) = invented_submission(0, exams=5, cells=(MAIN,)).submission.tasks
    assert (task.prompt, outdated(task)) == ("direct", None)
    assert outdated(replace(task, prompt_sha256=FIRST_DIRECT)) == PROMPT
    assert outdated(replace(task, reading_rule=1)) == RULE
    assert outdated(replace(task, prompt_sha256=FIRST_DIRECT, reading_rule=1)) == f"{PROMPT}; {RULE}"


def test_a_prompt_has_a_version_under_its_own_name_only() -> None:
    for name, prompt in PROMPTS.items():
        for number in range(len(prompt.paraphrases) + 1):
            assert prompt_version(prompt_sha256(name, number), name, number) == PROMPT_VERSION
    assert prompt_version(FIRST_DIRECT, "direct") == 1
    for name, number in (("solo", 0), ("direct", 1), ("direct", 99), ("mine", 0)):
        assert prompt_version(FIRST_DIRECT, name, number) is None
    assert prompt_version("0" * 64, "direct") is None


def board_of(graded: list[Any], *reviews: Review) -> Any:
    return make_board(graded, [], reviews, BoardSettings(), drafts=False)


def pages_of(board: Any) -> dict[str, str]:
    made = (*board_pages(board, PageOptions()), *board_tables(board))
    return {page.path: page.content.decode() for page in made if not page.path.endswith(".parquet")}


def test_older_runs_leave_the_tables_and_stand_in_the_archive() -> None:
    graded = [invented_submission(number, exams=40, cells=CELLS) for number in range(3)]
    graded[0] = made_older(graded[0], prompt_sha256=FIRST_DIRECT)
    graded[1] = made_older(graded[1], 2, reading_rule=1)
    names = [one.submission.id for one in graded]
    board = board_of(graded)
    rows = {table.cell: len(table.standings) for table in board.cells}
    assert rows == {cell: 1 if cell in CELLS[:2] else 2 for cell in CELLS}
    assert sorted((entry.id, run.task) for entry, run in board.archive) == sorted(
        [(names[0], run.task) for run in graded[0].runs] + [(names[1], run.task) for run in graded[1].runs[:2]]
    )
    pages = pages_of(board)
    shown = {path for path, text in pages.items() if names[0] in text and not path.startswith("models/")}
    assert shown == {"archive.html", "changelog.html", "feed.xml"}
    assert pages["archive.html"].count('<th scope="row">') == 7
    versions = re.findall(r'<td class="n">(\d)</td><td class="n">(\d)</td>', pages["archive.html"])
    assert sorted(versions) == [("1", "2")] * 5 + [("2", "1")] * 2
    assert f'href="models/{names[0]}/index.html"' in pages["archive.html"]
    assert missing(['href="archive.html"', "7 runs"], pages["index.html"]) == []
    own = pages[f"models/{names[0]}/index.html"]
    assert missing(['href="../../archive.html"', PROMPT, "These runs"], own) == []
    assert "in the archive" in pages[f"models/{names[0]}/badge.svg"]
    assert "Some of these runs" in pages[f"models/{names[1]}/index.html"]
    assert evaluation_results(graded[0]) == []
    assert {one["evaluation_name"] for one in evaluation_results(graded[1])} != set()


def test_without_older_runs_there_is_no_archive() -> None:
    pages = pages_of(board_of([invented_submission(number, exams=40, cells=(MAIN,)) for number in range(2)]))
    assert "archive.html" not in pages
    assert [path for path, text in pages.items() if "archive.html" in text] == []


def test_a_board_of_older_runs_alone_can_be_read() -> None:
    old = made_older(invented_submission(0, exams=40, cells=(MAIN,)), reading_rule=1)
    pages = pages_of(board_of([old]))
    assert missing(["No submissions yet", "1 run", 'href="archive.html"'], pages["index.html"]) == [
        "No submissions yet"
    ]
    models = json.loads(pages["data/models.json"])
    assert (models["cells"], [cell["slug"] for cell in models["left"]]) == ([], [MAIN.slug])
    assert [run["id"] for run in models["left"][0]["runs"]] == [old.submission.id]
    assert json.loads(pages["data/exams/v1.json"])["exams"] == list(old.runs[0].exam_ids)


def test_what_was_withdrawn_or_corrected_stands_in_no_archive_either() -> None:
    old = made_older(invented_submission(0, exams=40, cells=(MAIN,)), reading_rule=1)
    gone = Review(old.submission.id, "withdrawal", "Us", "2026-12-01", None, "", reason="A mistake.")
    board = board_of([old], gone)
    assert (board.cells, board.archive) == ((), ())
    models = json.loads(pages_of(board)["data/models.json"])
    assert [(cell["slug"], cell["runs"]) for cell in models["left"]] == [(MAIN.slug, [])]


def asked_with(sha256: str) -> Any:
    return lambda document: document["tasks"][0].update(prompt_sha256=sha256)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("made") / "submissions", [MadeTask(exams=5)])


def test_a_new_submission_of_an_older_version_is_refused_and_one_of_none_everywhere(made: Path, tmp_path: Path) -> None:
    older = tampered(made, tmp_path, document=asked_with(FIRST_DIRECT))
    with pytest.raises(RecordError, match=r"prompt version 1 \(today: 2\).*run again"):
        check_submission(older)
    assert check_submission(older, archive=True).submission.id == older.name
    foreign = tampered(made, tmp_path, document=asked_with("0" * 64))
    for archive in (False, True):
        with pytest.raises(RecordError, match=r"direct.*000000000000"):
            check_submission(foreign, archive=archive)


def test_a_board_keeps_what_it_has_with_the_numbers_that_its_responses_give(made: Path, tmp_path: Path) -> None:
    older = tampered(made, tmp_path / "submissions", document=asked_with(FIRST_DIRECT))
    options = GradingOptions(tmp_path / "cache", drafts=True, archive=True)
    for _ in range(2):  # graded, then from the cache
        board = load_board(older.parent, options, workers=1)
        ((entry, run),) = board.archive
        assert (entry.id, board.cells, board.refused) == (older.name, (), ())
        today = grade_one(made, options).graded
        assert today is not None
        assert run == today.runs[0]


def test_responses_of_the_archive_can_still_be_read(made: Path, tmp_path: Path, browser: Any, served: Any) -> None:
    older = tampered(made, tmp_path / "submissions", document=asked_with(FIRST_DIRECT))
    build_site(older.parent, served.folder / "archive", BuildOptions(drafts=True, workers=1))
    page = browser.new_page()
    page.goto(f"{served.url}archive/archive.html")
    page.get_by_role("link", name="made-up/model").click()
    page.get_by_role("link", name="all 5 exams").click()
    page.wait_for_url("**_direct.html")
    page.locator("main h1").wait_for()
    page.goto(f"{served.url}archive/read.html?cell=tiny_hard_128&a={older.name}/direct&exam=tiny/0/002")
    page.get_by_text("Exam tiny/0/002, 3 of 5.").wait_for()
    assert page.locator("article.response").count() == 2
    page.close()


def test_the_reader_says_where_no_run_is_left(browser: Any, served: Any) -> None:
    old = invented_submission(0, exams=40, cells=(MAIN,))
    gone = Review(old.submission.id, "withdrawal", "Us", "2026-12-01", None, "", reason="A mistake.")
    address = served.write("nothing-left", board_pages(board_of([old], gone), PageOptions()))
    page = browser.new_page()
    page.goto(f"{address}read.html")
    page.get_by_text("No run of these exams").wait_for()
    page.close()


def test_versions_are_not_mixed_within_a_submission(tmp_path: Path) -> None:
    solo = replace(SOLO, exams=5)
    both = made_submission(tmp_path / "made", [MadeTask(exams=5, budget=256), solo])
    first_solo = "a55fb8731e5b93617b870669d85aed95477afdd083a588d318564b27b070c362"

    def older(document: dict[str, Any]) -> None:
        (task,) = (task for task in document["tasks"] if task["prompt"] == "solo")
        task["prompt_sha256"] = first_solo

    folder = tampered(both, tmp_path / "older", document=older)
    done = grade_one(folder, GradingOptions(drafts=True, archive=True)).graded
    assert done is not None
    assert (done.runs[0].allocation, done.older) == ({}, {solo.name: PROMPT})
    told = [remark.text for remark in done.remarks if remark.rule == "profile"]
    assert any(missing([solo.name, PROMPT], text) == [] for text in told)

    words = made_submission(tmp_path / "words", [MadeTask(exams=5), MadeTask(exams=5, paraphrase=1)])

    def canonical(document: dict[str, Any]) -> None:
        (task,) = (task for task in document["tasks"] if not task["paraphrase"])
        task["prompt_sha256"] = FIRST_DIRECT

    mixed = tampered(words, tmp_path / "mixed", document=canonical)
    with pytest.raises(RecordError, match=r"paraphrase_1.*another version"):
        check_submission(mixed, archive=True)
