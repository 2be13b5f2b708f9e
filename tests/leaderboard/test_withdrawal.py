"""A submission that its contact withdraws: what is recorded, what leaves the board, what stays, what cannot be."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roi_bench.cli.leaderboard import leaderboard
from roi_bench.errors import RecordError, RoiBenchError, UsageError
from roi_bench.leaderboard.board.board import BoardSettings, Review, read_reviews, write_review
from roi_bench.leaderboard.board.build import make_board, settle_corrections
from roi_bench.leaderboard.exporters.export_files import published
from roi_bench.leaderboard.exporters.tables import board_tables
from roi_bench.leaderboard.site.page import PageOptions
from roi_bench.leaderboard.site.pages import board_pages, events
from tests.leaderboard.invented_board import CELLS, invented_submission
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.messages import missing

REASON = "The weights of another model were loaded."


def invented(number: int, **changes: Any) -> Any:
    """Return an invented submission; ``changes``: metadata."""
    graded = invented_submission(number, exams=40, cells=CELLS)
    metadata = replace(graded.submission.metadata, **changes)
    return replace(graded, submission=replace(graded.submission, metadata=metadata))


def withdrawal(name: str, day: str = "2026-12-01") -> Review:
    return Review(name, "withdrawal", "A. Maintainer", day, None, "By mail.", reason=REASON)


def board_of(graded: list[Any], *reviews: Review) -> Any:
    return make_board(graded, [], reviews, BoardSettings(), drafts=False)


def test_its_rows_leave_every_shared_page_and_its_own_page_says_why() -> None:
    graded = [invented(number) for number in range(4)]
    gone = graded[1].submission.id
    reproduced = Review(gone, "reproduced", "Others", "2026-11-20", 30, "All alike.")
    board = board_of(graded, reproduced, withdrawal(gone))
    entry = next(entry for entry in board.entries if entry.id == gone)
    assert (entry.has_rows, entry.badge, entry.withdrawn) == (False, "reproduced", withdrawal(gone))
    assert [len(table.standings) for table in board.cells] == [3] * len(CELLS)
    assert gone not in [one.id for one in published(board)]
    made = (*board_pages(board, PageOptions()), *board_tables(board))
    pages = {page.path: page.content.decode() for page in made if not page.path.endswith(".parquet")}
    assert {path for path, text in pages.items() if gone in text} == {
        f"models/{gone}/index.html",
        "changelog.html",
        "feed.xml",
    }
    own = pages[f"models/{gone}/index.html"]
    assert missing([f"“{REASON}”", 'datetime="2026-12-01"', "A. Maintainer", "By mail."], own) == []
    assert "withdrawn" in pages[f"models/{gone}/badge.svg"]
    assert 'href="badge.svg"' not in own


def test_it_is_news() -> None:
    graded = [invented(number) for number in range(3)]
    gone = graded[2].submission.id
    board = board_of(graded, withdrawal(gone))
    first, second, *_ = events(board)
    assert (first.date, first.kind, first.submission) == ("2026-12-01", "withdrawal", gone)
    assert second.kind == "submission"
    assert board.updated == "2026-12-01"
    model = graded[2].submission.metadata.model
    assert (first.title, missing([REASON, "A. Maintainer"], first.text)) == (f"Withdrawn: {model}", [])


def test_its_responses_are_still_compared_with_those_of_others() -> None:
    old = invented(0, model="A/a", contact="a@a.example")
    prints = {run.slug: run.fingerprints for run in old.runs}

    def again(number: int, **changes: Any) -> Any:
        found = invented(number, **changes)
        tasks = old.submission.tasks
        runs = tuple(replace(run, fingerprints=prints[run.slug], prompt=run.prompt) for run in old.runs)
        return replace(found, runs=runs, submission=replace(found.submission, tasks=tasks))

    anew, copied = again(1, model="A/a", contact="A@a.example"), again(2, model="B/b", contact="b@b.example")
    board = board_of([old, anew, copied], withdrawal(old.submission.id))
    told = {
        entry.id: " ".join(remark.text for remark in entry.graded.remarks if remark.rule == "responses")
        for entry in board.entries
    }
    assert missing([old.submission.id, "the same contact"], told[anew.submission.id]) == []
    assert missing([old.submission.id, "another contact"], told[copied.submission.id]) == []
    assert {row.entry.id for row in board.cells[0].standings} == {anew.submission.id, copied.submission.id}


def test_what_corrects_it_is_refused_and_a_withdrawn_correction_brings_no_row_back() -> None:
    old = invented(0, model="A/a", date="2026-01-01").submission
    new = replace(invented(1, model="A/a", date="2026-02-01").submission, replaces=old.id)
    next_one = replace(invented(2, model="A/a", date="2026-03-01").submission, replaces=new.id)
    found = settle_corrections([old, new], {new.id}, {old.id})
    assert (set(found.standing), found.replaced) == ({old.id}, {})
    assert missing([f"corrects {old.id}", "withdrawn", "`replaces`"], found.refused[new.id]) == []
    found = settle_corrections([old, new, next_one], {new.id, next_one.id}, {new.id})
    assert (set(found.standing), found.replaced) == ({old.id, new.id}, {old.id: new.id})
    assert set(found.refused) == {next_one.id}


ENTRY = {"submission": "a-1", "badge": "withdrawal", "by": "Us", "date": "2026-11-20", "reason": REASON}


@pytest.mark.parametrize(
    ("entries", "facts"),
    [
        ([ENTRY | {"submission": "b-2"}], ["review 1", "'b-2'"]),
        ([ENTRY | {"reason": None}], ["review 1", "reason", "withdrawal"]),
        ([ENTRY | {"reason": "  "}], ["review 1", "reason"]),
        ([ENTRY | {"badge": "maintainer-run"}], ["review 1", "reason"]),
        ([ENTRY | {"exams": 30}], ["review 1", "exams"]),
        ([ENTRY, ENTRY | {"by": "Others"}], ["a-1", "twice"]),
    ],
)
def test_a_wrong_entry_is_told(tmp_path: Path, entries: list[dict[str, Any]], facts: list[str]) -> None:
    (tmp_path / "reviews.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(RecordError) as error:
        read_reviews(tmp_path, [tmp_path / "a-1"])
    assert missing(["reviews.json", *facts], str(error.value)) == []


def test_nothing_is_recorded_of_what_was_withdrawn(tmp_path: Path) -> None:
    path, folder = tmp_path / "reviews.json", tmp_path / "a-1"
    write_review(path, ENTRY, folder)
    before = path.read_bytes()
    run_again = {"submission": "a-1", "badge": "reproduced", "by": "Us", "date": "2026-11-21", "exams": 30}
    for record in (ENTRY, ENTRY | {"by": "Others"}, run_again):
        with pytest.raises(RecordError, match=re.escape("a-1 was withdrawn on 2026-11-20")):
            write_review(path, record, folder)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("made") / "submissions", [MadeTask(exams=3)])


def confirm(*arguments: object) -> Result:
    return CliRunner().invoke(leaderboard, ["confirm", *map(str, arguments), "--workers", "1"], standalone_mode=False)


WORD = ("--contact", "Nobody@example.org ", "--by", "Us", "--note", "By mail.", "--date", "2026-11-26")


def test_the_command_shows_what_goes_and_records_the_contacts_word(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / made.name
    shutil.copytree(made, folder)
    shown = confirm(folder, "--withdraw", REASON, *WORD[:2])
    assert (shown.exception, missing([made.name, "roi_tiny_hard_128"], shown.output)) == (None, [])
    assert not (tmp_path / "reviews.json").exists()
    assert confirm(folder, "--withdraw", REASON, *WORD).exception is None
    (review,) = read_reviews(tmp_path, [folder])
    assert review == Review(made.name, "withdrawal", "Us", "2026-11-26", None, "By mail.", reason=REASON)
    twice = confirm(folder, "--withdraw", REASON, *WORD)
    assert isinstance(twice.exception, RecordError)
    assert missing([made.name, "2026-11-26"], str(twice.exception)) == []


@pytest.mark.parametrize(
    ("arguments", "kind", "facts"),
    [
        ((*WORD[2:],), UsageError, ["--contact"]),
        (("--contact", "else@example.org", *WORD[2:]), UsageError, ["'else@example.org'", "'nobody@example.org'"]),
        (WORD[:4], UsageError, ["--note"]),
        ((*WORD[:7], "2999-01-01"), UsageError, ["2999-01-01"]),
    ],
    ids=["no contact", "another contact", "no note", "future"],
)
def test_without_the_contacts_word_nothing_is_recorded(
    made: Path, tmp_path: Path, arguments: tuple[str, ...], kind: type[RoiBenchError], facts: list[str]
) -> None:
    folder = tmp_path / made.name
    shutil.copytree(made, folder)
    done = confirm(folder, "--withdraw", REASON, *arguments)
    assert isinstance(done.exception, kind)
    assert missing(facts, str(done.exception)) == []
    assert not (tmp_path / "reviews.json").exists()


def test_what_is_no_submission_cannot_be_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "a-0123456789ab").mkdir()
    assert isinstance(confirm(tmp_path / "a-0123456789ab", "--withdraw", REASON, *WORD).exception, RecordError)
    assert confirm(tmp_path / "gone-0123456789ab", "--withdraw", REASON, *WORD).exit_code != 0


def test_one_submission_is_not_both_withdrawn_and_corrected(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / made.name
    shutil.copytree(made, folder)
    new = tampered(made, tmp_path, document=lambda content: content.update(replaces=made.name, reason="because"))
    assert confirm(new, *WORD).exception is None
    done = confirm(folder, "--withdraw", REASON, *WORD)
    assert isinstance(done.exception, RecordError)
    assert missing([made.name, new.name], str(done.exception)) == []
    (tmp_path / "reviews.json").unlink()
    assert confirm(folder, "--withdraw", REASON, *WORD).exception is None
    done = confirm(new, *WORD)
    assert isinstance(done.exception, RecordError)
    assert missing([made.name, new.name], str(done.exception)) == []
