"""The results of a submission as Every Eval Ever states them: each number with its meaning, bounds and interval."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from roi_bench.exams.exam import TIERS
from roi_bench.leaderboard.exporters.export_files import texts
from roi_bench.leaderboard.graded import Allocation, GradedRun, GradedSubmission, Number
from roi_bench.leaderboard.submission import SubmittedTask
from roi_bench.scoring.metrics import Metric, Sample, metrics_of
from roi_bench.scoring.prompts import PROMPTS

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
    return [{**_about(run, tasks[run.task]), **found} for run in graded.runs for found in _results(run)]


def result_id(run: GradedRun, metric: str) -> str:
    """Return the id of a result, by which sample rows name it: ``v1_hard_512_direct/score``."""
    return f"{run.slug}/{metric}"


def _results(run: GradedRun) -> Iterator[dict[str, Any]]:
    metrics: dict[str, Metric[Sample]] = {metric.name: metric for metric in metrics_of(TIERS)}
    for name, metric in metrics.items():
        number = run.numbers.get(name)
        if name in (*BESIDE_THE_SCORE, *LEFT_OUT) or number is None or not _is_known(number.value):
            continue
        config = {
            "evaluation_description": metric.meaning,
            **_named(name, UNITS.get(name, "proportion"), BOUNDS.get(name, (0.0, 1.0))),
            "lower_is_better": metric.higher_is_better is False,
        }
        yield _result(run, name, number, config, method=INTERVAL)
    if run.allocation is not None:
        for name, (meaning, bounds, unit) in ALLOCATION.items():
            number = _of_allocation(run.allocation, name)
            if _is_known(number.value):
                config = {
                    "evaluation_description": meaning,
                    **_named(name, unit, bounds),
                    "lower_is_better": False,
                }
                yield _result(run, name, number, config)


def _of_allocation(found: Allocation, name: str) -> Number:
    return {"v_dp": found.optimal, "ae": found.allocation_efficiency, "sr": found.solve_retention}[name]


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
    run: GradedRun, name: str, number: Number, config: dict[str, Any], method: str | None = None
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
