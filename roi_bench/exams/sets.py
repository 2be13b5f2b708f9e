"""Exam sets by name: ``v1``, ``fresh``, ``tiny``, and training exams (SPEC section 3)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import POOL_TIERS, Exam, Problem
from roi_bench.exams.manifest import EXAM_COUNT, exam_of, load_manifest, manifest_exams
from roi_bench.exams.pools import load_pool, resolve_source

EXAM_SETS = ("v1", "fresh", "tiny")
"""Evaluation sets of 480 exams; every prefix of 30·k exams of a set is balanced."""


def load_exams(exam_set: str, *, seed: int = 0, source: str | Path | None = None) -> tuple[Exam, ...]:
    """Return the 480 exams of a set, every hash checked.

    Args:
        exam_set: ``v1`` (frozen, real problems), ``fresh`` (generated) or ``tiny`` (generated, scaled down).
        seed: Seed of a generated set; ``v1`` is frozen and has no seed.
        source: Where ``v1`` reads its pools: ``hub`` or a folder; by default ``ROI_BENCH_DATA_DIR``, else the hub.

    Raises:
        UsageError: unknown set, or a seed for ``v1``.
        DataError: A problem is missing, altered, or differs from the one that was frozen.
    """
    if exam_set not in EXAM_SETS:
        raise UsageError(f"unknown exam set {exam_set!r}; {nearest(exam_set, EXAM_SETS)}")
    if exam_set == "v1":
        if seed != 0:
            raise UsageError(f"exam set 'v1' is frozen and takes no seed, given {seed}; use 'fresh' for new exams")
        return _frozen_exams(resolve_source(source))
    return _generated_exams(exam_set, seed)


def training_exams(seed: int, count: int = EXAM_COUNT, *, source: str | Path | None = None) -> tuple[Exam, ...]:
    """Return ``count`` exams ``train/<seed>/000`` … of the training pools, none with a problem of the manifest.

    A smaller ``count`` gives a prefix. Problems are distinct until their pool is used up.

    Raises:
        DataError: a training pool is missing or damaged.
    """
    from roi_bench.exams.manifest import training_triples

    pools = _pools("training", resolve_source(source))
    frozen = [problem.question_sha256 for problem in load_manifest().problems.values()]
    triples = training_triples(pools, frozen, seed=seed, count=count)
    return tuple(exam_of(f"train/{seed}/{index:03d}", triple, pools) for index, triple in enumerate(triples))


def find_exam(identifier: str, *, source: str | Path | None = None) -> Exam:
    """Return the exam of any id: ``v1/017``, ``fresh/<seed>/003``, ``tiny/<seed>/012`` or ``train/<seed>/000``.

    Raises:
        UsageError: no exam has this id.
        DataError: see :func:`load_exams`.
    """
    match = re.fullmatch(r"v1/(\d{3})|(fresh|tiny|train)/(-?\d{1,18})/(\d{3,5})", identifier, re.ASCII)
    if match is None:
        raise UsageError(
            f"unknown exam {identifier!r:.80}; ids are v1/000, fresh/SEED/000, tiny/SEED/000 or train/SEED/000"
        )
    exam_set, index = match[2] or "v1", int(match[1] or match[4])
    if exam_set == "train":
        exams = training_exams(int(match[3]), index + 1, source=source)
    else:
        exams = load_exams(exam_set, seed=int(match[3] or 0), source=source)
    if index >= len(exams) or exams[index].id != identifier:
        raise UsageError(f"unknown exam {identifier!r}; the set {exam_set!r} goes from {exams[0].id} to {exams[-1].id}")
    return exams[index]


def _pools(split: str, source: str) -> dict[str, dict[str, Problem]]:
    return {pool: load_pool(pool, split, source) for pool in POOL_TIERS}


@lru_cache(maxsize=4)
def _frozen_exams(source: str) -> tuple[Exam, ...]:
    return manifest_exams(load_manifest(), _pools("evaluation", source))


@lru_cache(maxsize=4)
def _generated_exams(exam_set: str, seed: int) -> tuple[Exam, ...]:
    if exam_set == "fresh":
        from roi_bench.exams.fresh import fresh_exams

        return fresh_exams(seed)
    from roi_bench.exams.tiny import tiny_exams

    return tiny_exams(seed, EXAM_COUNT)
