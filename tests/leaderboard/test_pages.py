import json
import posixpath
import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from roi_bench.analysis.ranking import ComparedPair
from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.board import Board, CellTable, Standing
from roi_bench.leaderboard.board.build import load_reported
from roi_bench.leaderboard.board.graded import Remark
from roi_bench.leaderboard.site.page import CONTENT_SECURITY_POLICY, STATIC, PageOptions
from roi_bench.leaderboard.site.pages import board_pages, static_files
from roi_bench.leaderboard.site.table_page import COLUMNS
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256
from tests.leaderboard.html_reader import by_id, read_html, rows_of
from tests.leaderboard.invented_board import CELLS, HOSTILE, MAIN, hostile_board, invented_board, invented_table, spread

EMPTY = Board("A board", "", "", (), (), (), drafts=False)
BOARDS = {"invented": invented_board(6, exams=30), "hostile": hostile_board(), "empty": EMPTY}


def pages_of(board):
    return {page.path: page.content for page in board_pages(board, PageOptions())}


@pytest.fixture(scope="module", params=BOARDS)
def site(request):
    """All pages of a board as trees, by path, and the other files."""
    files = pages_of(BOARDS[request.param])
    return {path: read_html(content) for path, content in files.items() if path.endswith(".html")}, files


@pytest.fixture(scope="module")
def invented():
    return pages_of(BOARDS["invented"])


def test_nothing_runs_or_styles_from_within_a_page(site):
    for path, root in site[0].items():
        for element in root.all():
            assert element.tag not in ("style", "iframe", "object", "embed", "base", "form", "img"), path
            assert not [name for name in element.attributes if name.startswith("on") or name == "style"], path
            if element.tag == "script":
                assert element.text == "", path
                assert re.fullmatch(r"(/|(\.\./)*)static/[a-z]+\.js", element.get("src")), path


def test_nothing_comes_from_elsewhere_and_every_link_leads_somewhere(site):
    trees, files = site
    static = {page.path for page in static_files()}
    later = re.compile(
        r"models/[a-z0-9-]+/(data\.json|[a-z0-9_]+\.html|responses/[a-z0-9_]+\.jsonl\.gz)|data/[a-z0-9_]+\.(csv|json)"
    )
    for path, root in trees.items():
        for element in root.all():
            for name in ("href", "src"):
                target = element.get(name)
                if target is None:
                    continue
                parts = urlsplit(target)
                assert (parts.scheme, parts.netloc) == ("", ""), (path, target)
                place = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path)) if parts.path else path
                place = place.removeprefix("/")  # of the page that stands for any that is not there
                assert place in files or place in static or later.fullmatch(place), (path, target)
                if parts.fragment:
                    assert by_id(trees[place], parts.fragment), (path, target)


def test_every_page_says_what_it_may_load(site):
    for path, root in site[0].items():
        (policy,) = (e for e in root.all("meta") if e.get("http-equiv") == "Content-Security-Policy")
        assert policy.get("content") == CONTENT_SECURITY_POLICY, path
        first = next(e for e in root.all("meta", "link", "script") if e.get("charset") is None)
        assert first is policy, path


def test_pages_can_be_used_by_keyboard_and_read_aloud(site):
    for path, root in site[0].items():
        assert next(root.all("html")).get("lang") == "en", path
        headings = [int(element.tag[1]) for element in root.all("h1", "h2", "h3", "h4")]
        assert headings.count(1) == 1, path
        assert headings[0] == 1, path
        assert all(below <= above + 1 for above, below in pairwise(headings)), path
        ids = [element.get("id") for element in root.all() if element.get("id") is not None]
        assert len(ids) == len(set(ids)), path
        for element in root.all():
            for name in ("aria-labelledby", "aria-describedby"):
                assert set((element.get(name) or "").split()) <= set(ids), (path, element.get(name))
            if element.get("role") == "region":
                assert element.get("tabindex") == "0", path
                assert element.get("aria-label") or element.get("aria-labelledby"), path
            if element.get("role") == "img":
                assert [child.tag for child in element.children[:2]] == ["title", "desc"], path
        assert len(list(root.all("main"))) == len(list(root.all("header"))) == len(list(root.all("footer"))) == 1, path
        skip = next(root.all("a"))
        assert (skip.get("href"), by_id(root, "main").tag) == ("#main", "main"), path


def test_every_table_has_heads_with_a_scope(site):
    for path, root in site[0].items():
        for table in root.all("table"):
            heads = list(table.all("th"))
            assert heads, path
            assert all(head.get("scope") in ("col", "row", "colgroup") for head in heads), path


def test_pages_are_the_same_twice():
    board = invented_board(4, exams=20)
    assert pages_of(board) == pages_of(board)


def test_a_table_shows_a_run_in_the_columns_that_scripts_know(invented):
    table = by_id(read_html(invented["index.html"]), "board")
    heads = list(next(table.all("thead")).all("th"))
    assert [(h.get("data-key"), h.get("data-kind"), "data-extra" in h.attributes) for h in heads] == [
        (column.key, column.kind, column.extra) for column in COLUMNS
    ]
    standings = BOARDS["invented"].cells[0].standings
    rows = rows_of(table)
    assert len(rows) == len(standings)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    standing, row = standings[0], dict(zip((c.key for c in COLUMNS), rows[0], strict=True))
    run, said = standing.run, standing.entry.graded.submission.metadata
    score = run.numbers["score"]
    assert row["score"] == f"{score.value:.2f} {score.low:.2f} to {score.high:.2f}"
    assert row["p1"] == f"{100 * run.numbers['p1_acc'].value:.0f}"
    assert row["skip"] == f"{100 * run.numbers['skip_rate'].value:.0f}"
    assert row["correct"] == f"{100 * run.numbers['correct'].value:.0f}"
    expected = {"rank": "1–3", "tier": "1", "model": said.model, "prompt": run.prompt, "date": said.date}
    assert {key: row[key] for key in expected} == expected
    link = next(next(table.all("tbody")).all("a"))
    assert link.get("href") == f"models/{standing.entry.id}/index.html"


def test_cells_carry_nothing_but_classes(invented):
    (body,) = by_id(read_html(invented["index.html"]), "board").all("tbody")
    attributes = {name for cell in body.all("td", "tr") for name in cell.attributes}
    assert attributes == {"class"}
    assert {name for cell in body.all("th") for name in cell.attributes} == {"scope"}


def test_tiers_are_ruled_off_and_said_in_words(invented):
    root = read_html(invented["index.html"])
    (body,) = by_id(root, "board").all("tbody")
    assert [row.classes for row in body.all("tr")] == [[], [], [], [], ["t"], []]
    (words,) = (element for element in root.all("p") if "tiers" in element.classes)
    assert re.fullmatch(r"Tier 1: .*\(4 runs\) Tier 2: .*\(2 runs\)", words.text)


def test_many_tiers_are_not_all_described():
    pages = pages_of(invented_board(17, exams=10, cells=(MAIN,)))
    (words,) = (element for element in read_html(pages["index.html"]).all("p") if "tiers" in element.classes)
    assert re.search(r"Tier 3: [^:]*\(4 runs\)[^:]* 5$", words.text)


def test_what_is_undefined_or_unknown_is_a_dash():
    board = invented_board(1, exams=20, cells=(MAIN,))
    standing = board.cells[0].standings[0]
    numbers = {name: Interval(None) for name in standing.run.numbers}
    run = replace(
        standing.run,
        numbers=numbers,
        score_fixed=Interval(None),
        regret_fixed=Interval(None),
        usd_per_exam=None,
        usd=None,
        allocation={},
        token_boxes=(),
        level_counts=(),
    )
    graded = replace(standing.entry.graded, runs=(run,))
    entry = replace(standing.entry, graded=graded)
    table = CellTable(MAIN, (Standing(entry, run, None, None, None),), (), ())
    pages = pages_of(replace(board, entries=(entry,), cells=(table,)))
    row = dict(zip((c.key for c in COLUMNS), rows_of(by_id(read_html(pages["index.html"]), "board"))[0], strict=True))
    dashes = {"rank", "tier", "score", "regret", "p1", "correct", "skip", "level_acc", "tokens", "usd", "v_dp", "ae"}
    assert {key for key, text in row.items() if text == "–"} >= dashes
    page = read_html(pages[f"models/{entry.id}/index.html"])
    assert "No level was written." in page.text
    assert "No score is defined." in read_html(pages["charts/v1_hard.html"]).text


def test_all_cells_of_all_exam_sets_are_linked_as_a_grid(invented):
    root = read_html(invented["index.html"])
    grids = {t.all("caption").__next__().text: t for t in root.all("table") if "grid" in t.classes}
    assert list(grids) == ["v1", "tiny", "fresh/7"]
    best = max(s.run.numbers["score"].value for s in BOARDS["invented"].cells[1].standings)
    assert rows_of(grids["v1"])[0][0] == "medium"
    assert rows_of(grids["v1"])[0][1:] == [f"6 runs best {best:.2f}", "–"]
    links = {link.get("href") for grid in grids.values() for link in grid.all("a")}
    assert links == {f"cells/{cell.slug}.html" for cell in CELLS}


def test_rows_of_the_literature_stand_apart_from_the_ranked_ones(invented):
    root = read_html(invented["cells/v1_hard_512.html"])
    assert "GPT-4o-mini" not in by_id(root, "board").text
    (table,) = (t for t in root.all("table") if "GPT-4o-mini" in t.text)
    assert rows_of(table)[1] == ["GPT-4o-mini", "direct", "0.32", "–", "reported", "arXiv 2601.03822"]
    assert "GPT-4o-mini" not in invented["cells/v1_medium_512.html"].decode()


@pytest.mark.parametrize("path", ["index.html", "method.html"])
def test_all_rows_of_the_literature_are_on_every_board(site, path):
    """A board without v1 has no cell that they belong to, and an empty one has none at all."""
    root = site[0][path]
    heading = by_id(root, "reported")
    assert heading.text == "Reported, not reproduced here"
    (region,) = (e for e in root.all("div") if e.get("aria-labelledby") == "reported")
    shown = {tuple(row[:7]) for row in rows_of(next(region.all("table")))}
    rows = load_reported()
    assert len(shown) == len(rows) > 5
    assert ("v1", "hard", "512", "DeepSeek-V3.2", "direct", "0.49", "–") in shown
    assert all(
        (r.cell.set_title, r.cell.order, str(r.cell.budget), r.model, r.method) in {s[:5] for s in shown} for r in rows
    )
    assert "not comparable exam by exam with anything on this board" in root.text
    if any(e.get("id") == "board" for e in root.all()):
        assert all("DeepSeek-V3.2" not in row for row in rows_of(by_id(root, "board")))


def test_lines_may_end_behind_underscores_of_a_prompt_and_nowhere_within_it(invented):
    (body,) = by_id(read_html(invented["index.html"]), "board").all("tbody")
    place = [column.key for column in COLUMNS].index("prompt")
    assert place < [column.key for column in COLUMNS].index("score")
    assert b"<td>plan_<wbr>and_<wbr>solve" in invented["index.html"]
    assert {row.children[place].text for row in body.all("tr")} <= set(PROMPTS)
    assert "table.runs wbr { display: none; }" in STYLE


def test_costs_that_nobody_knows_are_left_out_and_a_cost_of_nothing_is_compared_with_none():
    board = invented_board(5, exams=60, cells=(MAIN, CELLS[2]))

    def priced(table, usd):
        runs = [replace(s, run=replace(s.run, usd_per_exam=cost)) for s, cost in zip(table.standings, usd, strict=True)]
        return replace(table, standings=tuple(runs))

    def page(usd):
        first, second = board.cells
        return read_html(pages_of(replace(board, cells=(priced(first, usd), second)))["charts/v1_hard.html"])

    def costs(root):
        table = next(t for t in root.all("table") if "at 512 tokens" in next(t.all("caption")).text)
        return [(row[4], "cost" in row[7]) for row in rows_of(table)]

    assert "No run under this budget has a known cost." not in page([1e-3] * 5).text
    assert page([None] * 5).text.count("No run under this budget has a known cost.") == 1
    assert costs(page([None, 2e-3, None, 1e-3, 0.0])) == [
        *(("–", False), ("2", True), ("–", False), ("1", True), ("0", False)),
    ]
    assert "3 without a known cost are left out." in page([None, 2e-3, None, 1e-3, 0.0]).text
    assert "1 far off the scale stands at its edge." in page([1e-300, 2e-3, 3e-3, 1e-3, 0.01]).text


def test_a_model_page_begins_with_its_contents(site):
    for path, root in site[0].items():
        if not re.fullmatch(r"models/[^/]+/index\.html", path):
            continue
        (contents,) = (e for e in root.all("nav") if e.get("aria-label") == "Contents")
        targets = [link.get("href") for link in contents.all("a")]
        assert targets[:3] == ["#results", "#checked", "#said"]
        results = next(t for t in root.all("table") if "results" in t.classes)
        sections = [e.get("aria-labelledby") for e in root.all("section") if "run" in e.classes]
        assert [next(row.all("a")).get("href") for row in next(results.all("tbody")).all("tr")] == [
            f"#{section}" for section in sections
        ]


def test_a_corrected_submission_keeps_its_page_and_names_its_successor(invented):
    board = BOARDS["invented"]
    (old,) = (entry for entry in board.entries if entry.replaced_by)
    page = read_html(invented[f"models/{old.id}/index.html"])
    new = read_html(invented[f"models/{old.replaced_by}/index.html"])
    assert f"({old.replaced_by})" in page.text
    assert f"Corrects {old.id}: The wrong revision was named." in new.text
    assert old.id not in invented["index.html"].decode()


def test_comparisons_are_seen_from_the_run_whose_page_it_is():
    board = invented_board(2, exams=20, cells=(MAIN,))
    first, second = board.cells[0].standings
    line = ComparedPair(0, 1, 20, 7, Interval(0.25, -0.05, 0.55), 0.0004, 0.43)
    pages = pages_of(replace(board, cells=(CellTable(MAIN, (first, second), (line,), ()),)))

    def shown(entry):
        root = read_html(pages[f"models/{entry.id}/index.html"])
        (table,) = (t for t in root.all("table") if "scores differ in" in t.text)
        return rows_of(table)[0]

    name = second.entry.graded.submission.metadata.model
    assert shown(first.entry)[0] == name
    assert shown(first.entry)[3:8] == ["+0.25", "−0.05 to +0.55", "7 of 20", "< 0.001", "0.43"]
    assert shown(second.entry)[3:5] == ["−0.25", "−0.55 to +0.05"]


def test_a_model_page_shows_both_intervals_and_what_was_checked(invented):
    entry = BOARDS["invented"].cells[0].standings[0].entry
    root = read_html(invented[f"models/{entry.id}/index.html"])
    run = entry.graded.runs[0]
    table = next(t for t in root.all("table") if "results" in t.classes)
    general, fixed = run.numbers["score"], run.score_fixed
    assert rows_of(table)[0][2:5] == [
        f"{general.value:.2f}",
        f"{general.low:.2f} to {general.high:.2f}",
        f"{fixed.low:.2f} to {fixed.high:.2f}",
    ]
    assert "30 exams run again: 30 of 30 exams came out alike." in root.text
    plots = [e for e in root.all("svg") if "plot" in e.classes]
    assert len(plots) == 3 * len(entry.graded.runs)
    said = f"{entry.graded.submission.metadata.model}, {run.cell.title}, {run.exams} exams"
    assert all(said in next(plot.all("title")).text for plot in plots[:3])


def test_the_method_page_names_the_versions_of_prompts_and_exams(invented):
    text = read_html(invented["method.html"]).text
    assert all(prompt_sha256(name) in text for name in PROMPTS)
    assert "in one response of at most {budget} tokens" in text
    assert "then the final answer as \\boxed{answer}" in text  # as it is sent, its places left open
    assert "e" * 64 in text


def test_the_changelog_tells_of_corrections_reviews_and_refusals(invented):
    root = read_html(invented["changelog.html"])
    table = rows_of(by_id(root, "events").parent.all("table").__next__())
    events = [[*row[0].split(" "), *row[1:]] for row in table]
    assert [row[1] for row in events].count("correction") == 1
    assert any("The wrong revision was named." in row[3] for row in events if row[1] == "correction")
    assert any(row[0] == "2026-11-20" and "30 exams run again" in row[3] for row in events if row[1] == "review")
    assert [row[0] for row in events] == sorted((row[0] for row in events), reverse=True)
    assert all(row[3].count("v1 hard 512") == 1 for row in events if row[1] != "review")
    assert "roi_exam_hard_512.jsonl.gz: exam v1/003 is missing" in root.text


def test_hostile_text_is_shown_as_text_with_hidden_characters_written_out():
    pages = pages_of(BOARDS["hostile"])
    shown = HOSTILE
    for character in "\x00\x1b\ud800\u202e":
        assert character in HOSTILE
        shown = shown.replace(character, f"⟦U+{ord(character):04X}⟧")
    evil = BOARDS["hostile"].entries[0]
    for path in ("index.html", "charts/v1_hard.html", "changelog.html", f"models/{evil.id}/index.html"):
        assert shown in read_html(pages[path]).text, path
    assert not any(character in content.decode() for content in pages.values() for character in "\x00\x1b\u202e")


def test_an_empty_board_and_an_empty_cell_have_pages():
    pages = pages_of(EMPTY)
    assert "No submissions yet." in read_html(pages["index.html"]).text
    table = invented_table(MAIN, [])
    pages = pages_of(replace(EMPTY, cells=(table,)))
    root = read_html(pages["cells/v1_hard_512.html"])
    assert "No runs yet." in root.text
    assert "GPT-4o-mini" in root.text


def test_drafts_are_said_to_be_drafts():
    assert "not for publishing" in pages_of(invented_board(1, exams=10, drafts=True))["index.html"].decode()


STYLE = (STATIC / "style.css").read_text(encoding="utf-8")


def test_the_stylesheet_knows_which_columns_hold_words():
    words = {place for place, column in enumerate(COLUMNS, start=1) if column.kind != "number"}
    assert words == {3, 4, 7, 8, *range(28, len(COLUMNS) + 1)}
    aligned = re.search(r"((?:table\.runs tr > :nth-child\([^)]+\),?\s+)+)\{ text-align: start; \}", STYLE)
    assert re.findall(r"nth-child\(([^)]+)\)", aligned[1]) == ["3", "4", "7", "8", "n + 28"]
    assert [COLUMNS[place - 1].key for place in (3, 4, 7, 29, 30, 31)] == [
        *("model", "prompt", "badge", "provider", "licence", "labels"),
    ]  # those whose widths the stylesheet sets
    printed = re.search(r":root:not\(\.js\) table\.runs tr > :is\(([^{]+)\) \{ display: none", STYLE)
    extra = {place for place, column in enumerate(COLUMNS, start=1) if column.extra}
    hidden = {int(place) for place in re.findall(r"nth-child\((\d+)\)", printed[1])}
    assert "nth-child(n + 32)" in printed[1]
    assert hidden | set(range(32, len(COLUMNS) + 1)) == extra


def colours(theme):
    """Return the colours of a theme (0 light, 1 dark) by name."""
    found = re.findall(r"--([a-z0-9-]+): (?:light-dark\((#\w+), (#\w+)\)|(#\w+));", STYLE)
    return {name: both[theme] or both[2] for name, *both in found}


def contrast(one, other):
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(theme):
    found = colours(theme)
    assert contrast("#fff", "#000") == pytest.approx(21)
    for ground in ("background", "surface"):
        for ink in ("ink", "faint", "link", *(f"series-{k}" for k in range(8))):
            assert contrast(found[ink], found[ground]) >= 4.5, (ink, ground)
    for line in ("right", "false", "nothing", "control-line", "other"):
        assert contrast(found[line], found["background"]) >= 3, line
    for fill, ink in (("right", "strong"), ("false", "strong"), ("nothing", "strong")):
        assert contrast(found[fill], found[f"on-{ink}"]) >= 4.5, fill
    for fill in ("passed", "cut", "left"):
        assert contrast(found[fill], found["on-light"]) >= 4.5, fill


LINKED = {"model_url": "https://example.org/m?a=1&b=2", "paper_url": "https://arxiv.org/abs/1", "code_url": None}


def linked_board(**links):
    """Return a board of one submission with links, beside one without."""
    board = invented_board(2, exams=10, cells=(MAIN,))
    first, *others = board.entries
    submission = first.graded.submission
    submission = replace(submission, metadata=replace(submission.metadata, **links))
    entries = (replace(first, graded=replace(first.graded, submission=submission)), *others)
    return replace(board, entries=entries, cells=(invented_table(MAIN, entries),))


def outside(root):
    """Return address and rel of each link of a page that leaves the site."""
    return [(a.get("href"), a.get("rel")) for a in root.all("a") if urlsplit(a.get("href")).scheme]


def test_links_of_a_submission_are_text_and_link_and_vouch_for_nothing():
    board = linked_board(**LINKED)
    first, second = (read_html(pages_of(board)[f"models/{entry.id}/index.html"]) for entry in board.entries)
    rel = "nofollow ugc noopener noreferrer"
    assert outside(first) == [(LINKED["model_url"], rel), (LINKED["paper_url"], rel)]
    assert [a.text for a in first.all("a") if urlsplit(a.get("href")).scheme] == [
        LINKED["model_url"],
        LINKED["paper_url"],
    ]
    assert outside(second) == []


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://example.org/", 'https://x"><script>'])
def test_a_link_that_the_schema_would_not_let_in_is_no_way_out(address):
    page = read_html(pages_of(linked_board(model_url=address))[f"models/{linked_board().entries[0].id}/index.html"])
    assert all(target.startswith("https://") for target, _ in outside(page))
    assert not [e for e in page.all("script") if e.get("src") is None]


def test_links_to_the_project_come_from_one_setting():
    board, address = invented_board(2, exams=10, cells=(MAIN,)), "https://example.org/the/project/"
    without = {path: content for path, content in pages_of(board).items() if path.endswith(".html")}
    assert {path for path, content in without.items() if outside(read_html(content))} == set()
    found = pages_of(replace(board, project_url=address))
    for path in without:
        assert (address, "noopener") in outside(read_html(found[path])), path
    assert f"url = {{{address}}}" in found["submit.html"].decode()
    assert "url = {https://board.example/}" in found["submit.html"].decode()


def test_what_is_to_be_cited_is_what_the_citation_file_says():
    page = read_html(pages_of(EMPTY)["submit.html"]).text
    citation = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = citation["references"]
    authors = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    for field, value in {
        "title": citation["title"],
        "version": citation["version"],
        "license": citation["license"],
        "author": authors,
        "year": str(paper["year"]),
        "eprint": paper["notes"].removeprefix("arXiv:"),
    }.items():
        assert f"{field} = {{{value}}}" in page, field
    assert f"title = {{{paper['title']}}}" in page
    assert f"{{{{{citation['authors'][0]['name']}}}}}" in page
    assert page.count("{") == page.count("}")


def test_the_commands_of_the_page_on_submitting_can_be_run():
    """Commands of roi-bench have the options that they are shown with; the run is one that the harness takes."""
    import click

    from roi_bench.cli.main import cli
    from roi_bench.harness.run_arguments import parse_arguments

    page = read_html(pages_of(EMPTY)["submit.html"])
    lines = [
        line
        for block in page.all("pre")
        for line in "".join(block.children).splitlines()
        if line.startswith("roi-bench")
    ]
    commands = [shlex.split(line)[1:] for line in lines]
    assert [words[:2] if words[0] != "run" else words[:1] for words in commands] == [
        ["run"],
        ["submit", "pack"],
        ["submit", "check"],
    ]
    for name, *words in commands:
        if name == "run":
            assert parse_arguments(words).config.tasks == ["roi_exam"]
            continue
        group = cli.get_command(click.Context(cli), name)
        found = group.get_command(click.Context(group), words[0])
        found.make_parser(click.Context(found)).parse_args(words[1:])  # an option that is not there raises
    for option in re.findall(r"--(?:model|paper|code)-url", page.text):
        assert any(option in one.opts for one in cli.get_command(click.Context(cli), "submit").commands["pack"].params)


def test_a_title_cannot_break_the_entry_of_a_bibliography():
    board = replace(BOARDS["invented"], title="A {b} \\evil{c} 100 % # & _ ~ ^ $ x")
    page = read_html(pages_of(board)["submit.html"]).text
    assert re.search(r"title = \{A b evilc 100 +x\},", page)


def test_every_page_says_what_it_is_to_those_who_link_to_it(site):
    for path, root in site[0].items():
        meta = {e.get("property") or e.get("name"): e.get("content") for e in root.all("meta")}
        assert meta["description"] == meta["og:description"], path
        assert meta["description"], path
        assert meta["og:title"], path
        assert len(meta["description"]) < 500, path


def test_what_came_lately_is_marked_unless_everything_did():
    board = invented_board(3, exams=10, cells=(MAIN,))

    def table(*days):
        entries = tuple(replace(entry, accepted=day) for entry, day in zip(board.entries, days, strict=True))
        changed = replace(board, entries=entries, cells=(invented_table(MAIN, entries),))
        (body,) = by_id(read_html(pages_of(changed)["index.html"]), "board").all("tbody")
        rows = {next(row.all("a")).get("href").split("/")[1]: next(row.all("th")).text for row in body.all("tr")}
        return [rows[entry.id].endswith(" new") for entry in entries], changed.updated

    assert table("2026-11-30", "2026-11-01", "2026-10-01") == ([True, True, False], "2026-11-30")
    assert table("2026-11-30", "2026-11-30", "2026-11-29") == ([False] * 3, "2026-11-30")
    assert table("2026-11-30", None, "2026-10-01")[0] == [True, False, False]


def test_a_badge_is_a_picture_that_says_score_and_rank():
    board = hostile_board()
    files = pages_of(board)
    standing = board.cells[0].standings[0]
    root = ElementTree.fromstring(files[f"models/{standing.entry.id}/badge.svg"])  # noqa: S314 (our own)
    score = standing.run.numbers["score"].value
    assert root.get("aria-label") == f"roi-bench v1 hard 512: {score:.2f}, rank 1–3 of 3"
    for entry in board.entries:
        ElementTree.fromstring(files[f"models/{entry.id}/badge.svg"])  # noqa: S314 (our own)


def test_a_matrix_has_every_exam_and_every_run_of_its_table(invented):
    table = BOARDS["invented"].cells[0]
    root = read_html(invented["matrix/v1_hard_512.html"])
    rows = rows_of(by_id(root, "board"))
    runs = [standing.run for standing in table.standings]
    assert [row[0] for row in rows] == sorted(runs[0].exam_ids)
    for index, row in enumerate(rows):
        assert row[1] == runs[0].exam_clusters[index]
        assert row[2] == f"{sum(run.scores[index] for run in runs) / len(runs):.2f}"
        assert row[3:] == [run.outcomes[3 * index : 3 * index + 3] for run in runs]
    everywhere = sum(all(run.outcomes[3 * index + 2] == "c" for run in runs) for index in range(30))
    nowhere = sum(all(run.outcomes[3 * index + 2] != "c" for run in runs) for index in range(30))
    assert f"Problem 3: {everywhere} right in every run, {nowhere} in none." in root.text
    link = next(next(by_id(root, "board").all("tbody")).all("a")).get("href")
    assert link == "../read.html?cell=v1_hard_512&exam=v1/000"


def test_a_matrix_of_many_runs_and_whole_sets_stays_small():
    board = invented_board(30, exams=480, cells=(MAIN,))
    page = pages_of(board)["matrix/v1_hard_512.html"]
    assert len(page) < 400_000
    assert "the 24 best of 30" in page.decode()


def test_budgets_are_compared_where_runs_sat_several(invented):
    assert [path for path in invented if path.startswith("budgets/")] == ["budgets/v1_hard.html"]
    assert "budgets/v1_hard.html" in invented["charts/v1_hard.html"].decode()
    assert "budgets/" not in invented["charts/tiny_hard.html"].decode()
    root = read_html(invented["budgets/v1_hard.html"])
    assert "6 runs with several budgets give 15 comparisons" in root.text


def crossing(scores):
    """Return a board of runs with the given scores at 512 and at 1024 tokens."""
    board = invented_board(len(scores), exams=60, cells=(MAIN, CELLS[2]))
    entries = []
    for entry, at in zip([e for e in board.entries if not e.replaced_by], scores, strict=True):
        runs = []
        for run, (mean, seed) in zip(entry.graded.runs, at, strict=True):
            drawn = np.random.default_rng(seed).binomial(3, mean / 3, 60).astype(float)
            numbers = {**run.numbers, "score": spread(drawn, run.exam_clusters)}
            runs.append(replace(run, scores=tuple(drawn.tolist()), numbers=numbers))
        entries.append(replace(entry, graded=replace(entry.graded, runs=tuple(runs))))
    cells = tuple(invented_table(cell, entries) for cell in (MAIN, CELLS[2]))
    return replace(board, entries=tuple(entries), cells=cells)


def test_runs_that_change_places_are_told_and_where_a_score_is_reached():
    board = crossing([((2.0, 1), (1.5, 2)), ((1.0, 3), (2.8, 4))])
    first, second = (entry.graded.submission.metadata.model for entry in board.entries if not entry.replaced_by)
    root = read_html(pages_of(board)["budgets/v1_hard.html"])
    places, reach = (t for t in root.all("table") if "plain" in t.classes)
    (row,) = rows_of(places)
    assert row[0].startswith(first)
    assert row[1].startswith(second)
    assert (row[2], row[6], row[7]) == ("512 → 1024", "< 0.001", "they change places")
    assert row[3].startswith("+")
    assert row[4].startswith("−")
    assert "in 1 of these the lead changes hands, and in 1 each run is significantly ahead" in root.text
    heads = [head.text for head in next(reach.all("thead")).all("th")]
    reached = {row[0].split(" ")[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows_of(reach)}
    assert reached[first]["1.75"].startswith("512")
    assert reached[second]["1.75"] == "1024"
    assert reached[second]["2.50"].startswith("1024")
    assert reached[first]["2.50"] == ""


def test_a_remark_leads_to_the_submissions_that_it_names():
    board = invented_board(2, exams=10, cells=(MAIN,))
    first, second = board.entries
    remark = Remark("responses", f"its responses are those of {second.id} and of none-such-0123456789ab <b>")
    changed = replace(first, graded=replace(first.graded, remarks=(remark,)))
    root = read_html(pages_of(replace(board, entries=(changed, second)))[f"models/{first.id}/index.html"])
    (line,) = (item for item in root.all("li") if "its responses are those of" in item.text)
    assert [link.get("href") for link in line.all("a")] == [f"../../models/{second.id}/index.html"]
    assert line.text.endswith("none-such-0123456789ab <b>")


def test_a_perfect_score_without_an_interval_is_as_strong_as_others():
    board = invented_board(1, exams=10, cells=(MAIN,))
    (standing,) = board.cells[0].standings
    numbers = {**standing.run.numbers, "score": Interval(3.0)}
    perfect = replace(standing, run=replace(standing.run, numbers=numbers))
    page = pages_of(replace(board, cells=(replace(board.cells[0], standings=(perfect,)),)))["index.html"]
    assert b"<td><b>3.00</b>" in page


def test_a_drawn_interval_is_to_scale():
    board = invented_board(1, exams=10, cells=(MAIN,))
    (standing,) = board.cells[0].standings
    numbers = {**standing.run.numbers, "score": Interval(1.5, -0.2, 1.75)}
    changed = replace(standing, run=replace(standing.run, numbers=numbers))
    page = pages_of(replace(board, cells=(replace(board.cells[0], standings=(changed,)),)))["index.html"].decode()
    assert 'viewBox="0 0 300 12"><path d="M0 6h175"/><path d="M150 0v12"/>' in page


def test_what_generated_a_run_is_shown_and_sets_runs_apart_that_are_called_alike():
    board = invented_board(2, exams=10, cells=(MAIN,))
    about = board.entries[0].graded.submission.metadata
    entries = []
    for entry, version in zip(board.entries, ("0.18.0", "0.19.0"), strict=True):
        submission = entry.graded.submission
        tasks = tuple(
            replace(task, engine="vllm", engine_version=version, quantization="awq") for task in submission.tasks
        )
        run = replace(entry.graded.runs[0], prompt="direct", decoding="")
        submission = replace(submission, metadata=about, tasks=tasks)
        entries.append(replace(entry, graded=replace(entry.graded, submission=submission, runs=(run,))))
    pages = pages_of(replace(board, entries=tuple(entries), cells=(invented_table(MAIN, entries),)))
    keys = [column.key for column in COLUMNS]
    rows = [dict(zip(keys, row, strict=True)) for row in rows_of(by_id(read_html(pages["index.html"]), "board"))]
    assert sorted(row["engine"] for row in rows) == ["vllm 0.18.0", "vllm 0.19.0"]
    assert {row["dtype"].split(" ")[-1] for row in rows} == {"awq"}
    names = [run["name"] for run in json.loads(pages["data/models.json"])["cells"][0]["runs"]]
    assert all("vllm 0.1" in name for name in names)
    assert len(set(names)) == 2
    assert "vllm, 0.18.0" in read_html(pages[f"models/{entries[0].id}/index.html"]).text
