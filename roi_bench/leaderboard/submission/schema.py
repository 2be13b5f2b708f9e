"""A submission and its ``submission.json``: who ran what on which exams; nothing in it is trusted until regraded."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from roi_bench.errors import DependencyError, RecordError, nearest
from roi_bench.exams.exam import EXAM_VERSIONS, Exam, sha256_text
from roi_bench.exams.sets import load_exams
from roi_bench.leaderboard.submission.untrusted_files import (
    METADATA_BYTES,
    METADATA_DEPTH,
    SHOWN_OF_MESSAGE,
    mixed_scripts,
    parse_strict,
    shown,
    too_dense,
    unseen,
)
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json
from roi_bench.records.results import RunIdentity
from roi_bench.scoring.prompts import PROMPT_VERSION, prompt_version

# A submission: who ran what on which exams, and the raw responses. Nothing in it is trusted until it is regraded.
#
# A submission is a folder: ``submission.json`` (this module, :data:`SCHEMA_FILE`) and one gzipped JSONL file of raw
# responses a task (:mod:`roi_bench.leaderboard.submission.response_files`).

FORMAT = "roi-bench-submission"
FORMAT_VERSION = 1

SCHEMA_FILE = "submission.schema.json"
"""JSON Schema of ``submission.json``, in the package beside this module."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who and what, as the submitter says it; shown on pages, never used in a computation.

    Attributes:
        model: Name of the model, ``Qwen/Qwen2.5-1.5B-Instruct``.
        version: Version, revision or snapshot of the model, or None.
        provider: Who served it (``openai``, ``local``), or None.
        organisation: Who made the model, or None.
        licence: Licence of its weights, or None.
        open_weights: Whether anybody can have the weights; None: not said.
        parameters: Number of parameters, or None.
        hardware: What it ran on, or None.
        date: Day of the run, ``2026-11-24``.
        contamination: Statement on what of the exams the model may have seen in training.
        contact: Who answers questions about this submission.
        notes: Anything else, or an empty text.
        model_url: Where the model can be had or is described, or None.
        paper_url: Where a paper on it is, or None.
        code_url: Where the code of the run is, or None.
    """

    model: str
    date: str
    contamination: str
    contact: str
    version: str | None = None
    provider: str | None = None
    organisation: str | None = None
    licence: str | None = None
    open_weights: bool | None = None
    parameters: int | None = None
    hardware: str | None = None
    notes: str = ""
    model_url: str | None = None
    paper_url: str | None = None
    code_url: str | None = None


LINKS = ("model_url", "paper_url", "code_url")
"""Fields of :class:`Metadata` that hold an address; a document without one leaves its field out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedTask(RunIdentity):
    """One task of a submission: what was asked, and where its raw responses are.

    The tokenizer is named so that others find it (``roi-bench:tiny_rarl`` for a shipped one). A paraphrase is attached
    to the task of the canonical prompt and is its spread, never a row of its own.

    Attributes:
        name: lm_eval's name of the task.
        exam_version: Version of the exams.
        exams_sha256: Hash of all exams of the set (:func:`roi_bench.leaderboard.submission.schema.exams_sha256`).
        decoding: Generation arguments besides the budget: scalars by name.
        documents: Number of lines in the file of responses.
        file: Its name in the folder.
        sha256: Hash of its bytes.
        skip_token_lengths: Tokens of a written skip (:func:`scoring.prompts.skipped_problem`), which a solo profile
            needs, in the form of the response files; None where no tokenizer was known.
        lines_sha256: Hash of its lines as they unpack (:func:`~.response_files.lines_digest`), the same however they
            were packed; None in submissions older than it.
        engine: What generated the responses (``hf``, ``vllm``), as the results recorded it; None: they did not.
        engine_version: Its version, likewise.
        dtype: Data type of the weights.
        quantization: Their quantisation, ``none`` where there is none.
        batch_size: Requests at once.
    """

    name: str
    exam_version: int
    exams_sha256: str
    decoding: Mapping[str, str | int | float | bool | None]
    documents: int
    file: str
    sha256: str
    skip_token_lengths: tuple[int, ...] | None = None
    lines_sha256: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    batch_size: str | None = None


SETUP = ("engine", "engine_version", "dtype", "quantization", "batch_size")
"""Fields of :class:`SubmittedTask` that say what generated the responses."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The content of ``submission.json``.

    Attributes:
        id: Name of the folder: a slug of the model and a hash of all the rest; an altered submission has another.
        metadata: Who and what.
        software: Versions of what produced the responses, by package.
        tasks: The tasks, by name.
        usd: What all responses cost in USD, or None.
        replaces: Id of the submission that this one corrects, or None.
        reason: Why it was corrected, or None.
        draft: Incomplete (some exams only); can be viewed, never published.
        claimed: Numbers that the submitter's own run gave, by task and metric; compared with ours and never shown as
            results.
    """

    id: str
    metadata: Metadata
    software: Mapping[str, str]
    tasks: tuple[SubmittedTask, ...]
    usd: float | None = None
    replaces: str | None = None
    reason: str | None = None
    draft: bool = False
    claimed: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


# What breaks the schema of a ``submission.json``, as a sentence: which field, what it holds, what is allowed. Pure.
#
# The messages of jsonschema show patterns, and values at any length.

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
    "^[A-Za-z0-9][A-Za-z0-9 ._+:-]{0,39}$": "at most 40 plain characters, such as vllm, 0.18.0 or bfloat16",
    "^https://([A-Za-z0-9-]{1,63}[.])+[A-Za-z]{2,24}([/?#][A-Za-z0-9._~%+@:,;=!?&#()/-]*)?$": (
        "a plain https address such as https://example.org/model"
    ),
}
"""What each pattern of the schema allows, in words."""

FIELDS = {
    "tokenizer": "the name of one on the hub such as org/name, local:NAME for one of your own, or null",
    "tokenizer_revision": "a revision such as main or a commit's hash, or null",
    "replaces": "the id of a submission such as my-model-0123456789ab, or null",
    "skip_token_lengths": "a list of at most 64 whole numbers from 0 to 256, or null",
}
"""What fields that may be one of several things may hold, in words."""

JSON_TYPES = {
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
        return f"{where} has an entry twice; each may occur only once"
    if path and path[-1] in FIELDS and error.validator in ("anyOf", "type", "pattern"):
        return f"{where} is {_described(value)}; it must be {FIELDS[str(path[-1])]}"
    return f"{where} is {_described(value)}; it must be {_allowed(error)}"


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
        return _one_of([JSON_TYPES[kind] for kind in ([limit] if isinstance(limit, str) else limit)])
    if error.validator == "enum":
        return _one_of(["null" if one is None else repr(one) for one in limit])
    if error.validator == "const":
        return repr(limit)
    if error.validator in ("minimum", "maximum"):
        return f"{'at least' if error.validator == 'minimum' else 'at most'} {limit:,}"
    return "something else (see the schema)"


def _keys(error: SchemaError, where: str) -> str:
    """Return which key is missing, or which one is unknown."""
    value: Mapping[str, Any] = error.instance
    known = list(error.schema.get("properties", ()))
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in value)
        return f"{where} lacks {missing!r}; every field must be there (null where nothing is known)"
    unknown = shown(next(name for name in value if name not in known), SHOWN_OF_VALUE)
    return f"{where} has the unknown field {unknown!r}; {nearest(unknown, known)}"


def _may_be_null(schema: Any) -> bool:
    return "null" in schema.get("type", ())


def _described(value: Any) -> str:
    """Return a value in words, short and harmless."""
    if isinstance(value, str):
        return f"the text {_quoted(value)}" if value else "an empty text"
    if isinstance(value, list | dict):
        return f"{JSON_TYPES['array' if isinstance(value, list) else 'object']} of {len(value):,} entries"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shown(value, SHOWN_OF_VALUE)


def _quoted(value: object) -> str:
    return f"'{shown(value, SHOWN_OF_VALUE)}'"


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# ``submission.json``: read, checked against its schema, written; ids and names that follow from its content.

SLUG_CHARACTERS = 40
"""Characters of a model's name in an id."""

LONG_TEXTS = ("contamination", "notes", "reason")
"""Fields that may have several lines."""

NAMES = ("model", "organisation", "provider")
"""Fields that tables show as names."""

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
    # What is not there is left out, so that a submission without it is what it was before there was such a field.
    for part, names in ((found["metadata"], LINKS), *((task, ("lines_sha256", *SETUP)) for task in found["tasks"])):
        for name in names:
            if part[name] is None:
                del part[name]
    return {"format": FORMAT, "format_version": FORMAT_VERSION, **found}


def submission_id(document: Mapping[str, Any]) -> str:
    """Return the id that the content of a ``submission.json`` makes: a slug of the model, a hash of all but the id.

    Of a file whose lines have a hash that one counts, not the hash of the packed file: other releases of zlib pack the
    same lines to other bytes, and the same submission would have two ids.
    """
    rest = {name: value for name, value in document.items() if name != "id"}
    rest["tasks"] = [
        {name: value for name, value in task.items() if name != "sha256" or "lines_sha256" not in task}
        for task in document["tasks"]
    ]
    plain = unicodedata.normalize("NFKD", document["metadata"]["model"]).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:SLUG_CHARACTERS].strip("-")
    return f"{slug or 'model'}-{sha256_text(canonical_json(rest))[:12]}"


def submission_bytes(submission: Submission) -> bytes:
    """Return ``submission`` as the bytes of its file."""
    return document_bytes(submission_document(submission))


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """Return the JSON value of a ``submission.json`` as the bytes of the file."""
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8")


def parse_submission(content: bytes, where: str, *, today: date | None = None) -> Submission:
    """Return the submission in an untrusted ``submission.json``.

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
            "think_tags": tuple((opening, closing) for opening, closing in found.get("think_tags", ())),
            "skip_token_lengths": None if skip is None else tuple(skip),
        }
    )


@lru_cache(maxsize=1)
def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend
    except ImportError as error:
        raise DependencyError(
            "checking submissions needs jsonschema, which roi-bench brings; pip install jsonschema"
        ) from error

    def whole(_: Any, value: Any) -> bool:
        return type(value) is int  # 1.0 is no whole number here

    schema = json.loads(Path(__file__).with_name(SCHEMA_FILE).read_text(encoding="utf-8"))
    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", whole)
    return extend(Draft202012Validator, type_checker=checker)(schema)


def outdated(task: SubmittedTask) -> str | None:
    """Return why a run is not compared with today's, or None for a run of today.

    This alone decides what is current: runs of an older reading rule and those asked with an older version of their
    prompt are not; what no version ever was, the rules refuse (:mod:`roi_bench.leaderboard.checks.rules`).
    """
    version = prompt_version(task.prompt_sha256, task.prompt, task.paraphrase)
    reasons = []
    if version is not None and version != PROMPT_VERSION:
        reasons.append(f"prompt version {version} (today: {PROMPT_VERSION})")
    if task.reading_rule != READING_RULE:
        reasons.append(f"reading rule {task.reading_rule} (today: {READING_RULE})")
    return "; ".join(reasons) or None


def _check_rule(document: Any) -> None:
    """Name a submission of a newer reading rule, or that names none, as such: its form may be another too."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    for task in tasks if isinstance(tasks, list) else ():
        rule = task.get("reading_rule", OLDER_FORM) if isinstance(task, dict) else READING_RULE
        if rule is OLDER_FORM:
            raise ValueError(
                f"a submission of an older form, of reading rule 1 (this board reads by rule {READING_RULE}); rewrite "
                "it with roi-bench submit migrate"
            )
        if type(rule) is not int or not 0 < rule <= READING_RULE:
            raise ValueError(
                f"a submission of reading rule {shown(rule)}; this board reads by rule {READING_RULE}, and the two are "
                "never mixed: run again, and pack the new results"
            )


OLDER_FORM = object()
"""Stands for the reading rule where a submission names none, as those did that were made under rule 1."""


def _check_schema(document: Any) -> None:
    error = next(_validator().iter_errors(document), None)  # the first one only: a hostile file has any number of them
    if error is not None:
        raise ValueError(sentence(error))


def _check_texts(document: Mapping[str, Any]) -> None:
    for name, text in _texts(document, ""):
        allowed = "\n" if name in LONG_TEXTS else ""
        bad = [c for c in text if c not in allowed and unicodedata.category(c) in ("Cc", "Cs")]
        if bad or _BIDIRECTIONAL.search(text):
            raise ValueError(f"{shown(name)} contains a control character")
        if name not in LONG_TEXTS and (which := unseen(text)) is not None:
            raise ValueError(f"{shown(name)} contains a character that cannot be seen, {which}; leave it out")
        if (why := too_dense(text)) is not None:
            raise ValueError(f"{shown(name)} {why}; shorten it")
        if name in NAMES and (word := mixed_scripts(text)) is not None:
            raise ValueError(f"{shown(name)} mixes letters of several scripts in {word!r}; write a word in one script")


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
        raise ValueError(f"date {shown(text)} is not valid") from None
    if day > today + timedelta(days=1):
        raise ValueError(f"date {text} lies in the future, today is {today}")


# One hash for all exams of a set: other exams give another hash.


def load_set(exam_set: str, seed: int | None) -> tuple[Exam, ...]:
    """Return the exams of a set.

    Raises:
        DataError: A problem is missing or altered.
    """
    return load_exams(exam_set, seed=seed or 0)


@lru_cache(maxsize=8)
def exams_sha256(exam_set: str, seed: int | None) -> str:
    """Return the SHA-256 over the exams of a set: ids, medium orders, clusters, and questions and answers by hash.

    Raises:
        DataError: A problem is missing or altered.
    """

    def row(exam: Exam) -> list[object]:
        problems = [[p.id, p.sha256, sha256_text("\0".join(p.answers))] for p in exam.problems]
        return [exam.id, exam.medium, exam.cluster, problems]

    return sha256_text(canonical_json([EXAM_VERSIONS[exam_set], [row(exam) for exam in load_set(exam_set, seed)]]))
