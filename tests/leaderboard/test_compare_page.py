"""The compare page: its data, and in a real browser the same numbers as the package computes."""

import json
import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from roi_bench.analysis.paired import compare_paired
from roi_bench.analysis.ranking import paired_lines
from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board.board import CellTable, Standing
from roi_bench.leaderboard.site.model_page import compare_link, compare_pages
from roi_bench.leaderboard.site.page import PageOptions
from roi_bench.leaderboard.site.response_pages import scores_file
from roi_bench.scoring.statistics import ExamTerm
from tests.leaderboard.invented_board import HOSTILE, MAIN, hostile_board, invented_board, invented_table

FRESH = Cell("fresh", 7, "hard", 512)


def files(board):
    return {page.path: page.content for page in compare_pages(board, PageOptions())}


def board_of(runs, cell=MAIN):
    """Return a board of one cell whose runs have the given (scores, scores in easy order, exams of the set)."""
    board = invented_board(len(runs), exams=max(max(exams) for *_, exams in runs) + 1, cells=(cell,))
    entries = []
    for entry, (scores, easy, exams) in zip([e for e in board.entries if not e.replaced_by], runs, strict=True):
        (run,) = entry.graded.runs
        run = replace(
            run,
            scores=tuple(scores),
            scores_easy=tuple(easy),
            exam_ids=tuple(run.exam_ids[exam] for exam in exams),
            exam_clusters=tuple(run.exam_clusters[exam] for exam in exams),
        )
        entries.append(replace(entry, graded=replace(entry.graded, runs=(run,))))
    standings = tuple(Standing(entry, entry.graded.runs[0], None, None, None) for entry in entries)
    return replace(board, entries=tuple(entries), cells=(CellTable(cell, standings, (), ()),))


def site_of(board, paged=()):
    """Yield the files that a comparison reads."""
    yield from compare_pages(board, PageOptions())
    most = max(len(run.exam_ids) for entry in board.entries for run in entry.graded.runs)
    for entry in board.entries:
        whole = [run.slug for run in entry.graded.runs if len(run.exam_ids) == most]
        yield scores_file(entry.graded, whole, paged)


def terms(run, metric):
    rows = zip(run.exam_ids, run.exam_clusters, run.scores, run.scores_easy, strict=True)
    if metric == "score":
        return {exam: ExamTerm(own, 1.0, cluster) for exam, cluster, own, _ in rows}
    return {exam: ExamTerm(easy - own, easy, cluster) for exam, cluster, own, easy in rows}


def numbers(page, metric):
    """Return what the page shows of a metric, with all digits."""
    found = page.locator(f"#result-{metric} data")
    return {one.get_attribute("class"): float(one.get_attribute("value")) for one in found.all()}


def expected(run_a, run_b, metric):
    a, b = terms(run_a, metric), terms(run_b, metric)
    found = compare_paired(a, b, permutations=1)
    (line,) = paired_lines([a, b], [(0, 1)])
    low, high = found.interval or (None, None)
    known = {"a": found.value_a, "b": found.value_b, "difference": found.difference, "stderr": found.stderr}
    known |= {"low": low, "high": high, "p": line.p_value, "detectable": found.minimum_detectable_effect}
    return {name: value for name, value in known.items() if value is not None}, found


@pytest.fixture(scope="module")
def page(browser):
    """One page for all tests: a new one each would cost more than what they do."""
    found = browser.new_page()
    yield found
    found.close()


def check_pairs(page, address, table, pairs):
    """Check the page against the package for pairs of runs of one cell; return what it says of the last."""
    page.goto(address + compare_link(*(table.standings[place] for place in pairs[0])))
    for a, b in pairs:
        for name, place in (("A", a), ("B", b)):
            page.get_by_role("combobox", name=name, exact=True).select_option(index=place)
        page.wait_for_url(address + compare_link(table.standings[a], table.standings[b]))
        page.locator("#results").wait_for(state="visible")
        for metric in ("score", "regret"):
            wanted, found = expected(table.standings[a].run, table.standings[b].run, metric)
            assert numbers(page, metric) == pytest.approx(wanted, rel=1e-9, abs=1e-9), (a, b, metric)
            if metric == "score":
                title = page.locator("#discordant-title").inner_text()
                assert title == f"Exams with different scores: {found.discordant} of {found.exams}"
                assert page.locator("#discordant-rows tr").count() == found.discordant
    return page.locator("main").inner_text()


@pytest.mark.parametrize("exams", [2, 3, 8, 60, 480])
def test_the_browser_computes_what_the_package_computes(page, served, exams):
    board = invented_board(6, exams=exams, cells=(MAIN, FRESH))
    address = served.write(f"invented-{exams}", site_of(board))
    for table, pairs in zip(board.cells, [[(0, 1), (5, 0), (3, 2)], [(2, 4)]], strict=True):
        text = check_pairs(page, address, table, pairs)
        assert f"The exams fall into {len(set(table.standings[0].run.exam_clusters))} clusters." in text


def test_runs_without_a_difference_or_without_regret(page, served):
    third = 1 / 3
    runs = [
        ([1.0, 2.0, third, 0.0], [0.0] * 4, range(4)),  # nothing right in easy order: no regret
        ([1.0, 2.0, third, 0.0], [2.0, 2.0, 1.0, 1.0], range(4)),
        ([2.0, 3.0, 1 + third, 1.0], [2.0, 2.0, 1.0, 1.0], range(4)),  # one more in every exam: no spread
        ([0.1 + 0.2, 3.0, 1.0], [2.0, 2.0, 1.0], [0, 2, 3]),  # a draft that lacks an exam
    ]
    board = board_of(runs)
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    check_pairs(page, served.write("odd", site_of(board)), board.cells[0], pairs)


def test_a_certain_difference_has_no_p_of_zero(page, served):
    runs = [([3.0] * 59 + [0.0], [3.0] * 60, range(60)), ([0.0] * 60, [3.0] * 60, range(60))]
    board = board_of(runs)
    text = check_pairs(page, served.write("certain", site_of(board)), board.cells[0], [(0, 1)])
    assert "< 0.0001" in text


def test_choices_stand_in_the_address_and_unknown_ones_are_ignored(page, served):
    board = invented_board(5, exams=8)
    address = served.write("choices", site_of(board, paged=["v1/000", "v1/001"]))
    page.goto(f"{address}compare.html?cell=nonsense&a=x&b=<script>")
    page.locator("#results").wait_for(state="visible")
    first = board.cells[0].standings
    assert page.url == address + compare_link(first[0], first[1])
    page.get_by_role("combobox", name="B", exact=True).select_option(index=3)
    page.get_by_role("button", name="Swap A and B").click()
    page.wait_for_url(address + compare_link(first[3], first[0]))
    page.reload()
    page.locator("#results").wait_for(state="visible")
    assert page.url == address + compare_link(first[3], first[0])
    models = [first[place].entry.graded.submission.metadata.model for place in (3, 0)]
    said = page.locator("#compare-status").inner_text()
    assert all(model in said for model in models)
    links = [link.get_attribute("href") for link in page.locator("#discordant-rows a").all()]
    assert links
    assert len(links) == page.locator("#discordant-rows tr").count()  # every one can be read
    query = urlencode({"cell": "v1_hard_512", "a": f"{first[3].entry.id}/{first[3].run.prompt}"}, safe="/")
    assert all(link.startswith(f"read.html?{query}&b=") for link in links)
    page.get_by_role("combobox", name="Exams, order, budget").select_option("tiny_hard_128")
    page.wait_for_url(re.compile("cell=tiny_hard_128"))
    same = page.locator("#a").evaluate("a => a.selectedIndex")
    page.get_by_role("combobox", name="B", exact=True).select_option(index=same)
    assert page.locator("#compare-status").inner_text() == "Choose two different runs."
    assert page.locator("#results").is_hidden()


def test_what_cannot_be_read_is_said(page, served):
    board = invented_board(3, exams=4)
    pages = [page for page in site_of(board) if not page.path.startswith("models/")]
    page.goto(served.write("without-scores", pages) + "compare.html")
    page.get_by_text("The scores could not be read").wait_for()
    empty = compare_pages(replace(board, cells=(), entries=()), PageOptions())
    page.goto(served.write("empty", empty) + "compare.html")
    page.get_by_text("This board has no runs yet.").wait_for()
    assert page.locator("select:visible").count() == page.locator("#theme select:visible").count()
    page.goto((served.folder / "empty" / "compare.html").as_uri())
    page.get_by_text("roi-bench leaderboard serve").wait_for()
    assert page.locator("#compare :is(select, button):visible").count() == 0  # no list with nothing in it


def test_the_lists_name_every_run_of_every_cell_once():
    board = invented_board(6, exams=8)
    lists = json.loads(files(board)["data/models.json"])["cells"]
    assert [cell["slug"] for cell in lists] == [table.cell.slug for table in board.cells]
    for cell, table in zip(lists, board.cells, strict=True):
        assert [run["id"] for run in cell["runs"]] == [standing.entry.id for standing in table.standings]
        assert len({run["name"] for run in cell["runs"]}) == len(table.standings)
    assert lists[0]["title"] == "v1 hard 512 (6 runs)"


def test_runs_called_alike_are_told_apart_by_their_submission():
    board = invented_board(2, exams=4, cells=(MAIN,))
    about = board.entries[0].graded.submission.metadata
    entries = []
    for entry in board.entries:
        submission = replace(entry.graded.submission, metadata=about, tasks=())
        run = replace(entry.graded.runs[0], prompt="direct", decoding="")
        entries.append(replace(entry, graded=replace(entry.graded, submission=submission, runs=(run,))))
    found = files(replace(board, cells=(invented_table(MAIN, entries),)))
    names = [run["name"] for run in json.loads(found["data/models.json"])["cells"][0]["runs"]]
    assert sorted(names) == sorted(f"{about.model} · direct · {entry.id[-12:]}" for entry in entries)


def test_exams_and_clusters_are_those_of_all_runs_of_a_set():
    runs = [([1.0] * 3, [1.0] * 3, [0, 1, 3]), ([1.0] * 2, [1.0] * 2, [2, 3])]
    exams = json.loads(files(board_of(runs))["data/exams/v1.json"])
    assert exams["exams"] == ["v1/000", "v1/001", "v1/002", "v1/003"]
    assert exams["clusters"] == ["aime/0", "aime/1", "aime/2", "aime/3"]
    assert "data/exams/fresh_7.json" in files(invented_board(2, exams=4, cells=(FRESH,)))


def test_hostile_names_are_text_in_the_lists(page, served):
    board = hostile_board()
    address = served.write("hostile-names", site_of(board))
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(address + "compare.html")
    page.locator("#results").wait_for(state="visible")
    options = page.locator("#a option").all_inner_texts()
    assert any(HOSTILE[:30] in option and "⟦U+202E⟧" in option for option in options)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Compare two models · roi-bench"
    assert dialogs == []


def test_the_page_opens_on_two_runs_that_differ(page, served):
    board = invented_board(3, exams=8, cells=(MAIN,))
    table = board.cells[0]
    first, second, third = table.standings
    copied = replace(second, run=replace(second.run, responses_sha256=first.run.responses_sha256))
    board = replace(board, cells=(replace(table, standings=(first, copied, third)),))
    address = served.write("copied", site_of(board))
    page.goto(f"{address}compare.html")
    page.wait_for_url(address + compare_link(first, third))
