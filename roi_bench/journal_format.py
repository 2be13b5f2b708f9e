"""The lines of a journal: what a header and a recorded response look like as JSON (see :mod:`roi_bench.journal`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from roi_bench.problems import sha256_text
from roi_bench.tokens import Usage

FORMAT = "roi-bench-journal"
VERSION = 1
HEADER_BEGIN = b'{"format": '
"""How a header line begins, and no other line."""

_ENTRY_FIELDS = ("prompt_sha256", "generation", "sample", "response", "usage")


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True, order=True)
class RequestKey:
    """What was asked of the model of the run.

    Attributes:
        prompt_sha256: SHA-256 of the prompt as sent (chat template applied).
        generation: Generation arguments as canonical JSON.
        sample: 0 for the first response to this request, 1 for the second, …
    """

    prompt_sha256: str
    generation: str
    sample: int


def request_key(prompt: str, generation: Mapping[str, Any], sample: int) -> RequestKey:
    """Return the key of the ``sample``-th response to ``prompt`` under the ``generation`` arguments."""
    return RequestKey(sha256_text(prompt), canonical_json(generation), sample)


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded response.

    Attributes:
        key: What was asked.
        response: The text, or None if no response could be had (it is asked again on resume).
        usage: What it cost, or None if unknown.
        extra: Further fields: exam, order, cost, latency, …
    """

    key: RequestKey
    response: str | None
    usage: Usage | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a journal and of each later start: ``run`` is compared, ``about`` is for the reader."""

    run: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, other: Header) -> list[str]:
        """Return ``name: this value, not other value`` for every differing ``run`` field (nested ones dotted)."""
        mine, theirs = (dict(_flatten(json.loads(canonical_json(header.run)))) for header in (self, other))
        names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        return [f"{name}: {_shown(mine.get(name))}, not {_shown(theirs.get(name))}" for name in names]


def header_line(header: Header) -> bytes:
    """Return the first line of a journal, line end included."""
    return _json_line({"format": FORMAT, "version": VERSION, "run": dict(header.run), "about": dict(header.about)})


def entry_line(entry: Entry) -> bytes:
    """Return the line of a recorded response, line end included."""
    line = {
        "prompt_sha256": entry.key.prompt_sha256,
        "generation": json.loads(entry.key.generation),
        "sample": entry.key.sample,
        "response": entry.response,
        "usage": None if entry.usage is None else asdict(entry.usage),
        **entry.extra,
    }
    return _json_line(line)


def is_header(value: object) -> bool:
    """Whether ``value``, read from JSON, is the header of a journal of this or another version."""
    return isinstance(value, dict) and value.get("format") == FORMAT


def parse_header(line: bytes) -> Header:
    """Return the header that ``line`` holds.

    Raises:
        ValueError: It holds none that this version reads.
    """
    value = parse_object(line)
    if not is_header(value):
        raise ValueError(f"not a roi-bench journal: no format {FORMAT!r}")
    if value.get("version") != VERSION:
        raise ValueError(f"format version {value.get('version')!r}; this roi-bench reads version {VERSION}")
    run, about = value.get("run"), value.get("about", {})
    if not isinstance(run, dict) or not isinstance(about, dict):
        raise ValueError("run and about of the header must be objects")
    return Header(run, about)


def parse_entry(line: bytes) -> Entry:
    """Return the recorded response that ``line`` holds.

    Raises:
        ValueError: It holds none.
    """
    value = parse_object(line)
    if missing := [name for name in _ENTRY_FIELDS if name not in value]:
        raise ValueError(f"no field {missing[0]!r}")
    sha, generation, sample, response, usage = (value.pop(name) for name in _ENTRY_FIELDS)
    if not (isinstance(sha, str) and isinstance(generation, dict) and type(sample) is int):
        raise ValueError("prompt_sha256, generation and sample must be a string, an object and an integer")
    if not isinstance(response, str | None):
        raise ValueError("response must be a string or null")
    return Entry(RequestKey(sha, canonical_json(generation), sample), response, parse_usage(usage), value)


def parse_usage(value: object) -> Usage | None:
    """Return the :class:`Usage` that ``value``, read from JSON, holds.

    Raises:
        ValueError: It is neither null nor such an object.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"tokens", "finish_reason", "source"}:
        raise ValueError("usage must be null or an object of tokens, finish_reason and source")
    if type(value["tokens"]) is not int or value["tokens"] < 0:
        raise ValueError(f"usage.tokens must be a count, not {value['tokens']!r}")
    if value["finish_reason"] not in ("stop", "length", "error", None):
        raise ValueError(f"usage.finish_reason must be stop, length, error or null, not {value['finish_reason']!r}")
    if value["source"] not in ("generated", "provider", "retokenized"):
        raise ValueError(f"usage.source must be generated, provider or retokenized, not {value['source']!r}")
    return Usage(value["tokens"], value["finish_reason"], value["source"])


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object that ``line`` holds.

    Raises:
        ValueError: It is not one.
    """
    try:
        value = json.loads(line.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _json_line(value: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # A lone surrogate in the text has no UTF-8 form; as an ASCII escape it survives.
        return (json.dumps(value) + "\n").encode("ascii")


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item


def _shown(value: object) -> str:
    return "none" if value is None else repr(value)
