"""Templates that show no system turn: the instructions go into the user's."""

from __future__ import annotations

import json

import pytest
from jinja2 import TemplateError
from lm_eval.models.api_models import JsonChatStr

from roi_bench.api.settings import chat_prompt
from roi_bench.harness.sending import rendered, sending_through, shows_system_turn, templated
from roi_bench.records.results import Sending
from roi_bench.scoring.prompts import Message, folded

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "1 + 1?"}


def in_turns(messages: list[Message]) -> str:
    return "".join(f"<{message['role']}>{message['content']}" for message in messages)


def dropping(messages: list[Message]) -> str:
    return in_turns([message for message in messages if message["role"] != "system"])


def refusing(messages: list[Message]) -> str:
    if messages[0]["role"] == "system":
        raise TemplateError("System role not supported")
    return in_turns(messages)


@pytest.mark.parametrize("render", [dropping, refusing])
def test_no_template_loses_the_system_turn(render: object) -> None:
    assert rendered([SYSTEM, USER], render) == "<user>Be brief.\n\n1 + 1?"  # type: ignore[arg-type]
    assert templated([SYSTEM, USER], render) == folded([SYSTEM, USER])  # type: ignore[arg-type]
    assert not shows_system_turn(render)  # type: ignore[arg-type]
    assert rendered([USER], render) == "<user>1 + 1?"  # type: ignore[arg-type]


def test_a_template_that_shows_it_keeps_it() -> None:
    assert shows_system_turn(in_turns)
    assert rendered([SYSTEM, USER], in_turns) == "<system>Be brief.<user>1 + 1?"


def test_another_error_of_a_template_is_not_taken_for_a_refusal() -> None:
    def broken(messages: list[Message]) -> str:
        raise ValueError("no chat template")

    with pytest.raises(ValueError, match="no chat template"):
        rendered([SYSTEM, USER], broken)


@pytest.mark.parametrize("render", [chat_prompt, lambda m: JsonChatStr(json.dumps(m)), list])
def test_messages_keep_their_system_turn_and_have_no_template(render: object) -> None:
    assert shows_system_turn(render)  # type: ignore[arg-type]
    assert sending_through(render, with_system_turn=True) == Sending("messages")  # type: ignore[arg-type]


def test_templates_are_told_apart_by_what_they_make_of_messages() -> None:
    ways = {
        sending_through(in_turns, with_system_turn=True),
        sending_through(dropping, with_system_turn=False),
        sending_through(refusing, with_system_turn=False),
        sending_through(lambda m: in_turns(m) + "<think></think>", with_system_turn=True),
    }
    assert len(ways) == 3  # what drops the system turn and what refuses it are sent the same
    assert {way.sent_as for way in ways} == {"chat template"}


@pytest.mark.parametrize(
    "days", [("26 Jul 2024", "1 August 2025"), ("2024-07-26", "2025-08-01"), ("May 1, 2024", "July 30, 2025")]
)
def test_todays_date_makes_no_other_template(days: tuple[str, str]) -> None:
    one, other = (
        sending_through(lambda m, day=day: f"Today: {day}\n{in_turns(m)}", with_system_turn=True) for day in days
    )
    assert one == other
    assert one != sending_through(in_turns, with_system_turn=True)
