"""Every Eval Ever 0.3: one aggregate record per submission, and beside it a file with one line per sample.

The format is that of the package of the same name: its schemas, and the paths
``data/<collection>/<developer>/<model>/<UUID>.json`` of its datastore.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import POOL_TIERS, TIERS, Exam, Problem, sha256_text
from roi_bench.leaderboard.board.board import Board, Entry
from roi_bench.leaderboard.board.graded import GradedRun, GradedSubmission
from roi_bench.leaderboard.exporters.export_files import (
    model_page_url,
    move_lines,
    published,
    safe_name,
    texts,
    write_json_lines,
    write_pages,
)
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.shown_text import visible_line
from roi_bench.leaderboard.submission.schema import Submission, SubmittedTask
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json
from roi_bench.records.results import RecordedDocument
from roi_bench.scoring.metrics import Metric, Sample, ScoredResponse, metrics_of
from roi_bench.scoring.outcomes import Response, level_bounds
from roi_bench.scoring.prompts import PROMPTS, exam_prompt

# The results of a submission as Every Eval Ever states them: each number with its meaning, bounds and interval.

Bound = float | str
"""A number, or how the format writes an infinite one."""

BOUNDS: dict[str, tuple[Bound, Bound]] = {
    "score": (0.0, 3.0),
    "score_easy": (0.0, 3.0),
    "regret": ("-Infinity", 1.0),
    "level_mae": (0.0, 3.0),
}
"""Smallest and largest value of the metrics that are not from 0 to 1."""

UNITS = {"score": "points", "score_easy": "points", "level_mae": "levels"}
"""Units of those that are no proportions."""

BESIDE_THE_SCORE = (
    *("skip_rate", "unboxed", "tokens", "budget_use", "planning_tokens"),
    *("p1_tokens", "p2_tokens", "p3_tokens"),
)
"""Metrics of which neither more nor less is better: the format wants a direction, so they are details of the score."""

LEFT_OUT = ("error", "over_budget")
"""Metrics that are 0 in every submission that was not refused."""

INTERVAL = "t interval, linearised, clustered by re-used problem, clusters - 1 degrees of freedom"

ALLOCATION: dict[str, tuple[str, tuple[Bound, Bound], str]] = {
    "v_dp": ("value of the best policy on the model's solo skill, correct answers per exam", (0.0, 3.0), "points"),
    "ae": ("allocation efficiency: value of the model's own decisions / v_dp", (0.0, "Infinity"), "ratio"),
    "sr": ("solve retention: score / value of the model's own decisions", (0.0, "Infinity"), "ratio"),
}
"""Meaning, bounds and unit of what is known only with a solo profile; estimates of a ratio can lie above 1."""


def evaluation_results(graded: GradedSubmission) -> list[dict[str, Any]]:
    """Return one result for each defined number of each run whose better direction is known."""
    tasks = {task.name: task for task in graded.submission.tasks}
    return [{**_about(run, tasks[run.task]), **found} for run in graded.current for found in _results(run)]


def result_id(run: GradedRun, metric: str) -> str:
    """Return the id of a result, by which sample rows name it: ``v1_hard_512_direct/score``."""
    return f"{run.slug}/{metric}"


def _results(run: GradedRun) -> Iterator[dict[str, Any]]:
    metrics: dict[str, Metric[Sample]] = {metric.name: metric for metric in metrics_of(TIERS)}
    for name, metric in metrics.items():
        number = run.number(name)
        if name in (*BESIDE_THE_SCORE, *LEFT_OUT) or not _is_known(number.value):
            continue
        config = {
            "evaluation_description": metric.meaning,
            **_named(name, UNITS.get(name, "proportion"), BOUNDS.get(name, (0.0, 1.0))),
            "lower_is_better": metric.higher_is_better is False,
        }
        yield _result(run, name, number, config, method=INTERVAL)
    for name, (meaning, bounds, unit) in ALLOCATION.items():
        number = run.number(name)
        if _is_known(number.value):
            config = {"evaluation_description": meaning, **_named(name, unit, bounds), "lower_is_better": False}
            yield _result(run, name, number, config)


def _named(name: str, unit: str, bounds: tuple[Bound, Bound]) -> dict[str, Any]:
    return {
        "metric_id": f"roi_bench.{name}",
        "metric_name": name,
        "metric_kind": "accuracy" if name.endswith("_acc") else name,
        "metric_unit": unit,
        "score_type": "continuous",
        "min_score": bounds[0],
        "max_score": bounds[1],
    }


def _result(
    run: GradedRun, name: str, number: Interval, config: dict[str, Any], method: str | None = None
) -> dict[str, Any]:
    uncertainty: dict[str, Any] = {"num_samples": run.exams}
    if _is_known(number.low) and _is_known(number.high):
        interval = {"lower": number.low, "upper": number.high, "confidence_level": 0.95}
        uncertainty["confidence_interval"] = {**interval, **texts({"method": method})}
    details = {"clusters": run.clusters, "samples_per_exam": run.repeats}
    if name == "score":
        details |= _beside_the_score(run)
    return {
        "evaluation_result_id": result_id(run, name),
        "metric_config": config,
        "score_details": {"score": number.value, "details": texts(details), "uncertainty": uncertainty},
    }


def _beside_the_score(run: GradedRun) -> dict[str, Any]:
    numbers = {name: run.numbers[name].value for name in BESIDE_THE_SCORE if name in run.numbers}
    return {
        **numbers,
        "tokens_counted": run.tokens_source,
        "usd_per_exam": run.usd_per_exam,
        "fixed_pool_low": run.score_fixed.low,
        "fixed_pool_high": run.score_fixed.high,
        "sampling_stderr": run.sampling_stderr,
    }


def _about(run: GradedRun, task: SubmittedTask) -> dict[str, Any]:
    """Return what all results of a run have in common: what was asked, and how responses were generated."""
    limits = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
    given = {name: task.decoding[key] for name, key in limits.items() if _is_number(task.decoding.get(key))}
    others = {key: value for key, value in task.decoding.items() if key not in given}
    arguments: dict[str, Any] = {**given, "max_tokens": run.cell.budget}
    if run.prompt in PROMPTS:
        arguments["prompt_template"] = PROMPTS[run.prompt].template
    return {
        "evaluation_name": run.task,
        "source_data": {
            "dataset_name": f"roi-bench {run.cell.set_title}",
            "source_type": "other",
            "additional_details": texts(
                {
                    "exams": run.exams,
                    "exam_version": task.exam_version,
                    "exams_sha256": task.exams_sha256,
                    "order": run.cell.order,
                    "budget_tokens": run.cell.budget,
                }
            ),
        },
        "generation_config": {
            "generation_args": arguments,
            "additional_details": texts(
                {
                    **{f"decoding_{key}": value for key, value in sorted(others.items())},
                    "prompt": run.prompt,
                    "prompt_sha256": task.prompt_sha256,
                    "form": run.form,
                    "samples_per_request": run.repeats,
                    "tokenizer": task.tokenizer,
                    "tokenizer_revision": task.tokenizer_revision,
                    "deviations": "; ".join(run.deviations) or None,
                }
            ),
        },
    }


def _is_known(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


# The samples of a run as Every Eval Ever states them: one row for each exam, sample and order.
#
# Rows of the task's order belong to the result ``score``, rows of the easy order to ``score_easy``. Problems of the
# licensed pools are named by id and hash; neither their texts nor their answers are in a row, the raw responses are.

METHODS = {
    "box": f"roi-bench reading rule {READING_RULE}: a box, of the problem named last before it",
    "line": f"roi-bench reading rule {READING_RULE}: an answer line, in the section of a problem without a box",
}
"""How answers are found in a response, by what answers."""


def sample_rows(graded: GradedRun, run: ScoredRun, evaluation_id: str, model_id: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run in the order of its exams; samples without a response have none.

    Args:
        graded: The run as graded.
        run: The same run with its responses and scored samples.
        evaluation_id: Id of the aggregate record.
        model_id: Id of the model in it.
    """
    for document in run.task.documents:
        exam = run.exams[document.id]
        for metric, order in (("score", graded.cell.order), ("score_easy", "easy")):
            if graded.numbers[metric].value is None:
                continue
            common = {
                "evaluation_id": evaluation_id,
                "model_id": model_id,
                "evaluation_name": graded.task,
                "evaluation_result_id": result_id(graded, metric),
                **_asked(graded, exam, order),
            }
            for index, sample in enumerate(run.scored[document.id]):
                scored = sample.main if metric == "score" else sample.easy
                if not sample.failed:
                    responses = _responses(graded, document, metric, index)
                    yield {**common, **_answered(graded, exam, order, responses, scored, index)}


def _problems(graded: GradedRun, exam: Exam, order: str) -> tuple[Problem, ...]:
    """Return the problems in the order in which they were asked, each alone or all at once."""
    return exam.problems if not graded.kind.together else exam.ordered(order)


def _responses(graded: GradedRun, document: RecordedDocument, metric: str, index: int) -> list[Response]:
    if not graded.kind.together:
        return [samples[index] for samples in document.requests]
    return [document.requests[0 if metric == "score" else 1][index]]


def _asked(graded: GradedRun, exam: Exam, order: str) -> dict[str, Any]:
    """Return what stands in a row of the question; the hash is that of the true prompt and answers in any case."""
    problems = _problems(graded, exam, order)
    groups = [(problem,) for problem in problems] if not graded.kind.together else [problems]
    raw = "\n\n".join(
        exam_prompt([p.question for p in group], graded.cell.budget, graded.prompt, level_bounds(group[0].pool))
        for group in groups
    )
    reference = [problem.answer for problem in problems]
    sample_hash = sha256_text(canonical_json({"raw": raw, "reference": reference}))
    if any(problem.pool in POOL_TIERS for problem in problems):
        named = ", ".join(f"{problem.id} (sha256 {problem.sha256})" for problem in problems)
        raw, reference = f"[texts withheld for their licences: exam {exam.id}, problems {named}]", []
    return {
        "sample_id": exam.id,
        "sample_hash": sample_hash,
        "interaction_type": "single_turn",
        "input": {"raw": raw, "reference": reference},
    }


def _answered(
    graded: GradedRun, exam: Exam, order: str, responses: list[Response], scored: ScoredResponse, index: int
) -> dict[str, Any]:
    raw = [response.text if isinstance(response.text, str) else "" for response in responses]
    outcomes = scored.problems
    answered = [(0, outcome) for outcome in outcomes]
    if not graded.kind.together:
        answered = sorted(((TIERS.index(outcome.tier), outcome) for outcome in outcomes), key=lambda pair: pair[0])

    def by_position(name: str) -> str | None:
        values = [getattr(outcome, name) for outcome in outcomes]
        known = any(value is not None for value in values)
        return ", ".join("-" if value is None else str(value) for value in values) if known else None

    details = {
        "form": graded.form,
        "order": order,
        "sample": index + 1,
        "cluster": exam.cluster,
        "problems": by_position("problem_id"),
        "tiers": by_position("tier"),
        "outcomes": by_position("outcome"),
        "levels": by_position("level"),
        "actual_levels": by_position("actual_level"),
        "tokens_by_position": by_position("tokens"),
        "tokens": scored.tokens,
        "planning_tokens": scored.planning,
        "budget": scored.budget,
        "finish_reason": scored.usage and scored.usage.finish_reason,
        "tokens_counted": scored.usage and scored.usage.source,
    }
    return {
        "output": {"raw": raw},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": f"output.raw[{text}]",
                "extracted_value": outcome.answer,
                "extraction_method": METHODS[outcome.answered_by],
                "is_terminal": True,
            }
            for text, outcome in answered
            if outcome.answer is not None and outcome.answered_by is not None
        ],
        "evaluation": {"score": float(scored.score), "is_correct": scored.score == len(outcomes)},
        "metadata": texts(details),
    }


SCHEMA_VERSION = "0.3.0"

COLLECTION = "roi-bench"
"""Folder of all our records in the datastore."""

UNLISTED = "unlisted"
"""Developer of models that name none in a form that can be a folder."""

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}", re.ASCII)
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?|data|(?i:unknown)", re.ASCII)
"""Names that the datastore refuses."""


def write_samples(graded: GradedSubmission, runs: Mapping[str, ScoredRun], folder: Path) -> None:
    """Write the rows of a submission's samples to ``folder``, for :func:`export_every_eval_ever` to take from there.

    Grading calls this while it holds the responses, so that an export reads none of them again.

    Args:
        graded: The submission.
        runs: Its scored runs by slug; one that is missing has no rows, and without any row there is no file.
        folder: Folder to write to, made if need be.

    Raises:
        UsageError: The file cannot be written.
    """
    identity, model = _evaluation_id(graded.submission), _identity(graded.submission)[0]
    rows = chain.from_iterable(
        sample_rows(run, runs[run.slug], identity, model) for run in graded.current if run.slug in runs
    )
    write_json_lines(({"schema_version": SCHEMA_VERSION, **row} for row in rows), _samples(graded.submission, folder))


def _samples(submission: Submission, folder: Path) -> Path:
    return folder / f"{safe_name(submission.id)}.jsonl"


def export_every_eval_ever(
    board: Board,
    samples: Path,
    out: Path,
) -> list[Path]:
    """Write an aggregate record and the rows of its samples for each submission below ``out``; return the files.

    Args:
        board: The board; drafts, replaced and withdrawn submissions, and rows of the literature are left out.
        samples: Folder with the rows of the submissions (:func:`write_samples`); files are moved from there.
        out: Folder to write to.

    Raises:
        UsageError: ``out`` cannot be written.
        RecordError: An id cannot be the name of a file.
    """
    written: list[Path] = []
    for entry in published(board):
        path, rows = record_path(entry), _samples(entry.graded.submission, samples)
        record = aggregate(board, entry)
        if not record["evaluation_results"]:
            continue
        if rows.exists():
            target = path.removesuffix(".json") + "_samples.jsonl"
            sha256, count = move_lines(rows, out / target)
            record["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": target,
                "hash_algorithm": "sha256",
                "checksum": sha256,
                "total_rows": count,
            }
            written.append(out / target)
        written += write_pages([PageFile(path, _json(record))], out)
    return written


def aggregate(board: Board, entry: Entry) -> dict[str, Any]:
    """Return the aggregate record of a submission, without the pointer to its samples.

    Both time stamps are the day of the run, so that the same submission gives the same record.
    """
    submission = entry.graded.submission
    day = _time_stamp(submission)
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(submission),
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
        "model_info": _model_info(submission),
        "evaluation_results": evaluation_results(entry.graded),
    }


def _time_stamp(submission: Submission) -> str:
    return str(int(datetime.fromisoformat(submission.metadata.date).replace(tzinfo=UTC).timestamp()))


def _evaluation_id(submission: Submission) -> str:
    """Return the id of a record; it holds the end of the submission's, as a model can have two on one day."""
    return f"{COLLECTION}-{submission.id[-12:]}/{_identity(submission)[0]}/{_time_stamp(submission)}"


def record_path(entry: Entry) -> str:
    """Return the path of a submission's aggregate record in the datastore; it depends on its id and model alone."""
    _, developer, model = _identity(entry.graded.submission)
    return f"data/{COLLECTION}/{developer}/{model}/{record_uuid(entry.id)}.json"


def record_uuid(identity: str) -> str:
    """Return a UUID in the form of version 4, which the datastore asks for, made from the id of a submission."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"roi-bench {identity}".encode()).digest()[:16], version=4))


def _identity(submission: Submission) -> tuple[str, str, str]:
    """Return the model's id, and its developer and name as folders of the datastore, which follow from the id.

    The id is the model's name where all of it is safe as folders, else made from the id of the submission.
    """
    metadata = submission.metadata
    parts = metadata.model.split("/")
    if not all(map(_is_component, parts)) or len(parts) > 3:
        return f"{UNLISTED}/{submission.id}", UNLISTED, safe_name(submission.id)
    if len(parts) > 1:
        return metadata.model, parts[0], "_".join(parts[1:])
    known = [name for name in (metadata.organisation, metadata.provider) if name and _is_component(name)]
    developer = (known or [UNLISTED])[0]
    return f"{developer}/{parts[0]}", developer, parts[0]


def _is_component(name: str) -> bool:
    return bool(_COMPONENT.fullmatch(name)) and not name.endswith(".") and not _RESERVED.fullmatch(name)


def _model_info(submission: Submission) -> dict[str, Any]:
    metadata = submission.metadata
    identity, developer, _ = _identity(submission)
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
