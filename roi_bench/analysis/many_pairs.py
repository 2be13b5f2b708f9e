"""Many pairs of runs tested at once: the paired clustered t test of :mod:`roi_bench.analysis.many_runs`, on arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import ExamTerm

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_NOISE = 1e-12  # relative size below which a difference is rounding
_CHUNK = 1_000_000  # entries of a block of pairs, 8 MB


@dataclass(frozen=True, slots=True, eq=False)
class RunTerms:
    """The terms of one run as columns: what :class:`roi_bench.scoring.statistics.ExamTerm` says of one exam, for all.

    Attributes:
        exams: Ids of the exams, each once; runs that name the same exams in the same order are handled fastest.
        clusters: Cluster of each.
        numerators: Numerator of each, shape (exams,).
        denominators: Denominator of each.
    """

    exams: tuple[str, ...]
    clusters: tuple[str, ...]
    numerators: FloatArray
    denominators: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PairTests:
    """Tests of pairs, arrays of shape (pairs,); NaN where undefined."""

    differences: FloatArray
    stderrs: FloatArray
    p_values: FloatArray
    exams: IntArray
    clusters: IntArray
    discordant: IntArray


def run_terms(terms: Mapping[str, ExamTerm]) -> RunTerms:
    """Return terms by exam id as columns, in the order of the ids."""
    exams = tuple(sorted(terms))
    ordered = [terms[exam] for exam in exams]
    return RunTerms(
        exams=exams,
        clusters=tuple(term.cluster for term in ordered),
        numerators=np.array([term.numerator for term in ordered], dtype=np.float64),
        denominators=np.array([term.denominator for term in ordered], dtype=np.float64),
    )


def mean_terms(exams: Sequence[str], clusters: Sequence[str], values: Sequence[float]) -> RunTerms:
    """Return the terms of a plain mean over exams, such as the score."""
    return RunTerms(tuple(exams), tuple(clusters), np.array(values, dtype=np.float64), np.ones(len(values)))


def columns_of(runs: Sequence[RunTerms | Mapping[str, ExamTerm]]) -> list[RunTerms]:
    """Return all ``runs`` as columns.

    Raises:
        UsageError: An exam in two different clusters.
    """
    columns = [run if isinstance(run, RunTerms) else run_terms(run) for run in runs]
    cluster_of: dict[str, str] = {}
    for exams, clusters in dict.fromkeys((column.exams, column.clusters) for column in columns):
        for exam, cluster in zip(exams, clusters, strict=True):
            if cluster_of.setdefault(exam, cluster) != cluster:
                raise UsageError(
                    f"exam {exam!r} belongs to {cluster_of[exam]!r} in one run and to {cluster!r} in another: the runs "
                    "did not sit the same exams"
                )
    return columns


def ratios_of(numerators: FloatArray, denominators: FloatArray) -> FloatArray:
    """Return Σ numerator / Σ denominator of each row, exactly rounded sums; NaN where that is undefined."""
    sums = [(fsum(n), fsum(d)) for n, d in zip(numerators.tolist(), denominators.tolist(), strict=True)]
    return np.array([n / d if d else np.nan for n, d in sums])


def paired_tests(
    columns: Sequence[RunTerms], first: IntArray, second: IntArray, *, discordant: bool = False
) -> PairTests:
    """Return the tests of runs ``first`` against runs ``second``; discordant exams are counted only if asked for."""
    groups: dict[tuple[str, ...], int] = {}
    group_of = np.array([groups.setdefault(column.exams, len(groups)) for column in columns], dtype=np.intp)
    found = PairTests(
        *(np.full(len(first), np.nan) for _ in range(3)), *(np.zeros(len(first), dtype=np.intp) for _ in range(3))
    )
    # Pairs of runs that sat the same two sets of exams have the same exams in common: they are tested together.
    kinds = np.sort(np.stack([group_of[first], group_of[second]], axis=1), axis=1) @ np.array([len(groups), 1])
    by_kind = np.argsort(kinds, kind="stable")
    for rows in np.split(by_kind, np.flatnonzero(np.diff(kinds[by_kind])) + 1) if len(first) else []:
        _test_alike(columns, first, second, rows, found, discordant)
    return found


def _test_alike(
    columns: Sequence[RunTerms], first: IntArray, second: IntArray, rows: IntArray, found: PairTests, discordant: bool
) -> None:
    """Write the tests of pairs ``rows``, which have the same exams in common, into ``found``."""
    a, b = columns[first[rows[0]]], columns[second[rows[0]]]
    common = sorted(set(a.exams).intersection(b.exams))
    if not common:
        return
    members, places = np.unique(np.concatenate([first[rows], second[rows]]), return_inverse=True)
    pairs = places.reshape(2, -1)
    numerators, denominators = _matrices([columns[member] for member in members], common)
    cluster_of = dict(zip(a.exams, a.clusters, strict=True))
    labels = np.unique([cluster_of[exam] for exam in common], return_inverse=True)[1].reshape(-1)
    count, groups = len(labels), int(labels.max()) + 1
    values = ratios_of(numerators, denominators)
    sums = _cluster_sums(numerators, denominators, values, labels)
    distances = np.empty(len(rows))
    for block in _blocks(len(rows), count):
        x, y = pairs[:, block]
        apart = sums[x] - sums[y]
        distances[block] = np.sqrt(np.einsum("pg,pg->p", apart, apart))
        if discordant:
            differs = (numerators[x] != numerators[y]) | (denominators[x] != denominators[y])
            found.discordant[rows[block]] = differs.sum(axis=1)
    noise = _NOISE * np.abs(values)[pairs].sum(axis=0)
    distances[distances <= noise * count / np.sqrt(groups)] = 0.0
    differences = values[pairs[0]] - values[pairs[1]]
    found.differences[rows], found.exams[rows], found.clusters[rows] = differences, count, groups
    if groups > 1:
        stderrs = np.sqrt(groups / (groups - 1)) * distances / count
        found.stderrs[rows] = stderrs
        found.p_values[rows] = _p_values(np.where(np.abs(differences) <= noise, 0.0, differences), stderrs, groups)


def _matrices(columns: Sequence[RunTerms], exams: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return numerators and denominators of runs on ``exams``, each of shape (runs, exams)."""
    places: dict[tuple[str, ...], IntArray] = {}
    for column in columns:
        if column.exams not in places:
            index_of = {exam: index for index, exam in enumerate(column.exams)}
            places[column.exams] = np.array([index_of[exam] for exam in exams], dtype=np.intp)
    return (
        np.stack([column.numerators[places[column.exams]] for column in columns]),
        np.stack([column.denominators[places[column.exams]] for column in columns]),
    )


def _cluster_sums(numerators: FloatArray, denominators: FloatArray, values: FloatArray, labels: IntArray) -> FloatArray:
    """Return the influences of each run summed over each cluster, shape (runs, clusters).

    The same terms give the same bits in every row, so that equal runs differ by exactly 0.
    """
    totals = np.array([fsum(row) for row in denominators.tolist()])
    means = np.where(totals == 0, np.nan, totals)[:, None] / len(labels)
    influences = (numerators - values[:, None] * denominators) / means
    by_cluster = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_cluster], np.arange(labels.max() + 1))
    return np.asarray(np.add.reduceat(influences[:, by_cluster], starts, axis=1), dtype=np.float64)


def _p_values(differences: FloatArray, stderrs: FloatArray, clusters: int) -> FloatArray:
    from scipy.stats import t

    sure = np.where(differences == 0, 1.0, 2.0 ** (1 - clusters))
    usual = 2 * t.sf(np.abs(differences) / np.where(stderrs == 0, 1.0, stderrs), clusters - 1)
    return np.where(np.isnan(stderrs), np.nan, np.where(stderrs == 0, sure, usual))


def _blocks(rows: int, entries: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, entries))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
