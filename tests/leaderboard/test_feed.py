from dataclasses import replace
from xml.etree import ElementTree

import pytest

from roi_bench.leaderboard.board.board import Board
from roi_bench.leaderboard.site.pages import LONGEST_FEED, events, history_pages
from tests.leaderboard.invented_board import CELLS, MAIN, hostile_board, invented_board

ATOM = "{http://www.w3.org/2005/Atom}"


def feed_of(board):
    (page,) = (page for page in history_pages(board) if page.path == "feed.xml")
    return ElementTree.fromstring(page.content)  # noqa: S314 (our own)


def texts(root, name):
    return [found.text for found in root.iter(f"{ATOM}{name}")]


def test_the_feed_tells_what_happened_newest_first():
    board = invented_board(6, exams=20, cells=(MAIN,))
    root = feed_of(board)
    entries = root.findall(f"{ATOM}entry")
    assert len(entries) == 7 + 2  # six, one that was corrected, two reviews
    dates = [entry.find(f"{ATOM}updated").text for entry in entries]
    assert dates == sorted(dates, reverse=True)
    assert root.find(f"{ATOM}updated").text == dates[0] == "2026-11-20T00:00:00Z"
    (corrected,) = (e for e in entries if e.find(f"{ATOM}title").text.startswith("Corrected: "))
    summary = corrected.find(f"{ATOM}summary").text
    assert summary.startswith("Replaces elm-4-instruct-")
    assert "The wrong revision was named." in summary


def test_ids_are_addresses_that_stay_and_links_lead_to_pages():
    board = invented_board(2, exams=20, cells=(MAIN,))
    root = feed_of(board)
    ids = texts(root, "id")
    assert len(ids) == len(set(ids))
    assert all(found.startswith("https://board.example/") for found in ids)
    entry = root.find(f"{ATOM}entry")
    link = entry.find(f"{ATOM}link").get("href")
    assert link in {f"https://board.example/models/{one.id}/index.html" for one in board.entries}
    nowhere = feed_of(replace(board, base_url=""))
    assert all(found.startswith("urn:roi-bench:") for found in texts(nowhere, "id"))
    assert nowhere.find(f"{ATOM}entry/{ATOM}link").get("href").startswith("models/")


def test_without_an_address_feeds_of_two_boards_have_ids_of_their_own():
    board = replace(invented_board(2, exams=20, cells=(MAIN, CELLS[1])), base_url="")
    ids = set(texts(feed_of(board), "id"))
    assert set(texts(feed_of(replace(board, description="Said anew.")), "id")) == ids
    for other in (replace(board, title="Another"), replace(board, cells=board.cells[::-1])):
        assert not ids & set(texts(feed_of(other), "id"))
    (own,) = (found for found in ids if found.count(":") == 2)
    assert all(found.startswith(own) for found in ids)


def test_the_runs_of_a_submission_are_listed_by_cell():
    board = invented_board(1, exams=20, cells=(MAIN, CELLS[1]))
    (entry,) = board.entries
    first, second = entry.graded.runs
    runs = (replace(first, prompt="direct"), replace(second, prompt="direct"), replace(first, prompt="metacognitive"))
    changed = replace(entry, graded=replace(entry.graded, runs=runs))
    (event,) = events(replace(board, entries=(changed,)))
    assert (
        event.text == "v1 hard 512 (direct, metacognitive); v1 medium 512 (direct). Run of 2026-01-01. Badge: regraded."
    )


def test_what_atom_asks_for_is_there():
    for board in (invented_board(1, exams=10, cells=(MAIN,)), Board("Empty", "", "", (), (), (), drafts=False)):
        root = feed_of(board)
        assert root.tag == f"{ATOM}feed"
        for parent in (root, *root.findall(f"{ATOM}entry")):
            assert all(len(parent.findall(f"{ATOM}{name}")) == 1 for name in ("title", "id", "updated"))
        assert root.find(f"{ATOM}author/{ATOM}name").text == board.title


def test_the_feed_does_not_grow_without_end():
    board = invented_board(60, exams=10, cells=(MAIN,))
    assert len(feed_of(board).findall(f"{ATOM}entry")) == LONGEST_FEED


@pytest.mark.parametrize("text", ["\ufffe", "\uffff", "\x00", "\x0b", "\x85", "\ud800", "]]>", "<b>&amp;</b>"])
def test_hostile_text_leaves_the_feed_well_formed(text):
    board = hostile_board()
    entry = board.entries[0]
    metadata = replace(entry.graded.submission.metadata, model=f"a{text}b")
    submission = replace(entry.graded.submission, metadata=metadata)
    changed = replace(entry, graded=replace(entry.graded, submission=submission))
    root = feed_of(replace(board, title=f"t{text}", entries=(changed, *board.entries[1:])))
    (title,) = (found for found in texts(root, "title") if found.startswith("New: a") and found.endswith("b"))
    plain = text in ("]]>", "<b>&amp;</b>")
    assert title == f"New: a{text}b" if plain else f"⟦U+{ord(text):04X}⟧" in title


def test_what_is_accepted_today_stands_on_top_however_old_its_run():
    board = invented_board(60, exams=10, cells=(MAIN,))
    last = board.entries[-1]
    accepted = {entry.id: "2026-10-01" for entry in board.entries} | {last.id: "2026-11-30"}
    entries = tuple(replace(entry, accepted=accepted[entry.id], review=None) for entry in board.entries)
    root = feed_of(replace(board, entries=entries))
    first = root.find(f"{ATOM}entry")
    assert first.find(f"{ATOM}id").text.split("/")[4] == last.id
    assert first.find(f"{ATOM}updated").text == root.find(f"{ATOM}updated").text == "2026-11-30T00:00:00Z"
    assert f"Run of {last.graded.submission.metadata.date}." in first.find(f"{ATOM}summary").text
