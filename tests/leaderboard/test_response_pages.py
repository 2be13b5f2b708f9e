"""Exam lists, exam pages and scores as data: what they show of responses written for it, hostile ones among them."""

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.grading.grader import Grader, Method
from roi_bench.leaderboard.exporters.every_eval_ever import sample_rows
from roi_bench.leaderboard.site.exam_list import exam_rows, money, paged_exams
from roi_bench.leaderboard.site.page import PageOptions
from roi_bench.leaderboard.site.response_pages import GRADED, cut_response, submission_pages
from roi_bench.leaderboard.site.shown_text import visible, visible_line
from roi_bench.reading.responses import ProblemReading, Reading, read_response
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from tests.leaderboard.scored_runs import ID, right, scored_run, submission_of, tiny
from tests.support.exam_factory import make_exam, respond

EXAMS = tiny()
FIRST = "tiny/0/000"
HOSTILE = "<script>window.__owned=1</script><svg onload=alert(1)>\u202e[x](javascript:alert(1))\x00\x1b\ud800 {{7*7}}"


class Shape(HTMLParser):
    """The elements of a page, their attributes, and the text of the whole and of its <pre>."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.attributes, self.pre, self.text, self.inside = [], [], [], [], False
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag == "pre":
            self.inside = True
            self.pre.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        self.text.append(data)
        if self.inside:
            self.pre[-1] += data


def pages(runs, options=None, **more):
    graded, by_slug = submission_of(runs)
    return {page.path: page.content for page in submission_pages(graded, by_slug, options or PageOptions(), **more)}


def everything_right(**more):
    return scored_run({i: [[right(e, "hard")], [right(e, "easy")]] for i, e in EXAMS.items()}, **more)


def exam_page(text, **more):
    """Return the page of the first exam, whose response in the task's order is `text`."""
    requests = {FIRST: [[Response(text)], [right(EXAMS[FIRST], "easy")]]}
    return Shape(pages([scored_run(requests, **more)])[f"models/{ID}/exams/tiny-0-000.html"])


def words(shape):
    return re.sub(r"\s+", " ", " ".join(shape.text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("\u2066x\u2069", "⟦U+2066⟧x⟦U+2069⟧"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("a\rb\x00\x7f\x85", "a⟦U+000D⟧b⟦U+0000⟧⟦U+007F⟧⟦U+0085⟧"),
        ("\ud800 \u2028 \ufeff \u200b \xad", "⟦U+D800⟧ ⟦U+2028⟧ ⟦U+FEFF⟧ ⟦U+200B⟧ ⟦U+00AD⟧"),
        ("\U000e0041", "⟦U+E0041⟧"),
        ("می\u200cخواهم 👩\u200d🚀 é 漢字 ≤", "می\u200cخواهم 👩\u200d🚀 é 漢字 ≤"),
    ],
)
def test_hidden_characters_are_written_out_and_others_stay(text, shown):
    assert visible(text) == shown
    visible(text).encode("utf-8")


def test_a_line_has_no_line_ends():
    assert visible_line("a\nb\tc") == "a⟦U+000A⟧b⟦U+0009⟧c"


PARTS = (
    *("### Problem 1\n", "### Problem 2\n", "Problem 3: ", "\\boxed{7}", "\\boxed{", "}", "work ", "\n"),
    *("<predicted_level>Level-2</predicted_level>", "\\boxed{\\boxed{NA}}"),
)


@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_the_pieces_are_the_whole_text(parts):
    text = "".join(parts)
    pieces = cut_response(text, read_response(text, 3))
    assert "".join(span.text for piece in pieces for span in piece.spans) == text
    assert [piece.position for piece in pieces if piece.position] == [1, 2, 3]
    assert all(piece.reached for piece in pieces if not piece.position)


def test_the_marks_name_headers_levels_the_graded_box_and_others():
    text = (
        "A plan. \\boxed{4}\n### Problem 1\n<predicted_level>Level-0</predicted_level>\n"
        "\\boxed{6} no, \\boxed{5} no, \\boxed{6}\n### Problem 2\n\\boxed{NA}"
    )
    pieces = cut_response(text, read_response(text, 3))
    marked = [(piece.position, span.kind, span.text) for piece in pieces for span in piece.spans if span.kind]
    assert marked == [
        (0, "box", "\\boxed{4}"),
        (1, "head", "### Problem 1"),
        (1, "level", "<predicted_level>Level-0</predicted_level>"),
        (1, "box", "\\boxed{6}"),
        (1, "box", "\\boxed{5}"),
        (1, "answer", "\\boxed{6}"),
        (2, "head", "### Problem 2"),
        (2, "answer", "\\boxed{NA}"),
    ]
    assert [piece.reached for piece in pieces] == [True, True, True, False]


def marked(pieces, *kinds):
    """Return position, kind and text of the marks of these kinds, all without any."""
    found = [(piece.position, span.kind, span.text) for piece in pieces for span in piece.spans if span.kind]
    return [mark for mark in found if not kinds or mark[1] in kinds]


def test_of_two_equal_boxes_the_one_that_answered_is_marked():
    text = (
        "### Problem 1\n\\boxed{5}\n### Problem 2\n\\boxed{6}\nCheck. Problem 1: \\boxed{6}\n### Problem 3\n\\boxed{7}"
    )
    pieces = cut_response(text, read_response(text, 3))
    assert marked(pieces, "answer", "box") == [
        (1, "answer", "\\boxed{5}"),
        (2, "answer", "\\boxed{6}"),
        (2, "box", "\\boxed{6}"),
        (3, "answer", "\\boxed{7}"),
    ]


def spans_of(text, *parts):
    """Return where each of `parts`, in order, stands in `text`."""
    spans, place = [], 0
    for part in parts:
        start = text.index(part, place)
        place = start + len(part)
        spans.append((start, place))
    return spans


def test_a_line_that_answers_reasoning_and_a_closing_section_are_marked_as_such():
    own = ("### Problem 1\n<think>\\boxed{4}</think>\nAnswer: 5\n", "### Problem 2\n\\boxed{6}\n")
    text = f"Well.\n{own[0]}{own[1]}Final answers\n1. \\boxed{{5}}\n2. \\boxed{{6}}"
    first, second = spans_of(text, *own)
    reasoning, line, box = spans_of(text, "<think>\\boxed{4}</think>", "Answer: 5", "\\boxed{6}")
    reading = Reading(
        (
            ProblemReading(1, *first, answer="5", span=line, answered_by="line", worked=True),
            ProblemReading(2, *second, answer="6", span=box, answered_by="box", worked=True),
            ProblemReading(3, second[1], second[1]),
        ),
        first[0],
        reasoning=(reasoning,),
        headers=tuple(spans_of(text, "### Problem 1", "### Problem 2")),
        closings=((second[1], len(text)),),
        boxes=tuple(spans_of(text, "\\boxed{6}", "\\boxed{5}", "\\boxed{6}")),
    )
    pieces = cut_response(text, reading)
    assert "".join(span.text for piece in pieces for span in piece.spans) == text
    assert [(piece.title, piece.position, piece.reached) for piece in pieces] == [
        ("Before the first problem", 0, True),
        *(("Problem 1", 1, True), ("Problem 2", 2, True), ("Problem 3", 3, False)),
        ("Closing section", 0, True),
    ]
    assert marked(pieces, "answer", "reasoning", "box") == [
        (1, "reasoning", "<think>\\boxed{4}</think>"),
        (1, "answer", "Answer: 5"),
        (2, "answer", "\\boxed{6}"),
        (0, "box", "\\boxed{5}"),
        (0, "box", "\\boxed{6}"),
    ]


READERS = ("read_response", "find_boxes", "find_levels", "find_headers", "find_reasoning", "hide_spans")


def test_pages_and_exports_read_no_response_again(monkeypatch):
    """What was read travels with the outcomes: nothing behind them looks for a box or a tag in a text."""
    run = everything_right()
    graded, by_slug = submission_of([run])
    patched = 0
    for name, module in list(sys.modules.items()):
        for reader in READERS:
            if name.startswith("roi_bench.") and hasattr(module, reader):
                monkeypatch.setattr(module, reader, lambda *_, **__: pytest.fail("a response is read again"))
                patched += 1
    assert patched >= len(READERS)
    found = {page.path: page.content for page in submission_pages(graded, by_slug, PageOptions())}
    assert b'<mark class="answer">' in found[f"models/{ID}/exams/tiny-0-000.html"]
    assert all(row["answer_attribution"] for one in graded.runs for row in sample_rows(one, run, "record", "model"))


def test_a_page_says_what_was_read_from_a_line_and_what_is_no_problems_text():
    exam = EXAMS[FIRST]
    gold = exam.ordered("hard")[0].answer
    skips = "### Problem 2\n\\boxed{NA}\n### Problem 3\n\\boxed{NA}\n"
    text = f"### Problem 1\nAnswer: {gold}\n{skips}\nFinal Answer\nthe end"
    run = scored_run({FIRST: [[Response(text)], [right(exam, "easy")]]})
    said = words(Shape(pages([run])[f"models/{ID}/exams/tiny-0-000.html"]))
    assert re.search(rf"{GRADED['string', True]} .*answer line", said)
    assert re.search(r"Closing section 4 tokens\b", said)
    assert (run.estimates()["unboxed"].value, run.scored[FIRST][0].main.planning) == (1.0, 4)


def test_an_exam_page_shows_the_text_in_pieces_with_what_became_of_each():
    exam = EXAMS[FIRST]
    hard, middle, _ = (problem.answer for problem in exam.ordered("hard"))
    text = "My plan.\n" + respond([hard, "NA", None], level=[0, 3, 1])
    shape = exam_page(text, counter=None)
    assert "".join(shape.pre[3:7]).replace("\n", "") == text.replace("\n", "")
    said = words(shape)
    assert "1 of 3 correct, 22 of 128 tokens" in said
    assert "2 tokens of planning" in said
    assert re.search(r"Problem 1 correct hard problem tiny/0/hard/000 forecast Level-0, actual Level-0 7 tokens", said)
    assert re.search(r"Problem 2 skipped middle problem tiny/0/middle/000 forecast Level-3 7 tokens", said)
    assert re.search(r"Problem 3 unanswered easy problem tiny/0/easy/000 forecast Level-1, actual Level-0", said)
    assert f"Answer: {middle}" in said
    assert GRADED["string", True] in said
    assert exam.problems[0].question in said


def test_levels_are_told_of_responses_that_forecast_one():
    text = respond([problem.answer for problem in EXAMS[FIRST].ordered("hard")])
    assert "actual Level-" not in words(exam_page(text, counter=None))
    tag = "<predicted_level>Level-1</predicted_level>"
    said = words(exam_page(text.replace("some work", f"{tag} some work", 1), counter=None))
    assert "forecast Level-1, actual Level-0" in said
    assert said.count("no forecast, actual Level-0") == 2


@pytest.mark.parametrize(
    ("pool", "answer", "decided"),
    [
        ("tiny-hard", "29", ("string", True)),
        ("tiny-hard", "29.0", ("number", True)),
        ("tiny-hard", "twenty-eight", ("number", False)),
        ("tiny-hard", "9" * 5000, ("limit", False)),
        ("math", "58/2", ("number", True)),
        ("math", r"28+\sin^2(x)+\cos^2(x)", ("symbolic", True)),
    ],
)
def test_what_decided_on_an_answer_has_words_of_its_own(pool, answer, decided):
    with Grader(workers=1) as grader:
        verdict = grader.grade(pool, answer, ("29",))
    assert (verdict.method, verdict.correct) == decided
    assert list(GRADED.values()).count(GRADED[decided]) == 1


def test_what_decided_on_an_answer_stands_beside_it():
    gold = EXAMS[FIRST].ordered("hard")[0].answer
    said = words(exam_page(respond([f"{gold}1", gold, "NA"]))).partition("Easy order")[0]
    assert re.search(rf"Problem 1 wrong [^#]* {GRADED['string', False]}", said)
    assert said.count(GRADED["string", False]) == 2  # of problem 3, which was skipped, nothing
    assert {method for method, _ in GRADED} == set(get_args(Method))


def test_an_answer_that_does_not_count_has_no_note_on_how_it_was_graded():
    exam = EXAMS[FIRST]
    run = {FIRST: [[right(exam, "hard")], [right(exam, "easy")]]}
    said = words(Shape(pages([scored_run(run, budget=1)])[f"models/{ID}/exams/tiny-0-000.html"]))
    assert not [found for found in GRADED.values() if found in said]


@pytest.mark.parametrize(
    ("text", "usage", "budget", "ending", "outcome"),
    [
        ("### Problem 1\nwork", Usage(32, "length", "generated"), 32, "The budget of 32 tokens ended", "truncated"),
        ("### Problem 1\n\\boxed{1}", Usage(40, "stop", "generated"), 32, "more tokens than the budget", "truncated"),
        (None, None, 32, "There is no response", "error"),
        ("### Problem 1", Usage(9, "error", "provider"), 32, "The provider failed in the middle of it", "error"),
        ("", Usage(32, "length", "provider"), 32, "its tokens went into hidden reasoning", "empty"),
        ("<think>draft", Usage(32, "length", "provider"), 32, "Nothing visible but reasoning. The budget", "empty"),
        ("", Usage(1, "stop", "generated"), 32, "An empty response.", "unanswered"),
        (None, Usage(32, "length", "provider"), 32, "its tokens went into hidden reasoning", "empty"),
    ],
)
def test_a_page_says_what_ended_a_response(text, usage, budget, ending, outcome):
    requests = {FIRST: [[Response(text, usage)], [right(EXAMS[FIRST], "easy")]]}
    found = pages([scored_run(requests, budget=budget)])
    said = words(Shape(found[f"models/{ID}/exams/tiny-0-000.html"]))
    assert ending in said
    assert f"Problem 1 {outcome} hard problem" in said
    listed = words(Shape(found[f"models/{ID}/tiny_hard_32_direct.html"]))
    assert re.search(rf"\b{outcome}\b.*\b(length|over|error|stop)\b", listed.partition("tiny/0/000")[2])


def test_hidden_reasoning_counts_as_planning():
    text = respond(["1", "2", "3"])
    said = words(
        Shape(
            pages([scored_run({FIRST: [[Response(text, Usage(100, "stop", "provider"))], [Response(text)]]})])[
                f"models/{ID}/exams/tiny-0-000.html"
            ]
        )
    )
    assert "82 tokens of planning" in said  # 18 words are visible


def test_hostile_responses_are_text():
    shape = exam_page(f"{HOSTILE}\n### Problem 1\n\\boxed{{{HOSTILE}}}\n{HOSTILE}")
    assert "svg" not in shape.tags
    assert shape.tags.count("script") == 1  # the page's own
    assert visible(HOSTILE) in "".join(shape.pre)
    assert not [value for name, value in shape.attributes if name.startswith("on") or "javascript:" in (value or "")]
    assert "49" not in "".join(shape.pre)


def test_metadata_are_text_without_hidden_characters():
    graded, runs = submission_of([everything_right()])
    about = replace(graded.submission.metadata, model=HOSTILE)
    hostile = replace(
        graded,
        submission=replace(graded.submission, metadata=about),
        runs=tuple(replace(run, decoding=HOSTILE) for run in graded.runs),
    )
    for page in submission_pages(hostile, runs, PageOptions()):
        if page.path.endswith(".html"):
            shape = Shape(page.content)
            assert shape.tags.count("script") == 1
            assert "svg" not in shape.tags
            assert "\u202e" not in page.content.decode()
            assert visible(HOSTILE) in "".join(shape.text)


def test_licensed_problems_show_ids_and_hashes_only_unless_asked():
    exam = make_exam(0)
    run = scored_run({exam.id: [[right(exam, "hard")], [right(exam, "easy")]]}, exams={exam.id: exam})
    path = f"models/{ID}/exams/made-up-000.html"
    without, with_text = (words(Shape(pages([run], PageOptions(with_problems=w))[path])) for w in (False, True))
    for problem in exam.problems:
        assert problem.sha256 in without
        assert problem.id in without
        assert problem.question not in without
        assert problem.question in with_text
        assert f"Answer: {problem.answer}" in with_text
    assert "Answer:" not in without
    assert "Texts of public test sets" in without
    assert "Texts of public test sets" not in with_text


def test_a_list_shows_both_orders_of_every_exam_and_links_pages_that_exist():
    requests = {i: [[right(e, "hard")], [right(e, "easy")]] for i, e in EXAMS.items()}
    wrong = Response(respond(["NA", "-1", None], level=[3, 1, 0]))
    requests["tiny/0/001"][0] = [wrong]
    run = scored_run(requests)
    usd = {run.task.name: {"tiny/0/001": ((0.001,), (0.0005,)), FIRST: ((None,), (0.1,))}}
    found = pages([run], PageOptions(exam_pages=2), usd=usd)
    rows = exam_rows(run, usd[run.task.name], {FIRST, "tiny/0/001"}, "read {}".format)
    cells = [cell.text for cell in rows[1].cells]
    assert cells[0] == "H-M-E"
    assert cells[1:5] == ["0", "skipped 3→ · 7", "wrong 1→0 · 7", "unanswered 0→0 · 6"]
    assert cells[5:7] == ["20", "stop"]
    assert cells[7:11] == ["3", "correct →0 · 6", "correct →0 · 6", "correct →0 · 6"]
    assert cells[13] == "0.0015"
    assert rows[0].cells[13].text == "–"  # one of its costs is unknown
    pages_of_both = ["exams/tiny-0-000.html", "exams/tiny-0-001.html"]
    assert [row.link for row in rows] == [*pages_of_both, "read tiny/0/002", "read tiny/0/003"]
    assert sorted(path for path in found if "/exams/" in path) == [
        f"models/{ID}/exams/tiny-0-000.html",
        f"models/{ID}/exams/tiny-0-001.html",
    ]
    links = [
        value for name, value in Shape(found[f"models/{ID}/tiny_hard_128_direct.html"]).attributes if name == "href"
    ]
    assert [link for link in links if link.startswith("exams/")] == pages_of_both
    reader = f"../../read.html?cell=tiny_hard_128&a={ID}/direct&exam=tiny/0/00"
    assert [link for link in links if "read.html" in link] == [f"{reader}2", f"{reader}3"]


def test_several_samples_are_counted_in_the_list_and_shown_one_by_one_on_the_page():
    exam = EXAMS[FIRST]
    samples = [right(exam, "hard"), Response(respond(["-1", None, "NA"])), right(exam, "hard")]
    run = scored_run({FIRST: [samples, [right(exam, "easy")] * 3]})
    cells = [cell.text for cell in exam_rows(run, {}, ())[0].cells]
    assert cells[1] == "2.00"
    assert cells[2] == "2 correct, 1 wrong →0.0 · 6.0"
    said = words(Shape(pages([run])[f"models/{ID}/exams/tiny-0-000.html"]))
    assert all(f"Hard order (hard, middle, easy), sample {k} of 3" in said for k in (1, 2, 3))


def test_problems_asked_alone_say_what_counted_in_which_order():
    answers = [problem.answer for problem in EXAMS[FIRST].problems]
    requests = [
        [Response(respond([answer], level=[2], work="w " * 60), Usage(66, "stop", "generated"))] for answer in answers
    ]
    run = scored_run({FIRST: requests}, prompt="greedy_knapsack", budget=192)
    said = words(Shape(pages([run])[f"models/{ID}/exams/tiny-0-000.html"]))
    # Level-2 forecasts 96 tokens: two of three fit into 192, the first two of each order.
    easy, hard = (
        said.partition(f"{tier} problem, asked alone")[2].partition("### Problem 1")[0] for tier in ("Easy", "Hard")
    )
    assert easy.startswith(" skipped, 66 tokens, counted while generating Problem 3 of the exam skipped")
    assert easy.rstrip().endswith("0 tokens in easy order: correct")
    assert hard.startswith(" correct, 66 tokens, counted while generating Problem 1 of the exam correct")
    assert hard.rstrip().endswith("in easy order: skipped")


def test_a_full_list_stays_small():
    one = Response(respond(["-1", "NA", None], level=[3, 2, 1], work="w " * 99))
    other = right(EXAMS[FIRST], "hard")
    for requests in ([[one], [other]], [[one, other] * 3, [other, one] * 3]):
        few, more = (
            len(pages([run], PageOptions(exam_pages=0))[f"models/{ID}/tiny_hard_128_direct.html"])
            for exams in (tiny(20), tiny(40))
            for run in [scored_run(dict.fromkeys(exams, requests), exams=exams)]
        )
        assert few + (more - few) / 20 * 460 < 250_000


def test_data_hold_the_scores_and_which_exams_have_pages():
    requests = {i: [[right(e, "hard")] * 3, [Response("")] * 3] for i, e in EXAMS.items()}
    requests["tiny/0/002"] = [[right(EXAMS["tiny/0/002"], "hard"), Response("x"), Response("x")], [Response("x")] * 3]
    del requests["tiny/0/003"]
    data = json.loads(pages([scored_run(requests)], PageOptions(exam_pages=2))[f"models/{ID}/data.json"])
    assert data == {
        "pages": [FIRST, "tiny/0/001"],
        "runs": {
            "tiny_hard_128_direct": {
                "task": "roi_tiny_hard_128_direct",
                "form": "exam",
                "order": "hard",
                "outcomes": "ccccccmmm",
                "scores": [3.0, 3.0, 1.0],
                "scores_easy": [0.0, 0.0, 0.0],
                "exams": [FIRST, "tiny/0/001", "tiny/0/002"],
            }
        },
    }
    whole = json.loads(pages([everything_right()])[f"models/{ID}/data.json"])
    assert whole["runs"]["tiny_hard_128_direct"]["exams"] is None


def test_all_exams_or_none_can_have_pages():
    run = everything_right()
    assert list(paged_exams([run], None)) == list(EXAMS)
    assert not paged_exams([run], 0)


def test_runs_of_one_submission_share_the_page_of_an_exam():
    found = pages([everything_right(), everything_right(order="medium", budget=256)])
    said = words(Shape(found[f"models/{ID}/exams/tiny-0-001.html"]))
    assert "tiny hard 128 · direct" in said
    assert "Medium order (middle, easy, hard)" in said
    assert sum(path.endswith("tiny-0-001.html") for path in found) == 1


@pytest.mark.parametrize(("usd", "shown"), [(None, "–"), (0.0, "0"), (0.00125, "0.00125"), (12.0, "12")])
def test_money_is_short(usd, shown):
    assert money(usd) == shown
