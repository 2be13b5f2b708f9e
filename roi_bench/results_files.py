"""Reading what lm_eval (plain, or through ``roi-bench run``) wrote: results JSON and samples JSONL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams import EXAM_VERSION
from roi_bench.journal_format import parse_object, parse_usage
from roi_bench.outcomes import Response

NO_RESPONSE = "<|roi_bench:no_response|>"
"""Stands in the samples file where no response could be had; lm_eval would write the text "None", as a model might."""


@dataclass(frozen=True, slots=True)
class RecordedExam:
    """The raw responses of one exam: K in the task's order, K in easy order."""

    exam_id: str
    main: tuple[Response, ...]
    easy: tuple[Response, ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What identifies the run of a task (``metadata.roi_bench`` of its configuration, see the task's ``record``).

    Attributes:
        exam_set: ``v1``, ``fresh`` or ``tiny``.
        exam_seed: Seed of a generated set, None for the frozen one.
        order: The task's order.
        budget: Budget in tokens.
        repeats: Samples per exam and order.
        prompt: Name of the prompt.
        prompt_sha256: Version of the prompt.
        tokenizer: Tokenizer that counted tokens, or None.
        tokenizer_revision: Its revision on the hub, or None.
        text_is_whole: False where the backend stripped hidden reasoning from the text.
    """

    exam_set: str
    exam_seed: int | None
    order: str
    budget: int
    repeats: int
    prompt: str
    prompt_sha256: str
    tokenizer: str | None
    tokenizer_revision: str | None
    text_is_whole: bool


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """One task of one run, as recorded.

    Attributes:
        name: Task name.
        results_path: The results file.
        samples_path: The samples file.
        record: What identifies the run of the task.
        values: Recorded numbers by name, ``score`` or ``score_stderr``; "N/A" where undefined.
        exams: Raw responses in file order.
    """

    name: str
    results_path: Path
    samples_path: Path
    record: RunRecord
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
    try:
        results = parse_object(path.read_bytes())
        ours = {
            str(name): record
            for name, config in results.get("configs", {}).items()
            if (record := (config.get("metadata") or {}).get("roi_bench")) is not None
        }
    except (OSError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: not a results file of lm_eval, or a damaged one ({error})") from error
    if not ours:
        raise RecordError(f"{path}: holds no task of roi-bench; was it written by `lm_eval --tasks roi_…`?")
    return [_read_task(path, results, name, record) for name, record in ours.items()]


def _read_task(path: Path, results: dict[str, Any], name: str, found: Any) -> RecordedTask:
    record = _run_record(path, name, found)
    samples_path = path.with_name(f"samples_{Path(name).name}_{path.stem.rpartition('_')[2]}.jsonl")
    if not samples_path.exists():
        raise RecordError(f"{path}: {samples_path.name} is missing beside it; run with --log_samples")
    exams = tuple(_read_samples(samples_path, record.repeats))
    try:
        values = {
            key.removesuffix(",none"): value
            for key, value in results["results"][name].items()
            if key.endswith(",none") and isinstance(value, int | float | str)
        }
        sat = int(results["n-samples"][name]["effective"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: the numbers of {name} are damaged ({type(error).__name__}: {error})") from error
    if len(exams) != sat:
        raise RecordError(
            f"{samples_path}: holds {len(exams)} exams, the run sat {sat}; the file is cut off or altered"
        )
    return RecordedTask(name, path, samples_path, record, values, exams)


def _run_record(path: Path, name: str, found: Any) -> RunRecord:
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("exam_set", "order", "prompt", "prompt_sha256"), str),
        **dict.fromkeys(("budget", "repeats"), int),
        "exam_seed": (int, type(None)),
        **dict.fromkeys(("tokenizer", "tokenizer_revision"), (str, type(None))),
        "text_is_whole": bool,
    }
    version = found.get("exam_version") if isinstance(found, dict) else None
    if isinstance(found, dict) and version != EXAM_VERSION:
        raise RecordError(
            f"{path}: {name} was run on exam version {version!r}, this package has version {EXAM_VERSION}; results of "
            "two versions are never mixed, use the roi-bench release of that run"
        )
    wrong = [key for key, kind in kinds.items() if not isinstance(found, dict) or not isinstance(found.get(key), kind)]
    if wrong or found["budget"] < 1 or found["repeats"] < 1:
        raise RecordError(f"{path}: the record of {name} is damaged at {wrong[0] if wrong else 'budget or repeats'!r}")
    return RunRecord(**{key: found[key] for key in kinds})


def _read_samples(path: Path, repeats: int) -> Iterator[RecordedExam]:
    seen: set[str] = set()
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            sample = parse_object(line)
            exam_id = str(sample["doc"]["exam_id"])
            usage = sample.get("usage") or sample["doc"].get("usage") or [[None] * repeats] * 2
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


def _response(text: Any, usage: Any) -> Response:
    if not isinstance(text, str):
        raise TypeError(f"a response is {type(text).__name__}, not text")
    return Response(None if text == NO_RESPONSE else text, parse_usage(usage))
