"""From graded submissions to a board: order, ranks, neighbours, Pareto, badges, the main cell; and from folders."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.ranking import rank_runs
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board.board import BoardSettings, Refused, Review
from roi_bench.leaderboard.board.build import load_board, make_board
from roi_bench.leaderboard.board.gather import GradingOptions
from roi_bench.leaderboard.site.page import labels_of
from roi_bench.scoring.statistics import ExamTerm
from tests.leaderboard.invented_board import CELLS, MAIN, invented_submission
from tests.leaderboard.made_submissions import MadeTask, made_submission

TINY, FRESH = Cell("tiny", 0, "hard", 128), Cell("fresh", 7, "hard", 512)


def board_of(graded, *, refused=(), reviews=(), settings=None, drafts=False):
    return make_board(graded, refused, reviews, settings or BoardSettings(), drafts=drafts)


def invented(number, *, cells=(MAIN,), exams=40, score=None, usd=0.0, **changes):
    """Return an invented submission; ``score`` and ``usd`` of its runs can be given, ``changes`` go to its metadata."""
    graded = invented_submission(number, exams=exams, cells=cells)
    runs = graded.runs
    if score is not None:
        numbers = {**runs[0].numbers, "score": Interval(None if score == "undefined" else score)}
        value = 0.0 if score == "undefined" else score
        scored = {"numbers": numbers, "scores": (value,) * exams}
        runs = tuple(replace(run, usd_per_exam=usd, **scored) for run in runs)
    metadata = replace(graded.submission.metadata, **changes)
    tasks = tuple(replace(task, sha256=f"{task.sha256}{number}") for task in graded.submission.tasks)
    return replace(graded, runs=runs, submission=replace(graded.submission, metadata=metadata, tasks=tasks))


def names(table):
    return [standing.entry.graded.submission.metadata.model for standing in table.standings]


def test_rows_stand_by_score_then_by_name_and_undefined_scores_last():
    graded = [
        invented(0, score=1.0, model="b"),
        invented(1, score="undefined", model="a"),
        invented(2, score=1.0, model="a"),
        invented(3, score=2.0, model="z"),
    ]
    (table,) = board_of(graded).cells
    assert names(table) == ["z", "a", "b", "a"]


def test_the_order_of_arrival_changes_nothing():
    graded = [invented(number, cells=CELLS) for number in range(6)]
    boards = [board_of(random.Random(seed).sample(graded, len(graded))) for seed in range(4)]
    assert all(board == boards[0] for board in boards)


def test_ranks_and_tiers_are_those_of_the_report():
    graded = [invented(number, exams=120) for number in (0, 2, 30, 33, 60, 90)]
    (table,) = board_of(graded).cells
    terms = {
        standing.entry.id: {
            exam: ExamTerm(score, 1.0, cluster)
            for exam, score, cluster in zip(
                standing.run.exam_ids, standing.run.scores, standing.run.exam_clusters, strict=True
            )
        }
        for standing in table.standings
    }
    expected = {rank.name: (rank.ranks, rank.tier) for rank in rank_runs(terms, higher_is_better=True).ranks}
    found = {standing.entry.id: (standing.ranks, standing.tier) for standing in table.standings}
    assert len({tier for _, tier in found.values()}) > 1
    assert found == expected


def test_runs_with_few_exams_have_no_rank_and_change_no_other():
    large = [invented(number, exams=120) for number in (0, 2, 30)]
    few = invented(60, exams=29)
    (alone,), (table,) = board_of(large).cells, board_of([*large, few]).cells
    found = {standing.entry.id: (standing.ranks, standing.tier) for standing in table.standings}
    assert found.pop(few.submission.id) == (None, None)
    assert found == {standing.entry.id: (standing.ranks, standing.tier) for standing in alone.standings}
    assert "29 exams" in labels_of(few.runs[0])
    assert "exams" not in labels_of(large[0].runs[0])


def test_each_run_is_compared_with_three_above_and_three_below():
    (table,) = board_of([invented(number) for number in range(6)]).cells
    assert [(line.a, line.b) for line in table.neighbours] == [
        *((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (2, 5), (3, 4), (3, 5), (4, 5)),
    ]
    a, b = (table.standings[index].run for index in (0, 1))
    line = table.neighbours[0]
    assert line.exams == 40
    assert line.discordant == sum(x != y for x, y in zip(a.scores, b.scores, strict=True))
    assert line.difference.value == pytest.approx(a.numbers["score"].value - b.numbers["score"].value)


def test_runs_without_a_common_exam_are_not_compared():
    other = invented(1)
    run = replace(other.runs[0], exam_ids=tuple(f"x/{index}" for index in range(40)))
    (table,) = board_of([invented(0), replace(other, runs=(run,))]).cells
    assert table.neighbours == ()


points = st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0, "undefined"]), st.sampled_from([None, 0.0, 0.1, 0.2]))


@given(st.lists(points, min_size=1, max_size=7))
def test_pareto_rows_are_those_that_no_other_row_dominates(found):
    graded = [invented(number, exams=4, score=score, usd=usd) for number, (score, usd) in enumerate(found)]
    (table,) = board_of(graded).cells
    known = [
        (row.run.usd_per_exam, row.run.numbers["score"].value, row.pareto)
        for row in table.standings
        if row.run.usd_per_exam and row.run.numbers["score"].value is not None
    ]
    for usd, score, pareto in known:
        dominated = any(u <= usd and s >= score and (u, s) != (usd, score) for u, s, _ in known)
        assert pareto is not dominated
    assert sum(row.pareto is None for row in table.standings) == len(found) - len(known)


def test_the_hard_order_of_v1_at_512_tokens_is_shown_first_else_the_fullest_table():
    many = [invented(0, cells=CELLS), invented(1, cells=(TINY, FRESH)), invented(2, cells=(FRESH,))]
    assert board_of(many).cells[0].cell == MAIN
    assert board_of(many[1:]).cells[0].cell == FRESH
    assert board_of(many, settings=BoardSettings(main_cell=TINY.slug)).cells[0].cell == TINY
    assert board_of(many, settings=BoardSettings(main_cell="v1_easy_512")).cells[0].cell == MAIN
    assert board_of([]).cells == ()


def test_other_tables_follow_by_set_order_and_budget():
    cells = [table.cell.slug for table in board_of([invented(0, cells=CELLS)]).cells]
    assert cells == ["v1_hard_512", "fresh_7_hard_512", "tiny_hard_128", "v1_medium_512", "v1_hard_1024"]


def test_the_numbers_of_the_literature_stand_in_the_tables_of_their_cells():
    tables = {table.cell: table for table in board_of([invented(0, cells=CELLS)]).cells}
    assert [row.score for row in tables[MAIN].reported if row.model == "GPT-4o-mini"] == [0.32]
    assert tables[TINY].reported == ()


def test_badges_come_from_reviews_alone():
    graded = [invented(number) for number in range(3)]
    first, second, third = (one.submission.id for one in graded)
    run = Review(first, "maintainer-run", "Us", "2026-01-01", None, "")
    old, new = (Review(second, "reproduced", "Us", day, 30, "") for day in ("2026-01-01", "2026-02-01"))
    again = Review(first, "reproduced", "Us", "2026-03-01", 30, "")
    entries = {entry.id: entry for entry in board_of(graded, reviews=[new, again, run, old]).entries}
    assert (entries[first].badge, entries[first].review) == ("maintainer-run", run)
    assert (entries[second].badge, entries[second].review) == ("reproduced", new)
    assert (entries[third].badge, entries[third].review) == ("regraded", None)


def test_a_corrected_submission_keeps_its_entry_and_leaves_the_tables():
    old, other = invented(0, model="A", date="2026-01-01"), invented(1, model="B", date="2026-03-01")
    new = invented(2, model="A", date="2026-02-01")
    new = replace(new, submission=replace(new.submission, replaces=old.submission.id))
    agreed = Review(new.submission.id, "correction", "Us", "2026-03-01", None, "By mail.")
    refused = [Refused("z", "damaged"), Refused("a", "damaged")]
    board = board_of([old, new, other], refused=refused, reviews=[agreed])
    assert [entry.id for entry in board.entries] == [one.submission.id for one in (other, new, old)]
    assert [entry.replaced_by for entry in board.entries] == [None, None, new.submission.id]
    assert sorted(names(board.cells[0])) == ["A", "B"]
    assert all(standing.entry.id != old.submission.id for standing in board.cells[0].standings)
    assert [one.folder for one in board.refused] == ["a", "z"]


def test_a_correction_that_is_not_confirmed_has_no_row_and_says_what_it_would_change():
    old, new = invented(0, model="A", date="2026-01-01"), invented(2, model="A", date="2026-02-01")
    new = replace(new, submission=replace(new.submission, replaces=old.submission.id))
    run = Review(old.submission.id, "maintainer-run", "Us", "2026-01-01", None, "")
    board = board_of([old, new], reviews=[run])
    (row,) = board.cells[0].standings
    assert row.entry.id == old.submission.id
    assert {entry.id: entry.has_rows for entry in board.entries} == {old.submission.id: True, new.submission.id: False}
    for entry in board.entries:
        told = [remark.text for remark in entry.graded.remarks if remark.rule == "correction"]
        before, after = (one.submission.metadata.contact for one in (old, new))
        assert f"contact: {before!r} → {after!r}" in told
        scores = [f"{one.runs[0].numbers['score'].value:.2f}" for one in (old, new)]
        assert any(f"score {scores[0]} → {scores[1]}" in text for text in told)
    assert "maintainer-run" in board.entries[0].graded.remarks[-len(told)].text


def test_a_board_says_whether_it_holds_drafts():
    whole = invented(0)
    draft = replace(whole, submission=replace(whole.submission, draft=True))
    assert board_of([draft], drafts=True).drafts
    assert not board_of([whole], drafts=True).drafts


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Return a folder with two drafts, one damaged folder, and the files of the board."""
    folder = tmp_path_factory.mktemp("board") / "submissions"
    small = MadeTask(exams=4, usd=1e-6)
    made = [made_submission(folder, [small], model=f"made-up/{name}", date="2026-11-01") for name in ("one", "two")]
    broken = folder / "broken-0123456789ab"
    broken.mkdir()
    (broken / "submission.json").write_text("{}")
    review = {"submission": made[0].name, "badge": "maintainer-run", "by": "Us", "date": "2026-11-02"}
    (folder / "reviews.json").write_text(json.dumps([review]))
    (folder / "board.json").write_text(json.dumps({"title": "Drafts of ours"}))
    return folder


def test_a_board_is_loaded_from_its_folder(submissions, tmp_path):
    cache = tmp_path / "cache"
    board = load_board(submissions, GradingOptions(cache, drafts=True), workers=1, base_url="https://example.org")
    assert (board.title, board.base_url, board.drafts) == ("Drafts of ours", "https://example.org/", True)
    assert sorted(entry.badge for entry in board.entries) == ["maintainer-run", "regraded"]
    assert [table.cell for table in board.cells] == [TINY]
    (refused,) = board.refused
    assert refused.folder == "broken-0123456789ab"
    assert str(submissions) not in refused.reason
    shown = []
    again = load_board(
        submissions,
        GradingOptions(cache, drafts=True),
        workers=1,
        base_url="https://example.org",
        show=lambda items, total: (shown.append(total), items)[1],
    )
    assert again == board
    assert shown == [1]  # the broken one is looked at again, nothing else


def test_drafts_are_left_out_unless_asked_for(submissions, tmp_path):
    for _ in range(2):  # from the folder, and where the cache knows them
        board = load_board(submissions, GradingOptions(tmp_path / "cache"), workers=1)
        assert (board.entries, board.cells, board.drafts) == ((), (), False)
        load_board(submissions, GradingOptions(tmp_path / "cache", drafts=True), workers=1)


def test_a_copy_under_another_name_is_refused_whatever_the_cache_knows(submissions, tmp_path):
    original = next(path for path in submissions.iterdir() if path.name.startswith("made-up-one"))
    folder = tmp_path / "submissions"
    (folder / "copy-0123456789ab").mkdir(parents=True)
    for path in original.iterdir():
        (folder / "copy-0123456789ab" / path.name).write_bytes(path.read_bytes())
    load_board(submissions, GradingOptions(tmp_path / "cache", drafts=True), workers=1)
    board = load_board(folder, GradingOptions(tmp_path / "cache", drafts=True), workers=1)
    assert board.entries == ()
    assert [one.folder for one in board.refused] == ["copy-0123456789ab"]
