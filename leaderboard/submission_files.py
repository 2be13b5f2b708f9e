"""``submission.json``: read, checked against its schema, written; ids and names that follow from its content."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, RecordError
from roi_bench.exams.exam import sha256_text
from roi_bench.leaderboard.limits import METADATA_BYTES, METADATA_DEPTH
from roi_bench.leaderboard.schema_messages import sentence
from roi_bench.leaderboard.strict_json import SHOWN_OF_MESSAGE, parse_strict, shown
from roi_bench.leaderboard.submission import FORMAT, FORMAT_VERSION, SCHEMA_FILE, Metadata, Submission, SubmittedTask
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json

SLUG_CHARACTERS = 40
"""Characters of a model's name in an id."""

LONG_TEXTS = ("contamination", "notes", "reason")
"""Fields that may have several lines."""

_BIDIRECTIONAL = re.compile("[\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]")


def task_name(
    exam_set: str, exam_seed: int | None, order: str | None, budget: int, prompt: str, paraphrase: int = 0
) -> str:
    """Return the name under which such a task is submitted: that of lm_eval's task, with paraphrase and seed.

    What was run under another budget, prompt or exam set than its name promises is submitted under the name of what it
    was (SPEC section 4).
    """
    family = "exam" if exam_set == "v1" else exam_set
    kind = f"roi_{family}_{order}" if order is not None else "roi_solo" if exam_set == "v1" else f"roi_{family}_solo"
    asked = "" if prompt in ("direct", "solo") else f"_{prompt}"
    worded = f"_paraphrase_{paraphrase}" if paraphrase else ""
    return f"{kind}_{budget}{asked}{worded}{f'_seed_{exam_seed}' if exam_seed else ''}"


def submission_document(submission: Submission) -> dict[str, Any]:
    """Return ``submission`` as the JSON value of its file."""
    found = json.loads(json.dumps(asdict(submission)))
    return {"format": FORMAT, "format_version": FORMAT_VERSION, **found}


def submission_id(document: Mapping[str, Any]) -> str:
    """Return the id that the content of a ``submission.json`` makes: a slug of the model, a hash of all but the id."""
    rest = {name: value for name, value in document.items() if name != "id"}
    plain = unicodedata.normalize("NFKD", document["metadata"]["model"]).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:SLUG_CHARACTERS].strip("-")
    return f"{slug or 'model'}-{sha256_text(canonical_json(rest))[:12]}"


def submission_bytes(submission: Submission) -> bytes:
    """Return ``submission`` as the bytes of its file."""
    document = submission_document(submission)
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8")


def parse_submission(content: bytes, where: str, *, today: date | None = None) -> Submission:
    """Return the submission in a ``submission.json`` that a stranger wrote.

    Args:
        content: Its bytes.
        where: Name of the file in messages.
        today: Day against which its date is held; by default today's.

    Raises:
        RecordError: It is damaged, of another reading rule, breaks the schema, or was altered since its id was given.
        DependencyError: jsonschema is not installed.
    """
    try:
        document = parse_strict(content, largest=METADATA_BYTES, deepest=METADATA_DEPTH)
        _check_rule(document)
        _check_schema(document)
        _check_texts(document)
        _check_day(document["metadata"]["date"], today or date.today())
        if (document["replaces"] is None) != (document["reason"] is None):
            raise ValueError("a correction names what it replaces and its reason; one of them is missing")
        if document["id"] != (expected := submission_id(document)):
            raise ValueError(f"its id is {document['id']}, its content makes it {expected}; it was altered")
    except ValueError as error:
        raise RecordError(f"{where}: {shown(error, SHOWN_OF_MESSAGE)}") from None
    known = {field.name for field in fields(Submission)}
    values = {name: value for name, value in document.items() if name in known}
    return Submission(
        **{**values, "metadata": Metadata(**document["metadata"]), "tasks": tuple(map(_task, document["tasks"]))}
    )


def _task(found: Mapping[str, Any]) -> SubmittedTask:
    skip = found["skip_token_lengths"]
    return SubmittedTask(
        **{
            **found,
            "deviations": tuple(found["deviations"]),
            "think_tags": tuple((opening, closing) for opening, closing in found["think_tags"]),
            "skip_token_lengths": None if skip is None else tuple(skip),
        }
    )


@lru_cache(maxsize=1)
def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend
    except ImportError as error:
        raise DependencyError("checking submissions needs jsonschema; pip install 'roi-bench[leaderboard]'") from error

    def whole(_: Any, value: Any) -> bool:
        return type(value) is int  # 1.0 is no whole number here

    schema = json.loads(Path(__file__).with_name(SCHEMA_FILE).read_text(encoding="utf-8"))
    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", whole)
    return extend(Draft202012Validator, type_checker=checker)(schema)


def _check_rule(document: Any) -> None:
    """Name a submission of another reading rule as such: its form may be another too."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    for task in tasks if isinstance(tasks, list) else ():
        rule = task.get("reading_rule", 1) if isinstance(task, dict) else READING_RULE
        if rule != READING_RULE:
            raise ValueError(
                f"a submission of reading rule {shown(rule)}; this board reads by rule {READING_RULE}, and the two are "
                "never mixed: run again, and pack what comes of it"
            )


def _check_schema(document: Any) -> None:
    error = next(_validator().iter_errors(document), None)  # the first one only: a hostile file has any number of them
    if error is not None:
        raise ValueError(sentence(error))


def _check_texts(document: Mapping[str, Any]) -> None:
    for name, text in _texts(document, ""):
        allowed = "\n" if name in LONG_TEXTS else ""
        bad = [c for c in text if c not in allowed and unicodedata.category(c) in ("Cc", "Cs")]
        if bad or _BIDIRECTIONAL.search(text):
            raise ValueError(f"{shown(name)} holds a control character")


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield all texts in ``value``, keys too, with the name of the field that holds them."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, key
            yield from _texts(item, key)


def _check_day(text: str, today: date) -> None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date {shown(text)} is no day") from None
    if day > today + timedelta(days=1):
        raise ValueError(f"date {text} lies in the future, today is {today}")
