"""How prompts were sent: what people read of it, and what tells runs apart that would be called the same."""

from __future__ import annotations

import pytest

from roi_bench.records.results import Sending, sending_of, wrong_key

ONE, TWO = "1" * 64, "2" * 64
BARE, MESSAGES, TEMPLATE = Sending("text"), Sending("messages"), Sending("chat template", ONE)
OTHER = Sending("chat template", TWO)


def test_titles_say_everything() -> None:
    assert [way.title for way in (Sending(), BARE, MESSAGES)] == ["not recorded", "text", "messages"]
    assert Sending("chat template", ONE, TWO).title == "chat template 11111111, system_instruction 22222222"


def test_labels_say_only_what_differs() -> None:
    assert BARE.labels_beside([BARE, BARE]) == []
    assert [way.labels_beside([BARE, TEMPLATE]) for way in (BARE, TEMPLATE)] == [["text"], ["chat template"]]
    three = [BARE, TEMPLATE, OTHER]
    assert [way.labels_beside(three) for way in three] == [
        ["text"],
        ["chat template 11111111"],
        ["chat template 22222222"],
    ]
    assert [way.labels_beside([Sending(), BARE]) for way in (Sending(), BARE)] == [[], ["text"]]


def test_two_system_instructions_are_told_apart() -> None:
    both = [Sending("text", None, ONE), Sending("text", None, TWO)]
    assert [way.labels_beside(both) for way in both] == [
        ["system_instruction 11111111"],
        ["system_instruction 22222222"],
    ]
    assert both[0].labels_beside([both[0], BARE]) == []  # a deviation of the run, which has a label of its own


@pytest.mark.parametrize(
    ("found", "key"),
    [
        ({}, None),
        ({"sent_as": "text", "chat_template_sha256": None}, None),
        ({"sent_as": "a letter"}, "sent_as"),
        ({"sent_as": 1}, "sent_as"),
        ({"sent_as": ["text"]}, "sent_as"),
        ({"chat_template_sha256": 1}, "chat_template_sha256"),
        ({"system_instruction_sha256": []}, "system_instruction_sha256"),
    ],
)
def test_what_json_may_say(found: dict[str, object], key: str | None) -> None:
    assert wrong_key(found) == key
    assert sending_of({}) == Sending()
