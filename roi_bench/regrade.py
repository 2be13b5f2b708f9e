"""Re-computing every number of a run from its raw responses alone (SPEC section 8)."""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.errors import RecordError, nearest
from roi_bench.exams import Exam
from roi_bench.metrics import Sample, exam_term, metrics_of
from roi_bench.prompts import INSTRUCTIONS, prompt_sha256
from roi_bench.results_files import RecordedTask
from roi_bench.scoring import GraderLike, Sitting, score_sittings
from roi_bench.statistics import Estimate, estimate_ratio
from roi_bench.tokens import TokenCounter

FIXED_STDERR = ("score", "score_easy", "regret")
"""Metrics whose standard error on these very exams is recorded beside the general one."""

UNDEFINED = "N/A"
"""How lm_eval's files and tables show a number that is undefined."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number as recorded and as re-computed.

    Attributes:
        task: Task name.
        name: ``score``, ``score_stderr``, …
        recorded: Recorded number, "N/A", or None where the run recorded none.
        recomputed: Re-computed number or "N/A".
    """

    task: str
    name: str
    recorded: float | str | None
    recomputed: float | str

    @property
    def equal(self) -> bool:
        """Whether both are the same number exactly."""
        return self.recorded == self.recomputed


def score_recorded(
    task: RecordedTask, exams: dict[str, Exam], grader: GraderLike, counter: TokenCounter | None
) -> dict[str, tuple[Sample, ...]]:
    """Return the scored samples of ``task`` by exam id.

    Raises:
        RecordError: An exam is unknown, or the prompt was another one.
    """
    unknown = [recorded.exam_id for recorded in task.exams if recorded.exam_id not in exams]
    if unknown:
        raise RecordError(
            f"{task.samples_path}: unknown exam {unknown[0]!r}; it is not of set {task.record.exam_set!r}"
        )
    record = task.record
    if record.prompt not in INSTRUCTIONS:
        raise RecordError(
            f"{task.results_path}: unknown prompt {record.prompt!r}; {nearest(record.prompt, list(INSTRUCTIONS))}"
        )
    expected = prompt_sha256(record.prompt)
    if record.prompt_sha256 != expected:
        raise RecordError(
            f"{task.results_path}: {task.name} was asked with prompt {record.prompt_sha256[:12]}…, this "
            f"package has {expected[:12]}… as {record.prompt!r}; use the roi-bench release of that run"
        )
    sittings = [
        Sitting(exams[r.exam_id], record.order, record.budget, r.main, r.easy, record.text_is_whole) for r in task.exams
    ]
    scored = score_sittings(sittings, grader, counter)
    return {sitting.exam.id: samples for sitting, samples in zip(sittings, scored, strict=True)}


def estimate_metrics(scored: dict[str, tuple[Sample, ...]], exams: dict[str, Exam]) -> dict[str, Estimate]:
    """Return every metric over the scored samples, by metric name."""
    metrics = metrics_of([problem.pool for problem in next(iter(exams.values())).problems])
    found = {}
    for metric in metrics:
        terms = [exam_term(metric, samples, exams[exam_id].cluster) for exam_id, samples in scored.items()]
        found[metric.name] = estimate_ratio([term for term in terms if term is not None])
    return found


def flat_values(estimates: dict[str, Estimate]) -> dict[str, float | str]:
    """Return the numbers of ``estimates`` under the names in which lm_eval records them."""

    def shown(value: float | None) -> float | str:
        return UNDEFINED if value is None else value

    values: dict[str, float | str] = {}
    for name, estimate in estimates.items():
        values[name] = shown(estimate.value)
        values[f"{name}_stderr"] = shown(estimate.stderr_general)
        if name in FIXED_STDERR:
            values[f"{name}_fixed_stderr"] = shown(estimate.stderr_fixed)
    return values


def compare(task: RecordedTask, values: dict[str, float | str]) -> list[Comparison]:
    """Return recorded against re-computed numbers, in table order."""
    return [Comparison(task.name, name, task.values.get(name), value) for name, value in values.items()]
