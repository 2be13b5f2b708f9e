"""Making a submission of finished runs, or of an older submission: raw responses, token counts, what identifies them.

No path of this machine gets in.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import tempfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roi_bench.analysis.load import ScoringOptions, Show, silent
from roi_bench.analysis.runs import in_order
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSIONS
from roi_bench.leaderboard.board.graded import Remark
from roi_bench.leaderboard.checks.rules import NEEDLESS_DRAFT, check_submission, content_hash
from roi_bench.leaderboard.submission.metadata import one_model, public_tokenizer, software, total_usd
from roi_bench.leaderboard.submission.response_files import Responses, lengths_of, lines_digest, write_responses
from roi_bench.leaderboard.submission.schema import (
    SETUP,
    Metadata,
    Submission,
    SubmittedTask,
    document_bytes,
    exams_sha256,
    load_set,
    parse_submission,
    submission_bytes,
    submission_document,
    submission_id,
    task_name,
)
from roi_bench.leaderboard.submission.untrusted_files import (
    METADATA_BYTES,
    METADATA_DEPTH,
    METADATA_FILE,
    SHOWN_OF_MESSAGE,
    parse_strict,
    read_folder,
    shown,
)
from roi_bench.records.regrade import check_recorded, check_rule
from roi_bench.records.results import RecordedDocument, RecordedTask, ResultsFile, identity_of
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import skipped_problem
from roi_bench.scoring.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Correction:
    """What a submission corrects.

    Attributes:
        replaces: Id of the submission that it takes the place of.
        reason: Why.
    """

    replaces: str
    reason: str


def pack_submission(
    results: Sequence[ResultsFile],
    out: Path,
    metadata: Metadata,
    *,
    correction: Correction | None = None,
    draft: bool = False,
    options: ScoringOptions | None = None,
    show: Show = iter,
    tell: Callable[[str], None] = silent,
) -> Path:
    """Write a submission of finished runs and return its folder; it passes all rules, or nothing is written.

    Args:
        results: Results files of one model (:func:`~roi_bench.leaderboard.submission.metadata.load_results`).
        out: Folder in which the submission gets a folder of its own, called by its id.
        metadata: Who and what.
        correction: The submission that this one corrects, if any.
        draft: Let a part of an exam set pass; drafts are never published.
        options: What to count tokens with; by default the recorded tokenizers.
        show: Goes through tasks and shows progress.
        tell: Takes remarks.

    Raises:
        UsageError: Results of several models, two runs of one task, or another submission of this id is there.
        RecordError: A run is of another reading rule, or the submission would be refused.
        ModelError: A tokenizer cannot be loaded.
        DataError: The exams cannot be loaded.
    """
    tasks = in_order([task for file in results for task in file.tasks])
    for task in tasks:
        check_rule(task)
    one_model(tasks)
    _refuse_doubles(tasks)
    files: dict[str, bytes] = {}
    submitted = []
    for task in show(tasks):
        packed = _pack_task(task, options or ScoringOptions(), tell)
        files[packed[0].file] = packed[1]
        submitted.append(packed[0])
    submission = Submission(
        id="",
        metadata=metadata,
        software=software(results),
        tasks=tuple(submitted),
        usd=total_usd(results),
        replaces=correction.replaces if correction else None,
        reason=correction.reason if correction else None,
        draft=draft,
        claimed={
            _name(task): _claims(task) for task in tasks if task.record.kind.has_order and not task.record.paraphrase
        },
    )
    submission = replace(submission, id=submission_id(submission_document(submission)))
    folder = _write(out, submission.id, {METADATA_FILE: submission_bytes(submission), **files}, tell)
    tell(_published(submission))
    return folder


def migrate_submission(folder: Path, out: Path, *, tell: Callable[[str], None] = silent) -> Path | None:
    """Write a submission of an older form in today's, and return its folder; None where it is of today's form.

    All of it comes from the submission itself: its files stay as they are, byte for byte, and what it does not record
    stays unrecorded. It gets the hash of its lines, which makes another id, and reading rule 1 where it names none,
    since the release that first recorded the rule read by rule 2.

    Args:
        folder: The submission.
        out: Folder in which the new one gets a folder of its own, called by its id.
        tell: Takes remarks.

    Raises:
        RecordError: The submission is damaged, was altered, or would be refused for another reason than its age.
        UsageError: Another submission of the new id is there.
    """
    files, where = read_folder(folder), f"{folder}: {METADATA_FILE}"
    if METADATA_FILE not in files:
        raise RecordError(f"{folder}: has no {METADATA_FILE}; name the folder of one submission")
    try:
        old = parse_strict(files[METADATA_FILE], largest=METADATA_BYTES, deepest=METADATA_DEPTH)
        new = _in_todays_form(old, files)
    except ValueError as error:
        raise RecordError(f"{where}: {shown(error, SHOWN_OF_MESSAGE)}") from None
    content = document_bytes(new)
    parse_submission(content, where)  # what is whole in the new form was whole in the old one
    if (found := old.get("id")) != (expected := submission_id(old)):
        raise RecordError(f"{where}: its id is {shown(found)}, its content makes it {expected}; it was altered")
    return None if new == old else _write(out, new["id"], {**files, METADATA_FILE: content}, tell, archive=True)


def _in_todays_form(old: Any, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the content of a ``submission.json`` with what today's form needs more.

    Raises:
        ValueError: It is no content of such a file, or a file of responses is missing or damaged.
    """
    tasks = old.get("tasks") if isinstance(old, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError("is no object with a list of tasks")
    new = {**old, "tasks": []}
    for task in tasks:
        if not isinstance(name := task.get("file"), str) or name not in files:
            raise ValueError(f"names the file {shown(name)}, which is missing")
        new["tasks"].append({"reading_rule": 1, "lines_sha256": lines_digest(files[name]), **task})
    try:
        return {**new, "id": submission_id(new)}
    except (KeyError, TypeError, AttributeError):
        return new  # the schema says what is wrong


def _published(submission: Submission) -> str:
    """Return the names that a submission will publish; its owner may not want to."""
    names = sorted({task.tokenizer for task in submission.tasks if task.tokenizer is not None})
    tokenizers = f"tokenizer: {', '.join(map(repr, names))}" if names else "no tokenizer"
    return f"model: {submission.metadata.model!r}, {tokenizers} (shown publicly if you submit it)"


def _name(task: RecordedTask) -> str:
    record = task.record
    return task_name(record.exam_set, record.exam_seed, record.order, record.budget, record.prompt, record.paraphrase)


def _refuse_doubles(tasks: Sequence[RecordedTask]) -> None:
    seen: dict[str, RecordedTask] = {}
    for task in tasks:
        other = seen.setdefault(_name(task), task)
        if other is not task:
            raise UsageError(
                f"{_name(task)} was run twice, in {other.results_path} and {task.results_path}; name one of the two"
            )


def _pack_task(task: RecordedTask, options: ScoringOptions, tell: Callable[[str], None]) -> tuple[SubmittedTask, bytes]:
    record, name = task.record, _name(task)
    counter, tokenizer = options.counter(task), options.name_for(task)
    documents = _documents(task, tell)
    skip = skipped_problem(1)
    costs = {document.id: document.usd for document in task.documents if document.usd is not None}
    responses = Responses(documents, None if counter is None else _count(documents, counter), costs)
    content = write_responses(responses)
    file = f"{name}.jsonl.gz"
    shown_elsewhere = ("budget=", "exam_seed=", "paraphrase=")  # the name under which it is submitted says so
    identity = {
        **identity_of(record),
        "tokenizer": None if tokenizer is None else public_tokenizer(tokenizer),
        "tokenizer_revision": None if options.tokenizer else record.tokenizer_revision,
        "deviations": tuple(label for label in record.deviations if not label.startswith(shown_elsewhere)),
    }
    submitted = SubmittedTask(
        **identity,
        name=name,
        exam_version=EXAM_VERSIONS[record.exam_set],
        exams_sha256=exams_sha256(record.exam_set, record.exam_seed),
        decoding={key: _scalar(value) for key, value in task.decoding.items()},
        documents=len(documents),
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        lines_sha256=lines_digest(content),
        **_setup(task),
        skip_token_lengths=None if counter is None else tuple(lengths_of(counter.token_starts(skip))),
    )
    return submitted, content


def _setup(task: RecordedTask) -> dict[str, Any]:
    """Return what generated the responses of a task, as its results recorded it, in plain characters."""
    said = task.setup
    found = (said.engine, said.version, said.dtype, said.quantization, said.batch_size)
    plain = [re.sub(r"[^A-Za-z0-9 ._+:-]+", "-", value).lstrip(" ._+:-")[:40] for value in found]
    return {name: value or None for name, value in zip(SETUP, plain, strict=True)}


def _documents(task: RecordedTask, tell: Callable[[str], None]) -> tuple[RecordedDocument, ...]:
    """Return the documents of a task in the order of its exam set, in characters that a file can hold."""
    exams = load_set(task.record.exam_set, task.record.exam_seed)
    known = task.record.kind.documents({exam.id: exam for exam in exams})
    place = {name: index for index, name in enumerate(known)}
    check_recorded(task, place)
    ordered = sorted(task.documents, key=lambda document: place[document.id])
    found = tuple(
        RecordedDocument(d.id, tuple(tuple(map(_writable, samples)) for samples in d.requests), d.usd) for d in ordered
    )
    if found != tuple(ordered):
        tell(f"{task.name}: half characters (lone surrogates) in responses were replaced by U+FFFD")
    return found


def _writable(response: Response) -> Response:
    if not isinstance(response.text, str):
        return Response(None, response.usage)
    whole = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in response.text)
    return response if whole == response.text else replace(response, text=whole)


def _count(documents: Sequence[RecordedDocument], counter: TokenCounter) -> dict[str, array[int]]:
    texts = {
        response.text: None
        for document in documents
        for samples in document.requests
        for response in samples
        if isinstance(response.text, str)
    }
    return {text: lengths_of(counter.token_starts(text)) for text in texts}


def _claims(task: RecordedTask) -> dict[str, float | None]:
    """Return the numbers that the run recorded, standard errors left out."""
    return {
        name: float(value) if isinstance(value, int | float) and math.isfinite(value) else None
        for name, value in sorted(task.values.items())
        if not name.endswith("_stderr") and name not in ("name", "alias", "sample_len")
    }


def _scalar(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _write(
    out: Path, name: str, files: dict[str, bytes], tell: Callable[[str], None], *, archive: bool = False
) -> Path:
    """Write the folder of a submission at once, after it has passed all rules under another name."""
    target = out / name
    out.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".packing-", dir=out))
    try:
        folder = aside / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        try:
            checked = check_submission(folder, archive=archive)
        except RecordError as error:
            raise RecordError(
                f"not written, since it would be refused: {str(error).replace(f'{aside}/', '')}"
            ) from error
        if Remark("draft", NEEDLESS_DRAFT) in checked.remarks:
            tell(f"a draft, {NEEDLESS_DRAFT}")
        if target.exists():
            if _is_same(target, folder, name):
                return target
            raise UsageError(f"{target} exists and differs from what was packed; submissions are never overwritten")
        folder.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _is_same(target: Path, folder: Path, name: str) -> bool:
    """Return whether the submission in ``target`` is the one in ``folder``, maybe packed by another release of zlib."""
    try:
        return content_hash(target) == content_hash(folder) or check_submission(target).submission.id == name
    except RecordError:
        return False
