"""The study behind the direct prompt: what is counted of recorded responses, and how the winner is decided."""

import json

import pytest

from benchmarks import prompt_study
from benchmarks.prompt_study import FORMS, SOLO, Alone, ModelCounts, Together, decide, follows_form
from roi_bench.exams.sets import training_exams
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import PROMPTS
from tests.support.pool_factory import write_pools


@pytest.mark.parametrize(
    ("right", "tokens", "paid"),
    [
        ((True, True, True), (300, 300, 424), 3),
        ((True, True, True), (300, 300, 425), 2),
        ((True, True, True), (1025, 10, 10), 0),  # what no longer fits takes what is left
        ((True, False, True), (500, 500, 24), 2),
        ((False, False, False), (1, 1, 1), 0),
    ],
)
def test_problems_asked_alone_are_paid_in_order(right, tokens, paid):
    assert Alone(right, tokens).paid == paid


WHOLE = "### Problem 1\n\\boxed{1}\n### Problem 2\n\\boxed{NA}\n### Problem 3\n\\boxed{3}"


@pytest.mark.parametrize(
    ("text", "finished", "followed"),
    [
        (WHOLE, True, True),
        (WHOLE.replace("Problem 2", "Task 2"), True, False),
        (WHOLE.replace("\\boxed{NA}", "NA"), True, False),
        (WHOLE.replace("###", "##"), True, False),
        ("### Problem 1\n\\boxed{1}\n### Problem 2\nso we", False, True),
        ("### Problem 1\n\\boxed{1}\n### Problem 2\nso we", True, False),
        ("### Problem 1\nso\n### Problem 2\nso we", False, False),
        ("no header", False, False),
        ("", False, False),
    ],
)
def test_what_follows_the_form(text, finished, followed):
    assert follows_form(text, read_response(text), finished) is followed


def model(rights, followed=None, exams=40):
    """A model with ``rights[form]`` problems right in every exam, of two right alone."""
    together = {
        form: {
            f"e{index}": Together(
                ("correct",) * (right if index % 2 else right - 1) + ("wrong",) * 3, (followed or {}).get(form, True),
                100 + list(rights).index(form), 500,
            )
            for index in range(exams)
        }
        for form, right in rights.items()
    }  # fmt: skip
    alone = {f"e{index}": Alone((True, True, False), (100, 100, 100)) for index in range(exams)}
    return ModelCounts(
        "m", together, {"solo_before": {}, "solo_after": alone}, {"solo_before": 0, "solo_after": 2 * exams}
    )


def test_the_greatest_retention_wins_and_ties_go_to_the_form_followed_then_to_the_shorter_prompt():
    names, exams = list(FORMS), [f"e{index}" for index in range(40)]
    clear = model({names[0]: 1, names[1]: 2})
    results, winner = decide([clear], exams)
    assert (results[0].form, winner) == (names[1], names[1])
    assert [round(result.retention, 2) for result in results] == [0.75, 0.25]
    assert results[1].to_best[1] < 0
    tied = {names[0]: 2, names[1]: 2, names[2]: 2}
    assert decide([model(tied)], exams)[1] == names[0]
    assert decide([model(tied, {names[0]: False})], exams)[1] == names[1]
    # Retention is a mean over models, each with its own denominator.
    assert decide([clear, model({names[0]: 2, names[1]: 1})], exams)[0][0].retention == pytest.approx(0.5)


def test_a_model_that_solves_too_little_does_not_count():
    assert model({"before": 1}).is_counted
    few = ModelCounts("few", {}, {"solo_before": {}, "solo_after": {}}, {"solo_before": 14, "solo_after": 3})
    assert (few.solo, few.is_counted) == ("solo_before", False)


def test_the_table_comes_from_the_recorded_responses_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(write_pools(tmp_path / "data")))
    *exams, partly = training_exams(prompt_study.SEED, prompt_study.EXAMS)[:9]  # the last one is asked alone in part
    with (tmp_path / "able.jsonl").open("w", encoding="utf-8") as file:

        def write(form, exam, tier, text, tokens=200):
            entry = {"form": form, "exam": exam.id, "tier": tier, "response": text, "tokens": tokens}
            file.write(json.dumps(entry | {"finish": "stop", "prompt_tokens": len(form)}) + "\n")

        for exam in exams:
            for name in SOLO:
                for tier, problem in enumerate(exam.problems):
                    write(name, exam, tier, f"\\boxed{{{problem.answer}}}" if name == "solo_after" else "no idea")
            for form in ("before", "after"):
                answers = [problem.answer for problem in exam.problems[: 2 + (form == "after")]] + ["0.5"]
                text = "".join(f"### Problem {k}\n\\boxed{{{answers[k - 1]}}}\n" for k in (1, 2, 3))
                write(form, exam, -1, text)
        for tier, text in enumerate(("no idea", f"\\boxed{{{partly.problems[1].answer}}}")):
            write("solo_after", partly, tier, text)
        file.write('{"form": "after", "exam": "cut')
    monkeypatch.setattr("sys.argv", ["prompt_study.py", "table", str(tmp_path)])
    prompt_study.main()
    out = capsys.readouterr().out
    assert (
        "solo_after: 8 exams, right by tier [8, 8, 8], paid 24, mean tokens by tier [200, 200, 200]; 1 right in " in out
    )
    rows = {cells[0]: cells[1:] for line in out.splitlines() if len(cells := line.strip("| ").split(" | ")) > 6}
    assert rows["after"][:6] == ["8", "24", "24", "1.00", "1.00", "0.00"]
    assert rows["before"][:6] == ["8", "16", "24", "0.67", "1.00", "0.00"]
    assert out.splitlines()[-1] == "winner: after"


def test_forms_differ_and_every_one_asks_all_three_problems():
    texts = {}
    for name, form in FORMS.items():
        text = "".join(message["content"] for message in form.render(["A?", "B?", "C?"], 1024))
        assert text.count("1024") == 1
        assert all(question in text for question in ("A?", "B?", "C?"))
        assert "\\boxed{NA}" in text
        texts[name] = text
    assert len(set(texts.values())) == len(FORMS) == 8


def test_the_direct_and_the_solo_prompt_are_the_winners():
    for chosen, won in ((PROMPTS["direct"], FORMS["system"]), (PROMPTS["solo"], SOLO["solo_after"])):
        assert (chosen.system, chosen.user, chosen.header) == (won.system, won.user, won.header)
