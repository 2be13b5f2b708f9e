"""Prompt noise: how far a score moves when the same exams are asked in other words, and an interval that includes it.

One run with the canonical prompt and m runs with paraphrases of it have the same exams: a two-way layout of exams and
P = m + 1 prompts, both random. The canonical run's number stays the estimate; the paraphrases show how uncertain it is
as the number of a model *for a prompt of this kind*. docs/metrics.md gives the formulas, sources and coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.reports.score_tables import TARGET_NOTES, interval_of
from roi_bench.analysis.reports.tables import Cell as TableCell
from roi_bench.analysis.reports.tables import Column, Table, interval_around
from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import UsageError
from roi_bench.records.journal import canonical_json
from roi_bench.scoring.metrics import range_of
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio

FloatArray = NDArray[np.float64]

POSSIBLE: dict[str, tuple[float, float]] = {"score": (0.0, 3.0), "regret": (-float("inf"), 1.0)}
"""Metrics that have a prompt noise, each with the least and the greatest value that it can take."""

LEAST_PARAPHRASES = 2
"""Paraphrases from which an interval is given: of one its simulated coverage falls to 90 %."""

_LEVEL = 0.95
_ANGLES = 400  # points of the quadrature over the angle of a residual


@dataclass(frozen=True, slots=True)
class PromptNoise:
    """The effect of paraphrasing a prompt on a number.

    Attributes:
        values: The number under each prompt on the exams in common: the canonical one, then the paraphrases as given.
        exams: Number of exams that all prompts have in common; only these are used here.
        spread: Standard deviation of ``values`` (divisor m), as seen.
        prompt_sd: Estimated standard deviation between prompts, beyond what exams and sampling make of it; ≥ 0.
        interval: 95 % interval around the canonical run's number that includes prompt noise, cut to possible values;
            None below two paraphrases (see :data:`LEAST_PARAPHRASES`), or where the usual interval is undefined.
    """

    values: tuple[float, ...]
    exams: int
    spread: float
    prompt_sd: float
    interval: tuple[float, float] | None

    @property
    def low(self) -> float:
        """The smallest number of any prompt."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest number of any prompt."""
        return max(self.values)


@dataclass(frozen=True, slots=True)
class Layout:
    """Two-way layouts of exams and prompts, reduced to the statistics that intervals need.

    Attributes:
        values: Ratio of each prompt, shape (…, prompts).
        stderr: Its standard error over clusters of exams, same shape.
        between: Variance of the ratios over prompts (divisor prompts − 1), shape (…).
        chance: The part of it due to the interaction of exams and prompts and to sampling, shape (…).
    """

    values: FloatArray
    stderr: FloatArray
    between: FloatArray
    chance: FloatArray

    @property
    def prompt_variance(self) -> FloatArray:
        """Variance between prompts, ≥ 0, shape (…): the method of moments."""
        return np.maximum(self.between - self.chance, 0.0)


def prompt_noise(
    canonical: Mapping[str, ExamTerm],
    paraphrases: Sequence[Mapping[str, ExamTerm]],
    *,
    metric: str = "score",
    target: str = "general",
) -> PromptNoise | None:
    """Return the prompt noise in the number of the ``canonical`` run.

    Args:
        canonical: Terms of the run with the canonical prompt, by exam id.
        paraphrases: Terms of each paraphrase run.
        metric: ``score`` or ``regret``, which sets the possible values.
        target: ``general`` or ``fixed``.

    Returns:
        None without paraphrases, below two clusters in common, or where the ratio of a prompt is undefined.

    Raises:
        UsageError: A metric without bounds.
    """
    if metric not in POSSIBLE:
        raise UsageError(f"prompt noise of {metric!r} is not defined; known: {', '.join(POSSIBLE)}")
    runs = [canonical, *paraphrases]
    common = sorted(name for name in canonical if all(name in run for run in runs))
    clusters = [canonical[name].cluster if target == "general" else name for name in common]
    if len(runs) < 2 or len(set(clusters)) < 2:
        return None
    terms = np.array([[(run[name].numerator, run[name].denominator) for name in common] for run in runs])
    if (terms[:, :, 1].sum(axis=1) == 0).any():
        return None
    found = layout(terms[:, :, 0], terms[:, :, 1], clusters)
    prompt_sd = sqrt(float(found.prompt_variance))
    estimate = estimate_ratio(list(canonical.values()))
    ends = confidence_interval(estimate, target=target)
    interval = None
    if len(paraphrases) >= LEAST_PARAPHRASES and ends is not None and estimate.value is not None:
        half = float(widened((ends[1] - ends[0]) / 2, prompt_sd, len(paraphrases)))
        least, greatest = POSSIBLE[metric]
        interval = max(least, estimate.value - half), min(greatest, estimate.value + half)
    values = tuple(float(value) for value in found.values)
    return PromptNoise(values, len(common), sqrt(float(found.between)), prompt_sd, interval)


def layout(numerators: FloatArray, denominators: FloatArray, clusters: Sequence[str]) -> Layout:
    """Reduce two-way layouts; the leading axes may hold many of them at once.

    With ψ_ip the influence of exam i on the ratio of prompt p and ψ̄_i its mean over prompts, ψ_ip − ψ̄_i is what exam
    and prompt make of each other, sampling included. Its variance in the ratio of one prompt is estimated over the m
    degrees of freedom of the prompts, clustered as in :func:`scoring.statistics.estimate_ratio`. For plain means
    without clusters that is the interaction's mean square / n, and ``between`` that of prompts / n.

    Args:
        numerators: Shape (…, prompts, exams).
        denominators: Same shape.
        clusters: Cluster of each exam.
    """
    names = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)[1]
    order = np.argsort(names, kind="stable")
    starts = np.flatnonzero(np.diff(names[order], prepend=-1))
    numerators, denominators = numerators[..., order], denominators[..., order]
    exams, groups, prompts = numerators.shape[-1], len(starts), numerators.shape[-2]
    totals = denominators.sum(axis=-1)
    values = numerators.sum(axis=-1) / totals
    influences = (numerators - values[..., None] * denominators) * exams / totals[..., None]
    sums = np.add.reduceat(influences, starts, axis=-1)
    scale = groups / (groups - 1) / exams**2
    residuals = sums - sums.mean(axis=-2, keepdims=True)
    return Layout(
        values=values,
        stderr=np.sqrt(scale * (sums**2).sum(axis=-1)),
        between=values.var(axis=-1, ddof=1),
        chance=scale * (residuals**2).sum(axis=(-1, -2)) / (prompts - 1),
    )


def widened(half: FloatArray | float, prompt_sd: FloatArray | float, paraphrases: int) -> FloatArray:
    """Return the half-width of the 95 % interval that includes prompt noise: √(half² + (q_m · prompt_sd)²).

    Squares of half-widths add, each with the quantile of its own degrees of freedom, which keeps at least the level
    for independent parts (Banerjee 1960, Sankhyā 22, 357–358).

    Args:
        half: Half-width of the usual interval.
        prompt_sd: Standard deviation between prompts.
        paraphrases: Number m of paraphrases.
    """
    return np.hypot(half, deviate_quantile(paraphrases) * np.asarray(prompt_sd))


@lru_cache(maxsize=8)
def deviate_quantile(paraphrases: int) -> float:
    """Return q_m: one of m + 1 normal values lies within q_m standard deviations of their true mean, in 95 % of cases.

    The standard deviation is that of the m + 1 values themselves (divisor m), so it is not independent of the value.
    The distance is that of the value from the seen mean, whose law is that of a residual (Thompson 1935, Annals of
    Mathematical Statistics 6, 214–219), plus that of the seen mean from the true one, a t with m degrees of freedom
    over √(m + 1); the two are independent. With ρ = cos θ the cosine between residual and value, θ of density
    ∝ sin^(m−2) θ,

        (X₀ − μ)/S = (t_m + m·ρ) / √(m + 1).

    It is 9.04, 2.81, 2.18 for m = 1, 2, 3; t itself, which would hold for an independent S, has 12.71, 4.30, 3.18.

    Raises:
        UsageError: There is no paraphrase.
    """
    from scipy.optimize import brentq
    from scipy.stats import t

    if paraphrases < 1:
        raise UsageError(f"prompt noise needs at least one paraphrase, not {paraphrases}")
    degrees = paraphrases
    angles = (np.arange(_ANGLES) + 0.5) * np.pi / _ANGLES if degrees > 1 else np.array([0.0, np.pi])
    weights = np.sin(angles) ** (degrees - 2) if degrees > 1 else np.ones(2)
    weights /= weights.sum()
    shifts, root = degrees * np.cos(angles), sqrt(degrees + 1)

    def excess(quantile: float) -> float:
        inside = t.cdf(quantile * root - shifts, degrees) - t.cdf(-quantile * root - shifts, degrees)
        return float((weights * inside).sum()) - _LEVEL

    return float(brentq(excess, 0.1, 100.0))


# Paraphrase runs beside the canonical run that they belong to, and the prompt noise in its numbers.
#
# A paraphrase run is no rival of the canonical one: it is ranked nowhere and shown as a spread only.


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """A run with the canonical prompt, and its paraphrase runs.

    Attributes:
        canonical: The run shown in every table.
        paraphrases: Its paraphrase runs, by number.
    """

    canonical: ScoredRun
    paraphrases: tuple[ScoredRun, ...]

    def noise(self, metric: str, target: str = "general") -> PromptNoise | None:
        """Return the prompt noise in ``metric`` (``score`` or ``regret``); None if it cannot be estimated."""
        others = [run.terms(metric) for run in self.paraphrases]
        return prompt_noise(self.canonical.terms(metric), others, metric=metric, target=target)


def group_prompts(
    runs: Sequence[ScoredRun], notify: Callable[[str], None] | None = None
) -> tuple[list[ScoredRun], list[PromptGroup]]:
    """Return the runs with canonical prompts, and the groups that paraphrase runs make with them.

    A paraphrase run belongs to the canonical run of the same model, exams, decoding, samples and other deviations whose
    prompts were sent in the same way. One without such a run is left out, and so is a second one of the same number;
    ``notify`` is called for each.
    """
    canonical: dict[str, ScoredRun] = {}
    found: dict[str, dict[int, ScoredRun]] = {}
    for run in runs:
        if not run.task.record.paraphrase:
            canonical.setdefault(_asked(run), run)
    for run in runs:
        number = run.task.record.paraphrase
        if not number:
            continue
        why = ""
        if _asked(run) not in canonical:
            why = _why_alone(run, runs)
        elif number in found.get(_asked(run), {}):
            why = "there is another run of this paraphrase"
        else:
            found.setdefault(_asked(run), {})[number] = run
        if why and notify is not None:
            notify(f"{run.name}, {run.cell.title}: {why}, so it is left out")
    groups = [
        PromptGroup(run, tuple(found[key][number] for number in sorted(found[key])))
        for key, run in canonical.items()
        if key in found
    ]
    return [run for run in runs if not run.task.record.paraphrase], groups


def _why_alone(run: ScoredRun, runs: Sequence[ScoredRun]) -> str:
    """Return why a paraphrase run has no matching run with the canonical prompt."""
    near = [
        other
        for other in runs
        if not other.task.record.paraphrase and _asked(other, sending=False) == _asked(run, sending=False)
    ]
    if not near:
        return "no run with the canonical prompt is beside it"
    ways = "; ".join(dict.fromkeys(other.task.record.sending.title for other in near))
    return (
        f"prompts were sent in another way ({run.task.record.sending.title}) than those of the canonical run ({ways})"
    )


def _asked(run: ScoredRun, *, sending: bool = True) -> str:
    """Return all that a paraphrase run has in common with its canonical one; ``sending``: how it was sent as well."""
    task, record = run.task, run.task.record
    label = f"paraphrase={record.paraphrase}"
    others = [found for found in record.deviations if found != label]
    asked = [task.model, run.cell.slug, record.prompt, record.repeats, task.decoding, others]
    return canonical_json([*asked, *(astuple(record.sending) if sending else ())])


def prompt_noise_table(groups: Sequence[PromptGroup], target: str = "general") -> Table | None:
    """Return how much numbers change with the words of the prompt; None if unknown for all groups."""
    rows: list[tuple[TableCell, ...]] = []
    for group in groups:
        run, estimates = group.canonical, group.canonical.estimates()
        found = {metric: group.noise(metric, target) for metric in POSSIBLE}
        if not any(found.values()):
            continue
        for metric, noise in found.items():
            if noise is None:  # undefined under some of the prompts
                known = (run.name, run.cell.title, metric, len(group.paraphrases) + 1, None)
                rows.append((*known, interval_of(estimates[metric], metric, target), *[None] * 5))
                continue
            wide = interval_around(estimates[metric].value, noise.interval, range_of(metric))
            rows.append(
                (
                    *(run.name, run.cell.title, metric, len(noise.values), noise.exams),
                    *(interval_of(estimates[metric], metric, target), wide),
                    *(noise.low, noise.high, noise.spread, noise.prompt_sd),
                )
            )
    if not rows:
        return None
    return Table(
        name="prompt_noise",
        title="Spread over prompts",
        columns=(
            *(Column("run"), Column("exams"), Column("number"), Column("prompts", 0), Column("n", 0)),
            *(Column("value"), Column("with prompt noise"), Column("min"), Column("max")),
            *(Column("SD", 3), Column("prompt SD", 3)),
        ),
        rows=tuple(rows),
        note="The same exams asked with the canonical prompt and with paraphrases of it: least, greatest and standard "
        "deviation of their numbers; prompt SD is what exams and sampling do not explain. With prompt noise: 95 % "
        "interval for a prompt of this kind; it rests on few prompts and is wide; n/a: undefined under one of "
        "the prompts. "
        f"{TARGET_NOTES[target]}",
    )
