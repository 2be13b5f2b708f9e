"""What breaks the schema of a ``submission.json``, as a sentence: which field, what it holds, what is allowed. Pure.

The messages of jsonschema show patterns, and values at any length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from roi_bench.errors import nearest
from roi_bench.leaderboard.strict_json import shown

SHOWN_OF_VALUE = 40
"""Characters of a value that a sentence shows."""

DEEPEST_SHOWN = 5
"""Parts of the way to a field that a sentence shows."""

PATTERNS = {
    r"\S": "a text that is not blank",
    "^20[0-9]{2}-[0-9]{2}-[0-9]{2}$": "a day such as 2026-11-24",
    "^[0-9a-f]{64}$": "a SHA-256 of 64 hexadecimal digits",
    "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?-[0-9a-f]{12}$": "an id such as my-model-0123456789ab",
    "^roi_[a-z0-9_]{1,100}$": "the name of a task such as roi_exam_hard_512",
    "^roi_[a-z0-9_]{1,100}[.]jsonl[.]gz$": "the name of a file such as roi_exam_hard_512.jsonl.gz",
    "^[a-z0-9_]{1,64}$": "at most 64 small letters, digits and underscores",
    "^[A-Za-z0-9_.-]{1,64}$": "at most 64 letters, digits, dots, hyphens and underscores",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "the name of a package such as lm_eval",
}
"""What each pattern of the schema allows, in words."""

FIELDS = {
    "tokenizer": "the name of one on the hub such as org/name, local:NAME for one of your own, or null",
    "tokenizer_revision": "a revision such as main or a commit's hash, or null",
    "replaces": "the id of a submission such as my-model-0123456789ab, or null",
    "skip_token_lengths": "a list of at most 64 whole numbers from 0 to 256, or null",
}
"""What fields that may be one of several things may hold, in words."""

KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}
"""JSON's types in words."""


class SchemaError(Protocol):
    """What is used of an error of jsonschema."""

    @property
    def validator(self) -> str:
        """Keyword of the schema that is broken."""

    @property
    def validator_value(self) -> Any:
        """What the schema says there."""

    @property
    def instance(self) -> Any:
        """What the document says there."""

    @property
    def schema(self) -> Any:
        """The part of the schema."""

    @property
    def absolute_path(self) -> Iterable[str | int]:
        """The way to the value in the document."""

    @property
    def absolute_schema_path(self) -> Iterable[str | int]:
        """The way to the keyword in the schema."""


def sentence(error: SchemaError) -> str:
    """Return what an error of jsonschema says, for whoever wrote it; hostile values are harmless there."""
    path, value, limit = list(error.absolute_path), error.instance, error.validator_value
    where = _where(path)
    if "propertyNames" in error.absolute_schema_path:
        return f"{where} has the key {_quoted(value)}; a key there is {_allowed(error)}"
    if error.validator in ("required", "additionalProperties"):
        return _keys(error, where)
    if error.validator == "maxLength":
        return f"{where} has {len(value):,} characters, at most {limit:,} are allowed; it begins {_quoted(value)}"
    if error.validator == "minLength":
        return f"{where} is empty; {'leave it out, that is null' if _may_be_null(error.schema) else 'it is needed'}"
    if error.validator in ("maxItems", "minItems", "maxProperties"):
        word = "at least" if error.validator == "minItems" else "at most"
        return f"{where} has {len(value):,} entries; it must have {word} {limit:,}"
    if error.validator == "uniqueItems":
        return f"{where} has an entry twice; each must be there once"
    if path and path[-1] in FIELDS and error.validator in ("anyOf", "type", "pattern"):
        return f"{where} is {_told(value)}; it must be {FIELDS[str(path[-1])]}"
    return f"{where} is {_told(value)}; it must be {_allowed(error)}"


def _where(path: Sequence[str | int]) -> str:
    """Return the way to a value as readers of JSON write it."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{shown(part, SHOWN_OF_VALUE)}" for part in path]
    return "".join(parts[:DEEPEST_SHOWN]).removeprefix(".") or "the file"


def _allowed(error: SchemaError) -> str:
    """Return what a value may be."""
    limit = error.validator_value
    if error.validator == "pattern":
        return PATTERNS.get(limit, "a text of another form (see the schema)")
    if error.validator == "type":
        return _one_of([KINDS[kind] for kind in ([limit] if isinstance(limit, str) else limit)])
    if error.validator == "enum":
        return _one_of(["null" if one is None else repr(one) for one in limit])
    if error.validator == "const":
        return repr(limit)
    if error.validator in ("minimum", "maximum"):
        return f"{'at least' if error.validator == 'minimum' else 'at most'} {limit:,}"
    return "something else (see the schema)"


def _keys(error: SchemaError, where: str) -> str:
    """Return which key is missing, or which one nobody knows."""
    value: Mapping[str, Any] = error.instance
    known = list(error.schema.get("properties", ()))
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in value)
        return f"{where} lacks {missing!r}; every field must be there (null where nothing is known)"
    unknown = shown(next(name for name in value if name not in known), SHOWN_OF_VALUE)
    return f"{where} has the unknown field {unknown!r}; {nearest(unknown, known)}"


def _may_be_null(schema: Any) -> bool:
    return "null" in schema.get("type", ())


def _told(value: Any) -> str:
    """Return a value in words, short and harmless."""
    if isinstance(value, str):
        return f"the text {_quoted(value)}" if value else "an empty text"
    if isinstance(value, list | dict):
        return f"{KINDS['array' if isinstance(value, list) else 'object']} of {len(value):,} entries"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shown(value, SHOWN_OF_VALUE)


def _quoted(value: object) -> str:
    return f"'{shown(value, SHOWN_OF_VALUE)}'"


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
