"""Reading what lm_eval (plain, or through ``roi-bench run``) wrote: results JSON and samples JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams import EXAM_VERSION
from roi_bench.outcomes import Response
from roi_bench.tokens import Usage

NO_RESPONSE = "<|roi_bench:no_response|>"
"""Stands in the samples file where no response could be had; lm_eval would write the text "None", as a model might."""


@dataclass(frozen=True, slots=True)
class RecordedExam:
    """The raw responses of one exam: K in the task's order, K in easy order."""

    exam_id: str
    main: tuple[Response, ...]
    easy: tuple[Response, ...]


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """One task of one run, as recorded.

    Attributes:
        name: Task name.
        results_path: The results file.
        samples_path: The samples file.
        record: What identifies the run of the task (``metadata.roi_bench`` of its configuration).
        values: Recorded numbers by name, ``score`` or ``score_stderr``; "N/A" where undefined.
        exams: Raw responses in file order.
    """

    name: str
    results_path: Path
    samples_path: Path
    record: dict[str, Any]
    values: dict[str, float | str]
    exams: tuple[RecordedExam, ...]


def find_results(path: Path) -> list[Path]:
    """Return the results files that ``path`` names: itself, or every ``results_*.json`` in and below a folder.

    Raises:
        UsageError: There are none.
    """
    found = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
    if not found or not found[0].exists():
        raise UsageError(f"{path}: no results_*.json there; name the folder given to --output_path")
    return found


def read_results(path: Path) -> list[RecordedTask]:
    """Return the tasks of ours in the results file ``path`` with their raw responses.

    Raises:
        RecordError: A file is damaged or incomplete, holds no task of ours, or is of another exam version.
    """
    results = _load_json(path)
    date = path.stem.rpartition("_")[2]
    tasks = []
    for name, config in results.get("configs", {}).items():
        record = (config.get("metadata") or {}).get("roi_bench")
        if record is None:
            continue
        if record.get("exam_version") != EXAM_VERSION:
            raise RecordError(
                f"{path}: {name} was run on exam version {record.get('exam_version')!r}, this package has version "
                f"{EXAM_VERSION}; results of two versions are never mixed, use the roi-bench release of that run"
            )
        samples_path = path.with_name(f"samples_{name}_{date}.jsonl")
        if not samples_path.exists():
            raise RecordError(f"{path}: {samples_path.name} is missing beside it; run with --log_samples")
        values = {
            key.removesuffix(",none"): value
            for key, value in results.get("results", {}).get(name, {}).items()
            if key.endswith(",none") and isinstance(value, int | float | str)
        }
        exams = tuple(_read_samples(samples_path, int(record["repeats"])))
        tasks.append(RecordedTask(name, path, samples_path, record, values, exams))
    if not tasks:
        raise RecordError(f"{path}: holds no task of roi-bench; was it written by `lm_eval --tasks roi_…`?")
    return tasks


def _read_samples(path: Path, repeats: int) -> Iterator[RecordedExam]:
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        try:
            sample = json.loads(line)
            exam_id = sample["doc"]["exam_id"]
            usage = sample.get("usage") or [[None] * repeats] * 2
            main, easy = (
                tuple(_response(text, spent) for text, spent in zip(texts, spents, strict=True))
                for texts, spents in zip(sample["resps"], usage, strict=True)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{path}:{number}: not a whole sample ({type(error).__name__}: {error}); the file is cut off or "
                "altered; run the task again (roi-bench run resumes from its journal)"
            ) from error
        if exam_id in seen:
            raise RecordError(f"{path}:{number}: exam {exam_id} occurs twice; the file mixes two runs")
        if len(main) != repeats or len(easy) != repeats:
            raise RecordError(f"{path}:{number}: exam {exam_id} has not the {repeats} samples per order of its run")
        seen.add(exam_id)
        yield RecordedExam(exam_id, main, easy)


def _response(text: Any, usage: dict[str, Any] | None) -> Response:
    spent = None if usage is None else Usage(int(usage["tokens"]), usage["finish_reason"], usage["source"])
    return Response(None if text == NO_RESPONSE else text, spent)


def _load_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read as a results file ({error})") from error
    if not isinstance(loaded, dict):
        raise RecordError(f"{path}: not a results file of lm_eval")
    return loaded
