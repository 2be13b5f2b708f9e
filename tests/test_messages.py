"""The list of messages in ``docs/messages.md``: it is what the code says, and in words of the vocabulary."""

import re

import pytest

from scripts import message_list
from tests.support.messages import shown_in, shows

FORBIDDEN = (
    "shall",
    "sitting",
    "stranger",
    "wish",
    "cannot be meant",
    "as ever",
    "by half",
    "another day",
    "sit",
    "sat",
    "be had",
    "told",
    "nobody",
    "anew",
    "mend",
    "by halves",
    "looked at",
    "will be published",
    "as it did",
    "says nothing to",
    "is no day",
    "is no plain file",
)
"""Words that no message has: each reads as translated, or has another meaning elsewhere in the project."""


def test_the_list_of_messages_is_what_the_code_says():
    page = message_list.PAGE.read_text(encoding="utf-8")
    assert page == message_list.page(), "run: python scripts/message_list.py"


def test_writing_it_again_changes_no_byte(tmp_path, monkeypatch):
    assert message_list.main(check=True) == 0
    monkeypatch.setattr(message_list, "PAGE", tmp_path / "messages.md")
    assert message_list.main(check=True) == 1
    assert message_list.main(check=False) == 0
    assert message_list.main(check=True) == 0


MODULE = '''
import logging

from roi_bench.errors import UsageError

logger = logging.getLogger(__name__)
ADVICE = {401: "check the key", 402: "paid"}


class Fine(UsageError):
    pass


def check(name, count, status):
    """Raises: UsageError("in a docstring")."""
    what = f"{count} of {name!r:.80}"
    if count:
        raise Fine(f"cannot use {what}: " f"{hint(name)}") from None
    logger.warning("%s: %d left", name, count)
    if status:
        raise UsageError("one is left" if count == 1 else f"{count} are left")
    raise UsageError(str(status) + f" refused ({ADVICE[status]})")


def hint(name):
    return f"did you mean {name}?" if name else ""


def unrelated():
    raise KeyError("not a message to read") from UsageError(str(hint))
'''


def test_every_way_to_make_a_message_is_found(tmp_path):
    (tmp_path / "module.py").write_text(MODULE)
    module = message_list.load(tmp_path / "module.py")
    errors = message_list.error_names({"module": module}) | {"Fine"}
    found = message_list.messages_of(module, {"module": module}, errors)
    assert [(one.kind, one.text, one.parts) for one in found] == [
        ("Fine", "cannot use {what}: {hint(name)}", [("what", "{count} of {name!r:.80}")]),
        ("warning", "{name}: {count} left", []),
        ("UsageError", "one is left", []),
        ("UsageError", "{count} are left", []),
        ("UsageError", "{str(status)} refused ({ADVICE[status]})", [("ADVICE", "check the key")]),
    ]
    assert module.returned == {"hint"}
    assert [(one.kind, one.text) for one in message_list.texts_of(module, "hint")] == [
        ("hint()", "did you mean {name}?")
    ]


def test_what_is_put_in_by_the_run_is_no_word_of_ours():
    assert message_list.own_words("a {b if c else 'd'} e {{'f': {g}}} h") == "a  e  h"
    assert not message_list.has_words("{path}: {error}")


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_message_has(word):
    texts = [
        (path, text)
        for path, messages in message_list.collect().items()
        for one in messages
        for text in (one.text, *(text for _, text in one.parts))
    ]
    assert len(texts) > 500
    assert [said for said in texts if re.search(rf"\b{word}\b", message_list.own_words(said[1]), re.IGNORECASE)] == []


def test_a_fact_is_shown_whole_or_not_at_all():
    assert shown_in("--limit must be above 0, not -1.5;\nsee /a/b.json", -1.5, "/a/b.json", "--limit", 0)
    for text in ("10 left", "0.5 left", "1,0 left", "0x left", "none left"):
        assert not shown_in(text, 0), text
    assert not shown_in("one of the two", "one", "three")
    for nothing in ((), ("",), ("a", " ")):
        with pytest.raises(ValueError, match="nothing"):
            shows(*nothing)
