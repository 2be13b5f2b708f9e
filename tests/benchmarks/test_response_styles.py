"""The measurement of response styles: what it builds from labelled outputs, what it counts, and when it fails."""

import json
import re

import pytest

from benchmarks import response_styles
from benchmarks.style_list import all_styles
from benchmarks.style_writing import NONE, WRONG, Style, each
from roi_bench.grading.grader import Grader
from tests.support.messages import shown_in, shows

OUTPUTS = [
    ("gsm8k", "12", "Seven cows and five cows are $\\boxed{12}$ cows.", None, True),
    ("gsm8k", "8", "Half of 16 is 8.\nA: 8", "8", True),
    ("gsm8k", "9", "Three rows of three are \\boxed{9}.", None, True),
    ("gsm8k", "3", "Half of eight is \\boxed{3}.", None, False),
    ("math", "\\frac{1}{2}", "Halving gives \\[\\boxed{\\dfrac12}.\\]", None, True),
    ("math", "1,4", "The roots are $\\boxed{1}$ and $\\boxed{4}$.", "1, 4", True),
    ("aime", "204", "Adding up, 204.\nFINAL ANSWER:\n<answer>\n204\n</answer>", "204", True),
]


@pytest.fixture
def folder(tmp_path):
    """A folder of labelled outputs, all invented."""
    rows = [
        {"id": f"o{number}", "pool": pool, "gold": gold, "response": response, "answer": answer, "label": label}
        for number, (pool, gold, response, answer, label) in enumerate(OUTPUTS)
    ]
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def grader():
    with Grader(1) as grader:
        yield grader


def test_right_outputs_become_solutions_without_boxes(folder, grader):
    solutions = {one.problem.id: one for one in response_styles.load_solutions(folder, grader)}
    assert list(solutions) == ["o0", "o1", "o2", "o4", "o5", "o6"]
    assert solutions["o0"].work == "Seven cows and five cows are $12$ cows."
    assert [one.answer for one in solutions.values()] == ["12", "8", "9", "\\dfrac12", "1, 4", "204"]


def test_exams_take_one_of_each_pool_in_three_orders(folder, grader):
    solutions = response_styles.load_solutions(folder, grader)
    papers = response_styles.make_papers(solutions, 0, 0)
    assert len(papers) == 9  # as many exams as the largest pool has solutions
    pools = [[solution.problem.pool for solution in paper.solutions] for paper in papers]
    assert pools[:3] == [["gsm8k", "math", "aime"], ["gsm8k", "aime", "math"], ["aime", "math", "gsm8k"]]
    used = {solution.problem.id for paper in papers for solution in paper.solutions}
    assert used == {solution.problem.id for solution in solutions}
    assert papers == response_styles.make_papers(solutions, 0, 0)


def test_one_pool_alone_gives_triples_of_it(folder, grader):
    solutions = [one for one in response_styles.load_solutions(folder, grader) if one.problem.pool == "gsm8k"]
    papers = response_styles.make_papers(solutions, 5, 0)
    assert len(papers) == 15
    assert {len({one.problem.id for one in paper.solutions}) for paper in papers} == {3}


def test_losses_and_gains_are_counted(folder, grader):
    papers = response_styles.make_papers(response_styles.load_solutions(folder, grader), 2, 0)
    plain, wrong = "### Problem <k>\n<box>", "### Problem <k>\n\\boxed{<wrong>}"
    assert response_styles.measure(Style("right", each(plain)), papers, grader).loss == 0
    lost = response_styles.measure(Style("wrong", each(wrong)), papers, grader)
    assert (lost.earned, len(lost.lost), lost.withheld) == (18, 18, 0)
    assert shown_in(lost.lost[0], "problem 1")
    assert response_styles.measure(Style("withheld", each(wrong), due=NONE), papers, grader).gain == 0
    gained = response_styles.measure(Style("gained", each(plain), due=(True, None, False)), papers, grader)
    assert (gained.earned, gained.withheld, gained.gain) == (6, 6, 1)
    assert response_styles.measure(Style("none", each(plain), fits=lambda _: False), papers, grader).earned == 0


def run(folder, monkeypatch, capsys, styles, *arguments):
    monkeypatch.setattr(response_styles, "all_styles", lambda: styles)
    code = response_styles.main([str(folder), "--exams", "2", *arguments])
    return code, capsys.readouterr().out


def test_the_exit_code_tells_of_a_style_beyond_the_limit(folder, monkeypatch, capsys):
    right, wrong = each("### Problem <k>\n<box>"), each("### Problem <k>\n\\boxed{<wrong>}")
    code, out = run(folder, monkeypatch, capsys, [Style("fine", right, True), Style("odd", wrong, loss_expected=True)])
    assert code == 0
    assert "| fine | yes | 18 | 0.0% | 0 | – |" in out
    assert "| odd | expected | 18 | 100.0% | 0 | – |" in out
    code, out = run(folder, monkeypatch, capsys, [Style("fine", right), Style("bad", wrong)], "--show", "1")
    assert code == 1
    assert "- 100.0% bad\n    easy: o" in out
    assert "Halving" not in out  # ids, never texts
    assert run(folder, monkeypatch, capsys, [Style("bad", wrong)], "--most", "1")[0] == 0
    assert run(folder, monkeypatch, capsys, [Style("given", right, due=NONE)])[0] == 1


def test_a_folder_without_right_outputs_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match=shows(tmp_path)):
        response_styles.main([str(tmp_path)])


def test_every_style_writes_each_answer_it_wants_read(folder, grader):
    papers = response_styles.make_papers(response_styles.load_solutions(folder, grader), 1, 0)
    styles = all_styles()
    assert len({style.name for style in styles}) == len(styles) >= 60
    plain = [solution for solution in papers[0].solutions if "," not in solution.answer]
    for style in styles:
        text = style.write(papers[0].solutions)
        assert not re.search(r"<(?:k|box|value|shown|work|wrong)>", text), style.name
        for due, solution in zip(style.due, papers[0].solutions, strict=True):
            assert due is not True or solution not in plain or solution.answer in text, style.name
    assert not set(WRONG) & {solution.answer for solution in plain}


def test_canonical_headers_lose_nothing_and_the_table_is_the_same_each_time(folder, capsys):
    outs = []
    for _ in range(2):
        assert response_styles.main([str(folder), "--exams", "0", "--only", "header ### Problem <k>, 1 open"]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    assert "| 18 | 0.0% |" in outs[0]
