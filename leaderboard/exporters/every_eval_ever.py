"""Every Eval Ever 0.3: one aggregate record a submission, and beside it one line a sample (`every_eval_ever_samples`).

The format is that of the package of the same name: its schemas, and the paths
``data/<collection>/<developer>/<model>/<UUID>.json`` of its datastore.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.analysis.runs import ScoredRun
from roi_bench.leaderboard.board import Board, Entry
from roi_bench.leaderboard.exporters.every_eval_ever_metrics import evaluation_results
from roi_bench.leaderboard.exporters.every_eval_ever_samples import sample_rows
from roi_bench.leaderboard.exporters.export_files import (
    model_page_url,
    published,
    safe_name,
    texts,
    write_json_lines,
    write_pages,
)
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.page import PageFile
from roi_bench.leaderboard.shown_text import visible_line

SCHEMA_VERSION = "0.3.0"

COLLECTION = "roi-bench"
"""Folder of all our records in the datastore."""

UNLISTED = "unlisted"
"""Developer of models that name none in a form that can be a folder."""

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}", re.ASCII)
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?|data|(?i:unknown)", re.ASCII)
"""Names that the datastore refuses."""

Entries = Iterable[Entry]


def _as_they_are(entries: Entries) -> Entries:
    return entries


def export_every_eval_ever(
    board: Board,
    runs_of: Callable[[GradedSubmission], Mapping[str, ScoredRun]],
    out: Path,
    *,
    show: Callable[[Entries], Entries] = _as_they_are,
) -> list[Path]:
    """Write an aggregate record and the rows of its samples for each submission below ``out``; return the files.

    Args:
        board: The board; drafts, replaced submissions and rows of the literature are left out.
        runs_of: Returns the scored runs of a submission by slug (:func:`roi_bench.leaderboard.grade.grade_submission`).
            A run that it leaves out has no rows; a submission without any row has no file of them.
        out: Folder to write to.
        show: Goes through the entries, for a progress bar.

    Raises:
        UsageError: ``out`` cannot be written.
        RecordError: An id cannot be the name of a file.
    """
    written: list[Path] = []
    for entry in show(published(board)):
        graded, path = entry.graded, record_path(entry)
        record = aggregate(board, entry)
        if not record["evaluation_results"]:
            continue
        runs = runs_of(graded)
        identity, model = record["evaluation_id"], record["model_info"]["id"]
        rows = chain.from_iterable(
            sample_rows(run, runs[run.slug], identity, model) for run in graded.runs if run.slug in runs
        )
        samples = path.removesuffix(".json") + "_samples.jsonl"
        sha256, count = write_json_lines(({"schema_version": SCHEMA_VERSION, **row} for row in rows), out / samples)
        if count:
            record["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": samples,
                "hash_algorithm": "sha256",
                "checksum": sha256,
                "total_rows": count,
            }
            written.append(out / samples)
        written += write_pages([PageFile(path, _json(record))], out)
    return written


def aggregate(board: Board, entry: Entry) -> dict[str, Any]:
    """Return the aggregate record of a submission, without the pointer to its samples.

    Both time stamps are the day of the run, so that the same submission gives the same record.
    """
    submission = entry.graded.submission
    metadata = submission.metadata
    day = str(int(datetime.fromisoformat(metadata.date).replace(tzinfo=UTC).timestamp()))
    model = _model_info(entry)
    return {
        "schema_version": SCHEMA_VERSION,
        # the name holds the end of the submission's id: one model can have two submissions of one day
        "evaluation_id": f"{COLLECTION}-{submission.id[-12:]}/{model['id']}/{day}",
        "evaluation_timestamp": day,
        "retrieved_timestamp": day,
        "source_metadata": _source(board, entry),
        "eval_library": {
            "name": "roi-bench",
            "version": __version__,
            "additional_details": {
                f"submitted_with_{visible_line(name)}": visible_line(version)
                for name, version in sorted(submission.software.items())
            },
        },
        "model_info": model,
        "evaluation_results": evaluation_results(entry.graded),
    }


def record_path(entry: Entry) -> str:
    """Return the path of a submission's aggregate record in the datastore; it depends on its id and model alone."""
    _, developer, model = _identity(entry)
    return f"data/{COLLECTION}/{developer}/{model}/{record_uuid(entry.id)}.json"


def record_uuid(identity: str) -> str:
    """Return a UUID in the form of version 4, which the datastore asks for, made from the id of a submission."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"roi-bench {identity}".encode()).digest()[:16], version=4))


def _identity(entry: Entry) -> tuple[str, str, str]:
    """Return the model's id, and its developer and name as folders of the datastore, which follow from the id.

    The id is the model's name where all of it is safe as folders, else made from the id of the submission.
    """
    metadata = entry.graded.submission.metadata
    parts = metadata.model.split("/")
    if not all(map(_is_component, parts)) or len(parts) > 3:
        return f"{UNLISTED}/{entry.id}", UNLISTED, safe_name(entry.id)
    if len(parts) > 1:
        return metadata.model, parts[0], "_".join(parts[1:])
    known = [name for name in (metadata.organisation, metadata.provider) if name and _is_component(name)]
    developer = (known or [UNLISTED])[0]
    return f"{developer}/{parts[0]}", developer, parts[0]


def _is_component(name: str) -> bool:
    return bool(_COMPONENT.fullmatch(name)) and not name.endswith(".") and not _RESERVED.fullmatch(name)


def _model_info(entry: Entry) -> dict[str, Any]:
    metadata = entry.graded.submission.metadata
    identity, developer, _ = _identity(entry)
    deployment = {None: "unknown", "local": "self_deployed"}.get(metadata.provider, "externally_managed")
    weights = {None: "unknown", True: "open_weights", False: "closed_weights"}[metadata.open_weights]
    details = {
        "version": metadata.version,
        "parameters": metadata.parameters,
        "licence": metadata.licence,
        "hardware": metadata.hardware,
    }
    known = {
        "developer": metadata.organisation or (developer if developer != UNLISTED else None),
        "inference_platform": metadata.provider,
    }
    return {
        "name": visible_line(metadata.model),
        "id": identity,
        **texts(known),
        "additional_details": {"deployment_type": deployment, "model_availability": weights, **texts(details)},
    }


def _source(board: Board, entry: Entry) -> dict[str, Any]:
    submission, review = entry.graded.submission, entry.review
    board_name = visible_line(board.title) or "roi-bench"
    details = {
        "submission": submission.id,
        "submission_sha256": entry.graded.content,
        "badge": entry.badge,
        "page": model_page_url(board, entry),
        "contamination": submission.metadata.contamination,
        "replaces": submission.replaces,
        "reviewed_by": review and review.by,
        "reviewed_on": review and review.date,
        "remarks": "; ".join(f"{remark.rule}: {remark.text}" for remark in entry.graded.remarks) or None,
        "timestamps": "day of the run, 00:00 UTC",
    }
    return {
        "source_name": board_name,
        "source_type": "evaluation_run",
        "source_organization_name": board_name,
        **texts({"source_organization_url": board.base_url or None}),
        "evaluator_relationship": "third_party" if entry.badge == "maintainer-run" else "other",
        "additional_details": texts(details),
    }


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
