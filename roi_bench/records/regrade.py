"""Recomputing every number of a run from its raw responses alone (SPEC section 8)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roi_bench.errors import RecordError, UsageError, nearest
from roi_bench.exams.exam import Exam, pools_of
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.results import RecordedTask
from roi_bench.scoring.kinds import Attempt, GraderLike, score_attempts
from roi_bench.scoring.metrics import Metric, Sample, SampleT, ScoredResponse, exam_term, metrics_of
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256, prompt_version, version_text
from roi_bench.scoring.statistics import Estimate, estimate_ratio
from roi_bench.scoring.tokens import TokenCounter

FIXED_STDERR = ("score", "score_easy", "regret")
"""Metrics whose standard error on these very exams is recorded beside the general one."""

UNDEFINED = "N/A"
"""How lm_eval's files and tables show a number that is undefined."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number as recorded and as recomputed.

    Attributes:
        task: Task name.
        name: ``score``, ``score_stderr``, …
        recorded: Recorded number, "N/A", or None where the run recorded none.
        recomputed: Recomputed number or "N/A".
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
    task: RecordedTask,
    exams: Mapping[str, Exam],
    grader: GraderLike,
    counter: TokenCounter | None,
    *,
    older_prompts: bool = False,
) -> dict[str, tuple[Sample, ...]]:
    """Return the scored samples of an exam task (asked together or one problem at a time) by exam id.

    With ``older_prompts`` those of runs asked with an older version of the prompt too.

    Raises:
        RecordError: An exam is unknown, or the prompt was another one.
        UsageError: The task asked no exams (a solo task).
    """
    if not task.record.kind.has_order:
        raise UsageError(f"{task.results_path}: {task.name} has problems asked alone, not exams")
    return score_documents(task, exams, grader, counter, older_prompts=older_prompts)


def score_recorded_solo(
    task: RecordedTask, exams: Mapping[str, Exam], grader: GraderLike, counter: TokenCounter | None
) -> dict[str, tuple[ScoredResponse, ...]]:
    """Return the scored responses of a solo task by problem id.

    Raises:
        RecordError: A problem is unknown, or the prompt was another one.
        UsageError: The task is no solo task.
    """
    if task.record.kind.has_order:
        raise UsageError(f"{task.results_path}: {task.name} has exams; a solo profile is made of a roi_…solo_… task")
    return score_documents(task, exams, grader, counter)


def score_documents(
    task: RecordedTask,
    exams: Mapping[str, Exam],
    grader: GraderLike,
    counter: TokenCounter | None,
    *,
    older_prompts: bool = False,
) -> dict[str, tuple[Any, ...]]:
    """Return the scored samples of a task of any kind, by the id of its documents.

    Raises:
        RecordError: A document is unknown, or the prompt was another one.
    """
    record, kind = task.record, task.record.kind
    known = kind.documents(exams)
    check_recorded(task, known, older_prompts=older_prompts)
    attempts = [Attempt(known[d.id], record.order, record.budget, d.requests, record.texts) for d in task.documents]
    scored = score_attempts(kind, attempts, grader, counter)
    return {document.id: samples for document, samples in zip(task.documents, scored, strict=True)}


def check_rule(task: RecordedTask) -> None:
    """Check that a run's responses were read by this package's rule, before showing it beside other runs.

    Raises:
        RecordError: They were read by another rule.
    """
    if task.record.reading_rule != READING_RULE:
        raise RecordError(
            f"{task.results_path}: {task.name} is a run of reading rule {task.record.reading_rule}, this package reads "
            f"by rule {READING_RULE}, and the two are never mixed; run it again or name other folders (roi-bench "
            f"regrade shows its numbers under rule {READING_RULE})"
        )


def rule_note(task: RecordedTask) -> str:
    """Return a note on the reading rule of a regrading, and what it means if the run was recorded under another."""
    if task.record.reading_rule == READING_RULE:
        return f"read by rule {READING_RULE}"
    return (
        f"read by rule {READING_RULE}, recorded under rule {task.record.reading_rule}: where numbers differ, the rule "
        "changed"
    )


def check_recorded(task: RecordedTask, known: Container[str], *, older_prompts: bool = False) -> None:
    """Check that a task's documents and prompt are those of this package.

    Args:
        task: The task.
        known: Ids of its exam set's exams, or problems for a solo task.
        older_prompts: Let older versions of the prompt pass too.

    Raises:
        RecordError: A document is unknown, or the prompt was another one.
    """
    record = task.record
    unknown = [document.id for document in task.documents if document.id not in known]
    if unknown:
        what = record.kind.noun
        raise RecordError(f"{task.samples_path}: unknown {what} {unknown[0]!r}; it is not of set {record.exam_set!r}")
    if record.prompt not in PROMPTS or PROMPTS[record.prompt].kind != record.form:
        raise RecordError(
            f"{task.results_path}: unknown prompt {record.prompt!r} of kind {record.form!r}; "
            f"{nearest(record.prompt, list(PROMPTS))}"
        )
    try:
        expected = prompt_sha256(record.prompt, record.paraphrase)
    except UsageError as error:
        raise RecordError(f"{task.results_path}: prompt {record.prompt!r}: {error}") from None
    asked = f"{record.prompt!r}" + (f", paraphrase {record.paraphrase}" if record.paraphrase else "")
    older = older_prompts and prompt_version(record.prompt_sha256, record.prompt, record.paraphrase) is not None
    if record.prompt_sha256 != expected and not older:
        raise RecordError(
            f"{task.results_path}: {task.name} was asked with prompt {version_text(record.prompt_sha256)}, not "
            f"with {asked} of this package, {version_text(expected)}; two versions are never mixed, use the roi-bench "
            "release of that run"
        )


def estimate_task(
    task: RecordedTask, exams: Mapping[str, Exam], grader: GraderLike, counter: TokenCounter | None
) -> dict[str, Estimate]:
    """Return every metric of a recorded task by name, from its raw responses.

    Raises:
        RecordError: See :func:`check_recorded`.
    """
    kind = task.record.kind
    known, metrics = kind.documents(exams), kind.metrics_of(pools_of(exams))
    scored = score_documents(task, exams, grader, counter)
    return _estimates(metrics, ((samples, kind.cluster(known[name])) for name, samples in scored.items()))


def estimate_metrics(scored: Mapping[str, tuple[Sample, ...]], exams: Mapping[str, Exam]) -> dict[str, Estimate]:
    """Return every metric over the scored samples, by metric name."""
    return _estimates(
        metrics_of(pools_of(exams)), ((samples, exams[exam_id].cluster) for exam_id, samples in scored.items())
    )


def _estimates(
    metrics: Iterable[Metric[SampleT]], scored: Iterable[tuple[tuple[SampleT, ...], str]]
) -> dict[str, Estimate]:
    rows = list(scored)
    found = {}
    for metric in metrics:
        terms = [exam_term(metric, samples, cluster) for samples, cluster in rows]
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
    """Return recorded and recomputed numbers side by side, in table order.

    Numbers that did not exist under a run's older reading rule are left out.
    """
    older = task.record.reading_rule < READING_RULE
    return [
        Comparison(task.name, name, task.values.get(name), value)
        for name, value in values.items()
        if name in task.values or not older
    ]
