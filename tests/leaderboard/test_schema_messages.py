"""What a submission does wrong by its schema is told in a sentence: field, value, what is allowed; never at length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import RecordError
from roi_bench.leaderboard.submission import schema as schema_messages
from roi_bench.leaderboard.submission.schema import SCHEMA_FILE, parse_submission
from tests.leaderboard.made_submissions import MadeTask, made_submission
from tests.support.messages import missing

SCHEMA = json.loads(Path(schema_messages.__file__).with_name(SCHEMA_FILE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = made_submission(tmp_path_factory.mktemp("draft") / "submissions", [MadeTask(exams=2)])
    return (folder / "submission.json").read_text(encoding="utf-8")


def refusal(document: str, path: str, value: Any) -> str:
    """Return why a submission is refused in which the field at ``path`` holds ``value``."""
    content = json.loads(document)
    *parents, last = path.split("/")
    found = content
    for part in parents:
        found = found[int(part) if part.isdigit() else part]
    if value is ...:
        del found[last]
    else:
        found[last] = value
    with pytest.raises(RecordError) as error:
        parse_submission(json.dumps(content).encode(), "submission.json")
    return str(error.value).removeprefix("submission.json: ")


@pytest.mark.parametrize(
    ("path", "value", "facts"),
    [
        ("metadata/model", "x" * 150, ["metadata.model", "150", "120"]),
        ("metadata/contact", " ", ["metadata.contact", "' '"]),
        ("metadata/date", "yesterday", ["metadata.date", "'yesterday'", "2026-11-24"]),
        ("metadata/licence", "", ["metadata.licence", "null"]),
        ("metadata/open_weights", "yes", ["metadata.open_weights", "'yes'", "true or false or null"]),
        ("metadata/parameters", 1.5e9, ["metadata.parameters", "1500000000.0", "null"]),
        ("metadata/parameters", 0, ["metadata.parameters", "0", "1"]),
        ("metadata/parameters", 10**16, ["metadata.parameters", "1,000,000,000,000,000"]),
        ("metadata/contac", "me", ["metadata", "'contac'", "'contact'"]),
        ("metadata/contact", ..., ["metadata", "'contact'", "null"]),
        ("metadata", [1, 2], ["metadata", "list of 2", "object"]),
        ("metadata/model_url", "http://example.org/", ["metadata.model_url", "'http://example.org/'", "https"]),
        ("metadata/paper_url", "javascript:alert(1)", ["metadata.paper_url", "'javascript:alert(1)'", "https"]),
        ("metadata/code_url", "https://me:secret@example.org/", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://example.org:8443/", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://ex\u0430mple.org/", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://localhost/x", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://10.0.0.1/x", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://example.org/\\..", ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://example.org/a b", ["metadata.code_url", "https"]),
        ("metadata/code_url", 'https://example.org/"><script>', ["metadata.code_url", "https"]),
        ("metadata/code_url", "https://example.org/" + "x" * 300, ["metadata.code_url", "320", "300"]),
        ("metadata/code_url", 7, ["metadata.code_url", "7", "text", "null"]),
        ("format", "board", ["format", "'board'", "'roi-bench-submission'"]),
        ("id", "Mine", ["id", "'Mine'", "my-model-0123456789ab"]),
        ("replaces", "one", ["replaces", "'one'"]),
        ("draft", None, ["draft", "null", "true or false"]),
        ("software/a b", "1", ["software", "'a b'", "lm_eval"]),
        ("tasks", [], ["tasks", "0", "1"]),
        ("tasks/0/order", "odd", ["tasks[0].order", "'odd'", "'easy', 'medium', 'hard' or null"]),
        ("tasks/0/tokenizer", "/etc", ["tasks[0].tokenizer", "'/etc'"]),
        ("tasks/0/sha256", "0", ["tasks[0].sha256", "'0'", "64"]),
        ("tasks/0/skip_token_lengths", [-1], ["tasks[0].skip_token_lengths", "list"]),
        ("tasks/0/deviations", ["a", "a"], ["tasks[0].deviations", "twice"]),
    ],
)
def test_each_kind_of_mistake_is_told_by_field_value_and_what_is_allowed(
    document: str, path: str, value: Any, facts: list[str]
) -> None:
    why = refusal(document, path, value)
    assert missing(facts, why) == []
    assert len(why) < 250
    assert "^" not in why


@pytest.mark.parametrize("path", ["metadata/model", "metadata/licence", "software/torch", "tasks/0/order", "replaces"])
@pytest.mark.parametrize("value", ["\x1b[2J" + "x" * 100_000, {"k" * 50_000: 1}, [[0]] * 10_000, 10**200])
def test_hostile_values_are_short_and_harmless(document: str, path: str, value: Any) -> None:
    why = refusal(document, path, value)
    assert len(why) < 300
    assert why.isprintable()


def test_a_hostile_key_is_short_and_harmless(document: str) -> None:
    assert len(refusal(document, "metadata/" + "k" * 100_000, 1)) < 400
    assert refusal(document, "software/\x1b[2J", "1").isprintable()


def test_every_pattern_of_the_schema_has_words() -> None:
    def patterns(value: Any) -> set[str]:
        if isinstance(value, dict):
            here = {value["pattern"]} if isinstance(value.get("pattern"), str) else set()
            left = [found for name, found in value.items() if name not in schema_messages.FIELDS]
            return here.union(*map(patterns, left))
        return set().union(*map(patterns, value)) if isinstance(value, list) else set()

    assert patterns(SCHEMA) == schema_messages.PATTERNS.keys()
