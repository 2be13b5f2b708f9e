"""The site in a real browser: tables, addresses, downloads, themes, phones, keyboards, and what attacks it."""

import csv
import gzip
import io
import json
import re
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from roi_bench.leaderboard.exporters.tables import board_tables, harmless
from roi_bench.leaderboard.site.page import STATIC, PageFile, PageOptions
from roi_bench.leaderboard.site.pages import board_pages
from roi_bench.leaderboard.site.shown_text import visible
from roi_bench.leaderboard.site.site import BuildOptions, build_site
from tests.leaderboard.invented_board import invented_board
from tests.leaderboard.made_submissions import MadeTask, made_submission

SCRIPT = "=1+1<script>window.__owned=1</script><img src=x onerror=window.__owned=1>"
ATTACK = f"{SCRIPT}\"'><a href=javascript:window.__owned=1>x</a>[x](javascript:window.__owned=1){{{{7*7}}}}"
HIDDEN = "\u202e\u2066\x1b[31m\x07"
BOARD = invented_board(40, exams=30)
ROWS = BOARD.cells[0].standings


@pytest.fixture(scope="session")
def real(served, tmp_path_factory):
    """The address of a site built from small real submissions, one of them hostile in all it says."""
    submissions = tmp_path_factory.mktemp("submissions") / "submissions"
    submissions.mkdir()
    tasks = [MadeTask(exams=12, usd=1e-6), MadeTask(order="medium", budget=256, exams=12, prompt="metacognitive")]
    made_submission(submissions, tasks, model="made-up/alpha", parameters=1_500_000_000, open_weights=True)
    weaker = MadeTask(exams=12, skill=(0.6, 0.4, 0.0), repeats=2, temperature=0.7)
    made_submission(submissions, [weaker], model="made-up/beta", provider="somebody")
    evil = MadeTask(exams=12, text=lambda _, text: f"{ATTACK}{HIDDEN}\n{text}", skill=(1.0, 0.5, 0.0), budget=512)
    fields = ("version", "provider", "organisation", "licence", "hardware", "contamination", "contact", "notes")
    made_submission(submissions, [evil, MadeTask(exams=12)], model=SCRIPT, **dict.fromkeys(fields, ATTACK))
    options = BuildOptions(drafts=True, workers=1, pages=PageOptions(exam_pages=6))
    built = build_site(submissions, served.folder / "real", options)
    assert built.board.refused == ()
    assert len(built.board.entries) == 3
    return f"{served.url}real/"


@pytest.fixture(scope="session")
def table(served):
    """The address of the first page of an invented board with forty runs a table."""
    return served.write("invented", [*board_pages(BOARD, PageOptions()), *board_tables(BOARD)])


@pytest.fixture(scope="session")
def context(browser):
    found = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield found
    found.close()


@pytest.fixture(scope="session")
def shared_page(context):
    found = context.new_page()
    found.set_default_timeout(10_000)
    return found


@pytest.fixture
def page(shared_page):
    """The one page of this file: a new one for each test would cost more than the tests do."""
    shared_page.set_viewport_size({"width": 1280, "height": 900})
    shared_page.emulate_media(color_scheme="light", media="screen")
    return shared_page


def addresses(url, served):
    """Return the address of one page of each kind of the real site, those of the attacker where there is a choice."""
    folder = served.folder / "real"
    evil = next(path for path in sorted((folder / "models").iterdir()) if path.name.startswith("1-1-script"))
    found = [
        "index.html",
        "cells/tiny_hard_512.html",
        "charts/index.html",
        "charts/tiny_hard.html",
        "budgets/tiny_hard.html",
        "matrix/tiny_hard_128.html",
        f"models/{evil.name}/index.html",
        f"models/{evil.name}/tiny_hard_512_direct.html",
        f"models/{evil.name}/exams/tiny-0-001.html",
        "compare.html",
        "read.html",
        "submit.html",
        "method.html",
        "changelog.html",
    ]
    return [url + path for path in found]


def column(page, key, *, shown=True):
    """Return the texts of a column, of the rows that are shown."""
    place = page.locator("#board thead th").evaluate_all(f"all => all.findIndex(th => th.dataset.key === '{key}')")
    rows = "#board tbody tr:not([hidden])" if shown else "#board tbody tr"
    return page.locator(rows).evaluate_all(f"all => all.map(row => row.cells[{place}].textContent.trim())")


def numbers(values):
    """Return the leading number of each text in its own unit, None where there is none."""
    units = {"": 1, "M": 1e6, "B": 1e9}
    found = [re.match(r"(−?[\d.]+) ?([MB]?)\b", value) for value in values]
    return [one and float(one[1].replace("−", "-")) * units[one[2]] for one in found]


def sort_by(page, key):
    page.locator(f"#board th[data-key={key}] button").click()


def state(page):
    return urlsplit(page.url).query


def show_all(page, url, query=""):
    page.goto(f"{url}index.html{query}")
    page.locator("#controls").wait_for(state="visible")


def test_the_script_is_small_and_no_page_holds_script_or_style(real, served):
    assert (STATIC / "app.js").stat().st_size < 20_000
    for path in (served.folder / "real").rglob("*.html"):
        content = re.sub(r'"[^"]*"', '""', path.read_text(encoding="utf-8"))  # what values say is text
        assert not re.search(r"<style|<[^>]*\s(?:style|on\w+)\s*=|<script(?![^>]*\ssrc=\"\")", content), path


@pytest.mark.parametrize(
    ("key", "orders"),
    [
        ("tokens", ("descending", "ascending")),
        ("regret", ("ascending", "descending")),
        ("size", ("descending", "ascending")),
        ("date", ("descending", "ascending")),
        ("model", ("ascending", "descending")),
        ("usd", ("descending", "ascending")),
    ],
)
def test_headings_sort_both_ways_and_back(page, table, key, orders):
    show_all(page, table)
    before = column(page, "model")
    for order in orders:
        sort_by(page, key)
        values = column(page, key)
        if key not in ("date", "model"):
            found = numbers(values)
            known = [value for value in found if value is not None]
            assert found == known + [None] * (len(found) - len(known))  # what is unknown stays below
            values = known
        if key == "model":
            values = [[int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)] for text in values]
        assert values == sorted(values, reverse=order == "descending")
        sorted_by = page.locator("#board th[aria-sort]")
        assert sorted_by.get_attribute("aria-sort") == order
        assert sorted_by.get_attribute("data-key") == key
        assert state(page) == f"sort={'-' if order == 'descending' else ''}{key}"
    assert set(column(page, "model")) == set(before)
    sort_by(page, key)
    assert column(page, "model") == before
    assert (page.locator("#board th[aria-sort]").count(), state(page)) == (0, "")


def said(standing):
    return standing.entry.graded.submission.metadata


@pytest.mark.parametrize(
    ("filters", "query", "wanted"),
    [
        ({"Prompt": "direct"}, "prompt=direct", lambda s: s.run.prompt == "direct"),
        ({"Prompt": "plan_and_solve"}, "prompt=plan_and_solve", lambda s: s.run.prompt == "plan_and_solve"),
        ({"Search": "plan_and_solve"}, "q=plan_and_solve", lambda s: s.run.prompt == "plan_and_solve"),
        ({"Provider": "local"}, "provider=local", lambda s: said(s).provider == "local"),
        ({"Open weights": "yes"}, "open=yes", lambda s: said(s).open_weights is True),
        ({"Engine": "vllm 0.18.0"}, "engine=vllm+0.18.0", lambda s: s.run.prompt == "direct"),
        ({"Badge": "reproduced"}, "badge=reproduced", lambda s: s.entry.badge == "reproduced"),
        ({"Since": "2026-06-01"}, "since=2026-06-01", lambda s: said(s).date >= "2026-06-01"),
        ({"Size from (B)": "7"}, "size_from=7", lambda s: (said(s).parameters or 0) >= 7e9),
        ({"Size to (B)": "0.5"}, "size_to=0.5", lambda s: said(s).parameters is not None and said(s).parameters <= 5e8),
        ({"Search": "2026-0 CEDAR"}, "q=2026-0+CEDAR", lambda s: "Cedar" in said(s).model and said(s).date < "2026-1"),
        (
            {"Open weights": "no", "Since": "2026-03-01", "Prompt": "metacognitive"},
            "prompt=metacognitive&open=no&since=2026-03-01",
            lambda s: (said(s).open_weights, s.run.prompt) == (False, "metacognitive") and said(s).date >= "2026-03-01",
        ),
    ],
)
def test_filters_keep_the_right_rows_and_stand_in_the_address(page, table, filters, query, wanted):
    expected = [said(standing).model for standing in ROWS if wanted(standing)]
    show_all(page, table)
    for label, value in filters.items():
        control = page.get_by_label(label, exact=True)
        if control.evaluate("c => c.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)
    assert expected
    assert column(page, "model") == expected
    assert page.locator("#controls [role=status]").inner_text() == f"{len(expected)} of {len(ROWS)} rows"
    assert state(page) == query
    page.reload()
    assert column(page, "model") == expected
    assert page.get_by_label(next(iter(filters)), exact=True).input_value() == next(iter(filters.values()))


def test_the_list_of_exams_is_filtered_by_outcome(page, real, served):
    path = next((served.folder / "real/models").glob("made-up-alpha*/*_direct.html"))
    page.goto(f"{real}{path.relative_to(served.folder / 'real')}?outcome=wrong")
    rows = page.locator("#board tbody tr")
    texts = [row.inner_text() for row in rows.all() if row.is_visible()]
    assert 0 < len(texts) < rows.count()
    assert all("wrong" in text for text in texts)
    assert not any("wrong" in row.inner_text() for row in rows.all() if not row.is_visible())
    page.get_by_label("Outcome", exact=True).select_option("")
    assert page.locator("#board tbody tr:visible").count() == rows.count()


def test_an_address_restores_everything_and_ignores_what_it_does_not_know(page, table):
    show_all(page, table, "?prompt=direct&sort=-tokens&columns=rank,model,tokens,provider")
    shown = page.locator("#board thead th:visible").evaluate_all("all => all.map(th => th.dataset.key)")
    assert shown == ["rank", "model", "tokens", "provider"]
    assert set(column(page, "prompt")) == {"direct"}
    tokens = numbers(column(page, "tokens"))
    assert tokens == sorted(tokens, reverse=True)
    assert state(page) == "prompt=direct&sort=-tokens&columns=rank,model,tokens,provider"
    page.get_by_role("button", name="Reset").click()
    assert (state(page), len(column(page, "model"))) == ("", len(ROWS))
    unknown = "prompt=none&provider=%3Cscript%3E&since=yesterday&size_from=x&sort=evil&columns=%3Cimg%3E,&__proto__=1"
    show_all(page, table, f"?{unknown}&badge=#main")
    assert (state(page), len(column(page, "model"))) == ("", len(ROWS))
    assert page.url.endswith("index.html#main")


def test_columns_can_be_chosen(page, table):
    show_all(page, table)
    visible = "all => all.filter(th => th.offsetParent !== null).map(th => th.dataset.key)"
    heads = page.locator("#board thead th")
    usual = heads.evaluate_all(visible)
    extras = page.locator("#board thead th[data-extra]").evaluate_all("all => all.map(th => th.dataset.key)")
    assert extras
    assert not set(extras) & set(usual)
    page.locator("#controls .chooser summary").click()
    page.locator("#controls .choices").get_by_label("provider", exact=True).check()
    page.get_by_label("regret ↓").uncheck()
    found = heads.evaluate_all(visible)
    assert found == [key for key in [*heads.evaluate_all("all => all.map(th => th.dataset.key)")] if key in found]
    assert set(found) == {*usual, "provider"} - {"regret"}
    cells = page.locator("#board tbody tr").first.locator(":scope > *:visible")
    assert cells.count() == len(found)
    page.reload()
    assert heads.evaluate_all(visible) == found


def download(page, name):
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download what is shown as {name}").click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes().decode("utf-8")


def test_the_button_gives_the_shown_rows_of_the_file_that_the_page_links_to(page, table, served):
    show_all(page, table, "?provider=local&sort=size&columns=rank,model,score,usd,size")
    models = column(page, "model")
    name, text = download(page, "CSV")
    assert name == "roi-bench-v1_hard_512.csv"
    head, *lines = (served.folder / "invented/data/v1_hard_512.csv").read_text(encoding="utf-8").splitlines()
    found_head, *found = text.splitlines()
    assert found_head == head
    assert len(found) == len(models) > 1
    assert set(found) <= set(lines)
    assert [row["model"] for row in csv.DictReader(io.StringIO(text))] == models
    name, text = download(page, "JSON")
    assert name == "roi-bench-v1_hard_512.json"
    rows = json.loads((served.folder / "invented/data/v1_hard_512.json").read_text(encoding="utf-8"))["rows"]
    assert json.loads(text) == [next(row for row in rows if row["model"] == model) for model in models]


FORMULAS = ["=1+1", "+1x", "-1x", "@x", "a;=1+1", "\uff1d1", "a;\uff0b1", "1=1", "a-b", "a; b", 'a,"b"']


def test_tables_without_a_file_guard_formulas_as_the_files_do(page, served):
    rows = "".join(f"<tr><th scope=row>{escape(text)}" for text in FORMULAS)
    table = f"<table id=board><thead><tr><th data-key=exam data-kind=text>x<tbody>{rows}</table>"
    start = '<!doctype html><html lang=en><script src="static/app.js"></script><div id=controls hidden></div>'
    content = f"{start}{table}".encode()
    page.goto(served.write("guarded", [PageFile("list.html", content)]) + "list.html")
    name, text = download(page, "CSV")
    assert name == "roi-bench-list.csv"
    assert [row["exam"] for row in csv.DictReader(io.StringIO(text))] == [harmless(text) for text in FORMULAS]
    assert sum(harmless(text) != text for text in FORMULAS) == 7


def test_any_response_can_be_read_beside_another(page, real, served):
    """What is shown is what was submitted, hidden characters written out; exams need no page for it."""
    folder = served.folder / "real"
    evil = next(path for path in sorted((folder / "models").iterdir()) if path.name.startswith("1-1-script"))
    alpha = next(path for path in sorted((folder / "models").iterdir()) if path.name.startswith("made-up-alpha"))
    lines = gzip.decompress((evil / "responses/roi_tiny_hard_512.jsonl.gz").read_bytes()).decode().splitlines()
    rows = {row["id"]: row["requests"] for row in map(json.loads, lines)}
    (exam,) = [name for name in rows if name.endswith("/010")]
    assert not (evil / "exams/tiny-0-010.html").exists()
    page.goto(f"{real}read.html?cell=tiny_hard_512&a={evil.name}/direct&exam={exam}")
    page.locator("#responses pre").first.wait_for()
    shown = page.locator("#responses pre").all_text_contents()
    assert shown == [visible(request[0]["text"]) for request in rows[exam]]
    assert "<script>window.__owned=1</script>" in shown[0]
    assert page.evaluate("window.__owned") is None
    assert page.locator("#responses :is(img, script)").count() == 0
    page.goto(f"{real}read.html?cell=tiny_hard_128&a={evil.name}/direct&b={alpha.name}/direct&exam={exam}")
    page.locator("#responses .side").nth(1).wait_for()
    assert page.locator("#exam").input_value() == exam
    assert page.locator("#responses .side:first-child .outcome").count() == 3
    page.get_by_role("button", name="Next").click()
    page.wait_for_url(re.compile("exam=tiny/0/011"))
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_label("only exams with different scores").check()
    page.wait_for_function("document.querySelectorAll('#exam option').length < 12")
    labels = page.locator("#exam option").all_inner_texts()
    scores = [re.search(r"\((\S+) and (\S+) correct", label).groups() for label in labels]
    assert all(one != other for one, other in scores)


def test_a_list_of_exams_leads_to_every_response(page, real, served):
    address = next(one for one in addresses(real, served) if one.endswith("tiny_hard_512_direct.html"))
    page.goto(address)
    page.get_by_role("link", name="tiny/0/010").click()
    page.locator("#responses pre").first.wait_for()
    assert page.get_by_role("status").inner_text() == "Exam tiny/0/010, 11 of 12."


def test_files_of_responses_are_those_that_were_submitted(real, served):
    count = 0
    for path in (served.folder / "real/models").rglob("*.jsonl.gz"):
        (source,) = served.folder.parent.glob(f"submissions[0-9]/submissions/{path.parts[-3]}/{path.name}")
        assert path.read_bytes() == source.read_bytes()
        page = (path.parents[1] / "index.html").read_text(encoding="utf-8")
        assert f'href="responses/{path.name}"' in page
        count += 1
    assert count == 5


def background(page):
    colour = "getComputedStyle(document.{}).backgroundColor"
    return [page.evaluate(colour.format(element)) for element in ("documentElement", "body")]


def test_the_theme_is_chosen_remembered_and_follows_the_system(page, real):
    page.goto(f"{real}index.html")
    light = background(page)
    page.emulate_media(color_scheme="dark")
    dark = background(page)
    assert dark != light
    page.get_by_label("Theme").select_option("light")
    assert background(page) == light
    page.goto(f"{real}method.html")
    assert (background(page), page.get_by_label("Theme").input_value()) == (light, "light")
    page.emulate_media(color_scheme="light")
    page.get_by_label("Theme").select_option("dark")
    assert background(page) == dark
    page.get_by_label("Theme").select_option("system")
    page.reload()
    assert (background(page), page.evaluate("document.documentElement.dataset.theme")) == (light, None)


def test_the_theme_works_where_nothing_may_be_remembered(browser, real):
    found = browser.new_page()
    errors = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    found.goto(f"{real}index.html")
    found.get_by_label("Theme").select_option("dark")
    assert found.evaluate("document.documentElement.dataset.theme") == "dark"
    assert errors == []
    found.close()


def test_without_script_the_whole_table_is_there(browser, table, real):
    bare = browser.new_context(java_script_enabled=False)
    found = bare.new_page()
    found.goto(f"{table}index.html")
    heads, rows = found.locator("#board thead th"), found.locator("#board tbody tr")
    assert rows.count() == len(ROWS)
    assert found.locator("#board thead th:visible").count() == heads.count()
    assert found.locator("#board tbody tr").last.locator(":scope > *:visible").count() == heads.count()
    assert found.locator("#controls").is_hidden()
    assert found.locator("button:visible, select:visible, input:visible").count() == 0
    found.goto(f"{real}read.html")
    assert "needs JavaScript" in found.locator("main").inner_text()
    found.goto(f"{real}compare.html")
    assert "roi-bench report" in found.locator("main").inner_text()
    assert found.locator("select:visible").count() == 0
    bare.close()


def test_nothing_moves_when_the_script_starts(context, table):
    found = context.new_page()
    found.add_init_script("""
        window.__moved = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => { window.__moved += one.value; }))
            .observe({ type: 'layout-shift', buffered: true });
    """)
    for query in ("", "?prompt=direct&sort=-tokens&columns=rank,model,tokens"):
        found.goto(f"{table}index.html{query}")
        found.wait_for_timeout(200)
        assert found.evaluate("window.__moved") < 0.01
    found.close()


def test_the_usual_columns_fit_and_a_phone_shows_the_score(page, table):
    """1265 pixels: a window of 1280 with a bar to scroll by."""
    for width in (1265, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        show_all(page, table)
        region = page.locator(".scroll:has(#board)")
        assert region.evaluate("region => region.scrollWidth <= region.clientWidth"), width
        for key in ("badge", "date", "labels"):
            assert page.locator(f"#board th[data-key={key}]").evaluate("th => th.offsetParent !== null")
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        show_all(page, table)
        right = page.locator("#board tbody tr > :nth-child(5) b").evaluate_all(
            "all => Math.max(...all.map(b => b.getBoundingClientRect().right))"
        )
        assert right <= width - 16, width
        prompts = page.locator("#board tbody tr > :nth-child(4)").evaluate_all(
            "all => all.map(td => [td.textContent, td.scrollWidth <= td.clientWidth])"
        )
        assert all(fits for _, fits in prompts), prompts


def test_a_phone_shows_a_row_and_its_score_within_one_screen(page, table, real, served):
    page.set_viewport_size({"width": 390, "height": 844})
    show_all(page, table)
    row = page.locator("#board tbody tr").first.bounding_box()
    assert row["y"] + row["height"] < 844
    assert page.locator("#filter-prompt").is_hidden()
    page.get_by_text("Filter", exact=True).click()
    assert page.locator("#filter-prompt").is_visible()
    show_all(page, table, "?prompt=direct")  # what the address filters by can be seen
    assert page.locator("#filter-prompt").is_visible()
    show_all(page, table, "?columns=rank,tier,model")
    assert page.locator("#board thead th:visible").count() == 3
    alpha = next(path for path in (served.folder / "real/models").iterdir() if path.name.startswith("made-up-alpha"))
    page.goto(f"{real}models/{alpha.name}/index.html")
    score = page.locator(".results tbody b").first.bounding_box()
    assert score["x"] + score["width"] <= 390 - 16


def test_no_page_scrolls_sideways_on_a_phone(page, real, served):
    page.set_viewport_size({"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth"
    for address in addresses(real, served):
        page.goto(address)
        assert page.evaluate(wide) <= 390, address
        regions = page.locator(".scroll").evaluate_all(
            "all => all.map(one => [one.tabIndex, one.role || one.ariaLabel])"
        )
        assert all(place == 0 and called for place, called in regions), address  # else no keyboard could scroll them
    page.goto(f"{real}index.html")
    page.locator("#controls .chooser summary").click()
    assert page.evaluate(wide) <= 390
    assert page.locator(".scroll:has(#board)").evaluate("region => region.scrollWidth > region.clientWidth")


def test_everything_can_be_done_with_the_keyboard(page, table):
    show_all(page, table)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("id") == "main"
    page.get_by_label("Search", exact=True).focus()
    page.keyboard.type("elm")
    assert all("Elm" in model for model in column(page, "model"))
    page.locator("#controls .chooser summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the first column goes away
    page.keyboard.press("Escape")
    assert page.locator(":focus").inner_text() == "Columns"
    assert page.locator("#controls .choices").is_hidden()
    page.locator("#board th[data-key=score] button").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert page.locator(":focus").evaluate("b => b.parentElement.dataset.key") == "score"
    assert page.locator("#board th[data-key=score]").get_attribute("aria-sort") == "ascending"
    assert "sort=score" in state(page)
    outline = page.locator(":focus").evaluate("b => getComputedStyle(b).outlineStyle")
    assert outline != "none"
    region = page.locator(".scroll:has(#board)")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.scroll:has(#board)').scrollLeft > 0 || innerWidth > 1200")


def test_lists_of_exams_can_be_searched_and_lead_to_responses(page, real, served):
    address = next(one for one in addresses(real, served) if one.endswith("tiny_hard_512_direct.html"))
    page.goto(address)
    assert len(column(page, "exam")) == 12
    page.get_by_label("Search", exact=True).fill("skipped correct")
    sort_by(page, "score")
    rights = [int(value) for value in column(page, "score")]
    assert rights == sorted(rights, reverse=True)
    page.get_by_role("link", name="tiny/0/003").click()
    assert page.locator("h1").inner_text() == "Exam tiny/0/003"
    page.get_by_role("link", name="tiny/0/002").wait_for()
    page.get_by_role("link", name="tiny/0/004").click()
    assert page.locator("h1").inner_text() == "Exam tiny/0/004"


def test_lists_of_exams_can_be_filtered_by_outcome(page, real, served):
    address = next(one for one in addresses(real, served) if one.endswith("tiny_hard_512_direct.html"))
    page.goto(address)
    everything = column(page, "p1"), column(page, "p2")
    page.locator("#filter-p2").select_option("correct")
    kept = [text for text in everything[1] if text.startswith("correct")]
    assert column(page, "p2") == kept
    assert 0 < len(kept) < 12
    assert state(page) == "p2=correct"
    page.get_by_label("Search", exact=True).fill("no such exam")
    assert page.locator("#controls [role=status]").inner_text() == "0 of 12 rows: nothing matches"
    page.reload()
    page.get_by_role("button", name="Reset").click()
    assert (column(page, "p1"), state(page)) == (everything[0], "")


def test_another_budget_is_looked_at_likewise(page, table):
    show_all(page, table, "?prompt=direct&sort=-tokens")
    page.get_by_role("link", name="1024 tokens").click()
    assert page.locator("h1").inner_text() == "v1 hard 1024"
    assert (state(page), set(column(page, "prompt"))) == ("prompt=direct&sort=-tokens", {"direct"})
    page.get_by_role("link", name="512 tokens").click()
    page.get_by_role("link", name="medium order").click()
    assert page.locator("h1").inner_text() == "v1 medium 512"


def test_the_head_of_a_long_table_stays_in_sight(page, table):
    show_all(page, table)
    region = page.locator(".scroll:has(#board)")
    region.evaluate("region => { region.scrollTop = 400; }")
    gap = page.locator("#board thead th").first.evaluate(
        "th => th.getBoundingClientRect().top - th.closest('.scroll').getBoundingClientRect().top"
    )
    assert region.evaluate("region => region.scrollTop") == 400
    assert abs(gap) < 2


def test_a_click_elsewhere_closes_the_choice_of_columns(page, table):
    show_all(page, table)
    page.locator("#controls .chooser summary").click()
    page.locator("#controls .choices").get_by_label("provider", exact=True).check()
    assert page.locator("#controls .choices").is_visible()
    page.locator("h1").click()
    assert page.locator("#controls .choices").is_hidden()


def test_a_hostile_submission_runs_nothing_and_no_page_breaks_its_policy(context, real, served):
    found = context.new_page()
    told, requests, dialogs, failed = [], [], [], []
    found.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    found.on("pageerror", lambda error: told.append(str(error)))
    found.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    found.on("request", lambda request: requests.append(request.url))
    found.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    found.add_init_script("""
        window.__broken = [];
        addEventListener('securitypolicyviolation', (event) => window.__broken.push(event.blockedURI));
    """)
    attacked = 0
    for address in addresses(real, served):
        found.goto(address)
        if address.endswith("compare.html"):
            found.locator("#results").wait_for(state="visible")
        found.wait_for_timeout(50)  # what an attack sets off comes after the page
        assert found.evaluate("window.__owned") is None, address
        assert found.evaluate("window.__broken") == [], address
        links = found.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
        assert all(link.startswith(served.url) for link in links), address
        assert found.locator("main img, main script, main iframe, main object, main embed, main form").count() == 0
        text = found.locator("body").inner_text()
        attacked += "<script>window.__owned=1</script>" in text
        assert not {one for one in HIDDEN if not one.isprintable()} & set(text)
    assert attacked >= 6
    assert (told, dialogs, failed) == ([], [], [])
    assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/" for url in requests} == {served.url}
    found.close()


def serious(violations):
    """Return rule, impact and first places of what axe-core calls serious or critical."""
    return [
        (one["id"], one["impact"], [node["target"] for node in one["nodes"]][:3])
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


def test_axe_finds_nothing_serious_in_either_theme(page, real, served):
    for address in addresses(real, served):
        page.emulate_media(color_scheme="light")
        page.goto(address)
        if address.endswith("compare.html"):
            page.locator("#results").wait_for(state="visible")
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert serious(Axe().run(page).response["violations"]) == [], address
        page.emulate_media(color_scheme="dark")  # only colours differ
        found = page.evaluate("axe.run(document, { runOnly: ['color-contrast'] }).then((found) => found.violations)")
        assert serious(found) == [], address


def test_controls_are_not_printed(page, table):
    show_all(page, table)
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#theme").is_hidden()
    assert page.locator("#board").is_visible()
