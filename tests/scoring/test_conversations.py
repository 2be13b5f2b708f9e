"""Prompts as chat messages and as bare text."""

from __future__ import annotations

from roi_bench.scoring.prompts import as_text, folded

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "1 + 1?"}


def test_bare_text_ends_with_the_cue() -> None:
    assert as_text([SYSTEM, USER]) == "Be brief.\n\n1 + 1?\n\nResponse:\n"
    assert as_text([USER]) == "1 + 1?\n\nResponse:\n"


def test_a_folded_system_turn_is_the_first_paragraph_of_the_users() -> None:
    assert folded([SYSTEM, USER]) == [{"role": "user", "content": "Be brief.\n\n1 + 1?"}]
    assert folded([USER]) == [USER]
    assert folded([SYSTEM]) == [SYSTEM]
    answer = {"role": "assistant", "content": "2"}
    assert folded([SYSTEM, USER, answer])[1:] == [answer]
    assert (SYSTEM["content"], USER["content"]) == ("Be brief.", "1 + 1?")  # the messages given are left alone
