"""Agreement of two engines against cases counted by hand, numpy and scipy, and what must hold for any two texts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from roi_bench.analysis.engines.agreement import (
    ONE_BATCHED_OTHERWISE,
    ONE_TWICE,
    TWO_ENGINES,
    SentPrompts,
    Share,
    TokenGap,
    compare_engines,
    first_difference,
    lengths_of,
    pairs_to_compare,
    score_difference,
    share,
    verdict,
)
from roi_bench.analysis.engines.tables import engine_tables, noise_table, prompts_text
from roi_bench.analysis.reports.tables import Interval, Table, to_csv, to_markdown, to_text
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from tests.analysis.engine_factory import BUDGET, IDS, answered, counted, engine_run

ALIKE = engine_run("hf")

PARTED: Mapping[tuple[int, str], Response] = {
    # two words of work in place of "some work": one word more, first difference after "### Problem 1"
    (0, "hard"): counted(answered(0, "hard", work="other work here")),
    # the last answer is wrong, nothing else
    (1, "easy"): counted(answered(1, "easy", wrong=1)),
    # same text, one token more, ended by the budget
    (2, "hard"): counted(answered(2, "hard"), more=2, finish="length"),
    (3, "hard"): Response(None),
}


def rows_of(tables: list[Table], name: str) -> list[dict[str, object]]:
    (table,) = (table for table in tables if table.name == name)
    heads = [column.name for column in table.columns]
    return [dict(zip(heads, row, strict=True)) for row in table.rows]


def test_what_differs_is_counted_response_by_response():
    found = compare_engines(ALIKE, engine_run("vllm", PARTED))
    assert (len(found.responses), found.missing, found.kind) == (7, 1, TWO_ENGINES)
    assert found.texts == Share(5, 7)
    assert share(item.same_tokens for item in found.responses) == Share(5, 7)
    assert share(item.same_finish for item in found.responses) == Share(6, 7)
    assert share(item.same_outcomes for item in found.responses) == Share(6, 7)
    parted = {(item.exam, item.order): item for item in found.responses if item.first_character is not None}
    assert set(parted) == {(IDS[0], "hard"), (IDS[1], "easy")}
    # "### Problem 1\nsome": words 0 to 2 are the header
    assert (parted[IDS[0], "hard"].first_token, parted[IDS[0], "hard"].first_character) == (3, len("### Problem 1\n"))
    # each problem is "### Problem k some work \boxed{…}", six words; the last box is word 17
    assert parted[IDS[1], "easy"].first_token == 17
    assert parted[IDS[1], "easy"].b.outcomes == ("correct", "correct", "wrong")


def test_without_any_tokenizer_the_character_is_told_alone():
    bare, other = engine_run("hf", with_tokenizer=False), engine_run("vllm", PARTED, with_tokenizer=False)
    found = compare_engines(bare, other)
    assert {item.first_token for item in found.responses} == {None}
    assert share(item.first_character is None for item in found.responses) == Share(5, 7)
    # one tokenizer serves both
    assert max(item.first_token or 0 for item in compare_engines(bare, engine_run("vllm", PARTED)).responses) == 17
    assert lengths_of(bare).counted == Share(0, 0)


def test_exams_that_only_one_has_are_left_out():
    found = compare_engines(engine_run("hf", exams=(0, 1, 2)), engine_run("vllm", exams=(2, 3)))
    assert {item.exam for item in found.responses} == {IDS[2]}
    difference = score_difference(found, "score")
    assert difference is not None
    assert (difference.exams, difference.unpaired) == (1, 3)
    assert verdict(difference) == "equal on every exam"


def test_token_counts_are_held_against_the_tokenizer():
    texts = {
        (0, "hard"): counted("a b c", more=3),  # two more than text and end token
        (0, "easy"): counted("a b c", more=0, finish="length"),  # no end token where the budget ended it
        (1, "hard"): counted("a b c", more=-1, finish="length"),  # one less
        (1, "easy"): Response("a b c", Usage(9, "stop", "retokenized")),  # nobody counted but we
        (2, "hard"): Response("a b c", Usage(4, "stop", "provider")),
        (2, "easy"): counted("a b c", more=BUDGET - 3, finish="length"),
        (3, "hard"): Response("a b c"),
        (3, "easy"): Response(None),
    }
    found = lengths_of(engine_run("vllm", texts))
    assert (found.responses, found.counted) == (7, Share(2, 5))
    assert found.off == ((-1, 1), (2, 1), (BUDGET - 3, 1))
    assert (found.at_budget, found.cut) == (Share(1, 7), Share(3, 7))
    stripped = lengths_of(engine_run("vllm", texts, text_is_whole=False))  # hidden reasoning is in no text
    assert (stripped.counted, stripped.off) == (Share(0, 0), ())


def losing(*points: int) -> Mapping[tuple[int, str], Response]:
    """Responses in hard order with so many wrong answers, by exam."""
    return {(index, "hard"): counted(answered(index, "hard", wrong=lost)) for index, lost in enumerate(points)}


@pytest.mark.parametrize(
    ("lost", "told"),
    [((1, 0, 0, 0), "within the noise"), ((1, 1, 1, 2), "more than the noise"), ((2, 3, 3, 2), "more than the noise")],
)
def test_the_interval_of_a_difference_is_that_of_the_paired_t_test(lost, told):
    pair = compare_engines(ALIKE, engine_run("vllm", losing(*lost)))
    found = score_difference(pair, "score", "fixed")
    assert found is not None
    differences = -np.array(lost, dtype=np.float64)
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / np.sqrt(4)
    assert found.difference == pytest.approx(differences.mean())
    assert found.interval == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert verdict(found) == told
    easy = score_difference(pair, "score_easy")
    assert easy is not None
    assert (easy.difference, verdict(easy)) == (0.0, "equal on every exam")


def test_a_difference_that_never_varies_says_nothing_of_the_noise():
    found = score_difference(compare_engines(ALIKE, engine_run("vllm", losing(1, 1, 1, 1))), "score")
    assert (found and found.difference, verdict(found)) == (-1.0, "noise unknown")
    one = compare_engines(engine_run("hf", exams=(0,)), engine_run("vllm", losing(1), exams=(0,)))
    assert verdict(score_difference(one, "score")) == "noise unknown"
    lost = {(0, order): Response(None) for order in ("hard", "easy")}
    none = compare_engines(engine_run("hf", exams=(0,)), engine_run("vllm", lost, exams=(0,)))
    assert (len(none.responses), none.missing) == (0, 2)
    assert verdict(score_difference(none, "score")) is None
    assert "n/a" in to_text(engine_tables([[none.a, none.b]], [none])[3])


@pytest.mark.parametrize(
    ("a", "b", "index"),
    [("", "", None), ("abc", "abc", None), ("abc", "abd", 2), ("abc", "ab", 2), ("", "a", 0), ("xbc", "abc", 0)],
)
def test_the_first_difference(a, b, index):
    assert first_difference(a, b) == first_difference(b, a) == index


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_before_the_first_difference_all_is_equal_and_there_it_is_not(a, b):
    index = first_difference(a, b)
    if index is None:
        assert a == b
    else:
        assert a[:index] == b[:index]
        assert a[index : index + 1] != b[index : index + 1]


ONE = engine_run("hf 1", engine="hf", facts={"batch_size": "1"})
EIGHT = engine_run("hf 8", {(0, "easy"): counted("a b")}, engine="hf", facts={"batch_size": "8"})
OTHER = engine_run("vllm", PARTED)
TWIN = engine_run("vllm #2", PARTED, engine="vllm")


def test_pairs_are_those_with_the_reference_and_of_an_engine_with_itself():
    def named(runs, **options):
        return [(a.name, b.name) for a, b in pairs_to_compare(runs, **options)]

    assert named([OTHER, ONE, EIGHT]) == [("vllm", "hf 1"), ("vllm", "hf 8"), ("hf 1", "hf 8")]
    assert named([ONE, OTHER, engine_run("api")]) == [("hf 1", "vllm"), ("hf 1", "api")]
    assert len(named([ONE, OTHER, engine_run("api")], all_pairs=True)) == 3
    assert named([ONE, OTHER, TWIN])[-1] == ("vllm", "vllm #2")


def test_equal_texts_of_two_engines_stand_beside_those_of_one_with_itself():
    pairs = [compare_engines(a, b) for a, b in pairs_to_compare([ONE, EIGHT, OTHER, TWIN])]
    assert noise_table([pair for pair in pairs if pair.kind == TWO_ENGINES]) is None
    found = noise_table(pairs)
    assert found is not None
    rows = {row[1]: row[2:] for row in found.rows}
    # 8 responses of one engine, one of them cut short; OTHER and TWIN lack the same response and 2 of 7 texts differ
    assert rows[ONE_BATCHED_OTHERWISE] == (1, 8, Interval(7 / 8, 7 / 8, 7 / 8))
    assert rows[TWO_ENGINES] == (2, 14, Interval(10 / 14, 5 / 7, 5 / 7))
    assert rows[ONE_TWICE] == (1, 7, Interval(1.0, 1.0, 1.0))


def test_prompts_are_compared_where_they_can_be_seen():
    other = {**ALIKE.asked, IDS[1]: SentPrompts(("else", f"{IDS[1]} easy"), ((5,), (6,)))}
    tokens = {**ALIKE.asked, IDS[1]: SentPrompts(ALIKE.asked[IDS[1]].prompts, ((5,), (7,)))}
    found = compare_engines(engine_run("hf", asked=tokens), engine_run("vllm", asked=other))
    assert (prompts_text(found), found.prompt_tokens) == ("3 of 4", Share(1, 2))
    messages = engine_run("api", asked=other, sent_as="messages")
    assert prompts_text(compare_engines(ALIKE, messages)) == "sent as messages"
    assert prompts_text(compare_engines(messages, messages)) == "4 of 4"
    assert prompts_text(compare_engines(ALIKE, engine_run("vllm", asked={}))) == "not recorded"
    assert (
        prompts_text(compare_engines(ALIKE, engine_run("vllm", asked={IDS[0]: SentPrompts((None, "x"))})))
        == "not recorded"
    )


def test_tables_say_the_same_and_show_no_text():
    pair = compare_engines(ALIKE, OTHER)
    parted = [item for item in pair.responses if item.first_character is not None]
    gaps = [
        (pair, TokenGap(parted[0], 0.25, (7, 9), (9, 7))),
        (pair, TokenGap(parted[1], 0.75, (7, 9), (9, None))),
    ]
    tables = engine_tables([[ALIKE, OTHER]], [pair], gaps)
    (agreement,) = rows_of(tables, "engine_agreement")
    assert (agreement["n"], agreement["missing"], agreement["equal texts"]) == (7, 1, 5 / 7)
    assert (agreement["first parting token"], agreement["median"]) == (3, 10.0)
    assert agreement["differ in"] == "engine"
    hard, easy = rows_of(tables, "engine_scores")
    # exam 3 has no response in hard order; exam 1 lost a point in easy order
    assert (hard["n"], hard["A"], hard["B"], hard["order"]) == (3, 3.0, 3.0, "hard")
    assert (easy["A"], easy["B"], easy["discordant"]) == (3.0, pytest.approx(8 / 3), 1)
    (near,) = rows_of(tables, "engine_gaps")
    assert (near["parted"], near["looked at"], near["median gap"], near["both took the best two"]) == (2, 2, 0.5, 0.5)
    assert [row["gap"] for row in rows_of(tables, "engine_partings")] == [0.25, 0.75]
    assert len(rows_of(tables, "engine_responses")) == 7
    for table in tables:
        for made in (to_text(table), to_markdown(table), to_csv(table)):
            assert "work" not in made
            assert "boxed" not in made


def test_what_stands_only_where_something_was_recorded():
    slow = engine_run("hf", facts={"version": "5", "device": "cpu", "threads": "2"})
    quick = engine_run("vllm", facts={"dtype": "bfloat16", "device": "cuda", "threads": "2"})
    rows = rows_of(engine_tables([[slow, quick]], [compare_engines(slow, quick)]), "engine_runs")
    assert [(row["version"], row["dtype"], row["device"]) for row in rows] == [
        *(("5", "not recorded", "cpu"), ("not recorded", "bfloat16", "cuda"))
    ]
    assert "threads" not in rows[0]  # the same of both
    assert "quantization" not in rows[0]
