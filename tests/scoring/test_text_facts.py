"""What a run knows of reasoning in its texts, and which responses begin in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.outcomes import (
    KNOWN_TAGS,
    PLAIN,
    TextFacts,
    begins_in_reasoning,
    opens_reasoning,
    own_tags,
    parse_tags,
    text_facts,
)
from roi_bench.scoring.tokens import Usage

OPENED = "<|user|>Solve it.<|assistant|><think>\n"
TURN = "<|user|>Solve it.<|assistant|>"


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("", False),
        (TURN, False),
        (OPENED, True),
        (f"{TURN}<thinking>", True),
        (f"{TURN}[THINK]", True),
        (f"{TURN}<think>\n\n</think>\n\n", False),  # a template that switches thinking off
        ("<think>a</think> Reason between <think> and </think>.", False),
        (f"<think>an earlier turn</think>{OPENED}", True),
        (f"{TURN}<think>Okay, so", True),
        (f"{TURN}<think>\n</thinking>", False),  # any tag that closes
        ("Close with </think>.", False),
    ],
)
def test_a_prompt_ends_in_reasoning_where_nothing_closes_its_last_opening(prompt: str, opens: bool) -> None:
    assert opens_reasoning(prompt) is opens


@pytest.mark.parametrize(
    ("end", "tags"),
    [
        (None, ()),
        ("", ()),
        ("</think>", ()),
        ("[/THINK]", ()),
        (151668, ()),
        ("151668", ()),
        ("</mull>", (("<mull>", "</mull>"),)),
        ("[/MULL]", (("[MULL]", "[/MULL]"),)),
        ("<|END_MULLING|>", (("<|START_MULLING|>", "<|END_MULLING|>"),)),
        ("<|end_of_mulling|>", (("<|begin_of_mulling|>", "<|end_of_mulling|>"),)),
        ("<|answer|>", (("", "<|answer|>"),)),
    ],
)
def test_the_tags_of_a_run_follow_from_its_closing_one(end: object, tags: Any) -> None:
    assert own_tags(end) == tags


def test_a_runs_own_tag_opens_its_prompt() -> None:
    assert not opens_reasoning(f"{TURN}<mull>")
    assert opens_reasoning(f"{TURN}<mull>", own_tags("</mull>"))
    assert not opens_reasoning(f"{TURN}<mull></mull>", own_tags("</mull>"))
    assert not opens_reasoning(TURN, own_tags("<|answer|>"))


def test_a_run_knows_its_texts_by_its_prompts_and_its_model_arguments() -> None:
    assert text_facts({}, []) == text_facts({}, [TURN, TURN]) == PLAIN
    assert text_facts({}, [OPENED, OPENED]) == TextFacts(starts_in_reasoning=True)
    assert text_facts({}, [f"{TURN} What is <think> for?", TURN]) == PLAIN  # one question's own, no template's
    assert text_facts({"think_end_token": "</think>"}, [TURN]) == TextFacts(False, True)
    assert text_facts({"think_end_token": "</mull>"}, []) == TextFacts(False, True, (("<mull>", "</mull>"),))
    assert text_facts({"think_end_token": 7}, []) == TextFacts(False, True)


@pytest.mark.parametrize(
    ("facts", "text", "usage", "shown", "begins"),
    [
        (PLAIN, "work</think>", None, 9, False),
        (TextFacts(starts_in_reasoning=True), "work", None, 9, True),
        # stripped up to the closing tag: the answer is left
        (TextFacts(False, True), "an answer", Usage(90, "stop", "generated"), 9, False),
        (TextFacts(False, True), "an answer", Usage(100, "length", "generated"), 40, False),
        # nothing was stripped, since reasoning never ended
        (TextFacts(False, True), "work on and on", Usage(100, "length", "generated"), 99, True),
        (TextFacts(False, True), "work on and on", None, 99, True),
        (TextFacts(False, True), "work on and on", None, 40, False),
        # a text as short as what was spent that ended by itself is an answer without reasoning
        (TextFacts(False, True), "an answer", Usage(10, "stop", "generated"), 9, False),
        # nobody knows
        (TextFacts(False, True), "work", Usage(100, "length", "generated"), None, False),
        (TextFacts(False, True), "work", None, None, False),
        # a backend that strips nothing
        (TextFacts(False, True), "work</think>answer", None, None, True),
        (TextFacts(False, True, (("", "<|answer|>"),)), "work<|answer|>7", None, None, True),
    ],
)
def test_a_response_begins_in_reasoning_unless_it_was_stripped(
    facts: TextFacts, text: str, usage: Usage | None, shown: int | None, begins: bool
) -> None:
    assert begins_in_reasoning(text, facts, 100, usage, shown) is begins


@pytest.mark.parametrize(
    "value", [None, "x", {}, [1], ["ab"], [["a"]], [["a", "b", "c"]], [["a", 1]], [["a", ""]], [[None, "b"]]]
)
def test_what_is_no_list_of_pairs_is_no_tags(value: object) -> None:
    assert parse_tags(value) is None


@given(st.lists(st.tuples(st.text(max_size=5), st.text(min_size=1, max_size=5)), max_size=3))
def test_tags_come_back(pairs: list[tuple[str, str]]) -> None:
    assert parse_tags([list(pair) for pair in pairs]) == tuple(pairs)


@given(st.lists(st.sampled_from([*(tag for pair in KNOWN_TAGS for tag in pair), "work "]), max_size=8))
def test_a_closing_tag_ends_it_and_an_opening_one_begins_it(parts: list[str]) -> None:
    prompt = "".join(parts)
    assert not opens_reasoning(f"{prompt}</think>")
    assert opens_reasoning(f"{prompt}<think>")
