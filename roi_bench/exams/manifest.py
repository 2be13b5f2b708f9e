"""The frozen manifest: which problems make exam version 1, by id and hash, never by text (SPEC section 3).

``data/exams_v1.json`` is built by :mod:`exams.manifest_build` and read, checked and joined with the pools here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from roi_bench.errors import DataError
from roi_bench.exams.exam import EXAM_VERSION, MEDIUM_PERMUTATIONS, POOL_TIERS, Exam, Problem, sha256_text
from roi_bench.exams.triples import Triple

EXAM_COUNT = 480
"""Exams of a full set."""

MANIFEST_FILE = "exams_v1.json"

Pools = Mapping[str, Mapping[str, Problem]]
"""Problems by pool name and id."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is frozen of one problem: pool, SHA-256 of its canonical question, SHA-256 of its accepted answers."""

    pool: str
    question_sha256: str
    answers_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A frozen exam set.

    Attributes:
        version: Exam version (:data:`roi_bench.exams.exam.EXAM_VERSION`).
        seed: Seed it was built from.
        builder: Version of the building code (:data:`roi_bench.exams.manifest_build.BUILDER_VERSION`).
        problems: Every problem used, by id.
        triples: Triple of each exam by exam id, in exam order.
        pools: Fingerprint of each whole pool file as ``pool/split`` → (number of problems, SHA-256).
    """

    version: int
    seed: int
    builder: int
    problems: Mapping[str, Frozen]
    triples: Mapping[str, Triple]
    pools: Mapping[str, tuple[int, str]]


def answers_sha256(problem: Problem) -> str:
    """Return the SHA-256 of the accepted answers of ``problem``."""
    return sha256_text(json.dumps(problem.answers, ensure_ascii=True))


def content_sha256(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest document without its own ``sha256`` field."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    return sha256_text(json.dumps(content, sort_keys=True, separators=(",", ":")))


@lru_cache(maxsize=1)
def load_manifest() -> Manifest:
    """Return the manifest that is frozen in the package.

    Raises:
        DataError: the file is missing or altered.
    """
    try:
        text = (resources.files("roi_bench") / "data" / MANIFEST_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"the manifest {MANIFEST_FILE} cannot be read ({error}); reinstall roi-bench") from None
    return parse_manifest(text, MANIFEST_FILE)


def parse_manifest(text: str, where: str) -> Manifest:
    """Return the manifest written in ``text``; ``where`` names it in messages.

    Raises:
        DataError: it is no manifest of this version, or its content hash is not its own.
    """
    try:
        document = json.loads(text)
        recorded, actual = document["sha256"], content_sha256(document)
        if recorded != actual:
            raise DataError(
                f"{where}: content hash is {actual}, recorded is {recorded}: it was altered; reinstall roi-bench"
            )
        manifest = Manifest(
            version=document["version"],
            seed=document["seed"],
            builder=document["builder"],
            problems={key: Frozen(*fields) for key, fields in document["problems"].items()},
            triples={key: Triple(*fields) for key, *fields in document["exams"]},
            pools={key: (count, digest) for key, (count, digest) in document["pools"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: no exam manifest ({type(error).__name__}: {error}); build it again") from None
    if manifest.version != EXAM_VERSION:
        raise DataError(
            f"{where}: exam version {manifest.version}, this roi-bench has version {EXAM_VERSION}; "
            "results of two versions are never mixed, install the matching release"
        )
    if unknown := {triple.medium for triple in manifest.triples.values()} - set(MEDIUM_PERMUTATIONS):
        raise DataError(f"{where}: medium permutation {min(unknown)!r} is none of {', '.join(MEDIUM_PERMUTATIONS)}")
    return manifest


def check_problem(identifier: str, frozen: Frozen, problem: Problem | None) -> None:
    """Check one problem of a pool against what is frozen of it.

    Raises:
        DataError: it is missing, or its question or answers changed; names problem, pool and both hashes.
    """
    if problem is None:
        raise DataError(
            f"problem {identifier} is missing from the {frozen.pool} pool "
            f"(frozen question sha256 {frozen.question_sha256}, found none); fetch the pool again"
        )
    for what, expected, actual in (
        ("question", frozen.question_sha256, problem.sha256),
        ("answers", frozen.answers_sha256, answers_sha256(problem)),
    ):
        if expected != actual:
            raise DataError(
                f"problem {identifier} of the {frozen.pool} pool has changed: {what} sha256 is {actual}, "
                f"frozen is {expected}; fetch the pool again (roi-bench exams verify lists all differences)"
            )


def differences(manifest: Manifest, pools: Pools) -> list[str]:
    """Return the message of every problem of ``manifest`` that is missing from its pool in ``pools`` or changed there.

    Problems of a pool that does not stand in ``pools`` at all are not looked at.
    """
    found: list[str] = []
    for identifier, frozen in manifest.problems.items():
        if frozen.pool not in pools:
            continue
        try:
            check_problem(identifier, frozen, pools[frozen.pool].get(identifier))
        except DataError as error:
            found.append(str(error))
    return found


def manifest_exams(manifest: Manifest, pools: Pools) -> tuple[Exam, ...]:
    """Return the exams of ``manifest`` with the problems of ``pools`` (evaluation splits), every hash checked.

    Raises:
        DataError: a problem is missing or changed.
    """
    for identifier, frozen in manifest.problems.items():
        check_problem(identifier, frozen, pools.get(frozen.pool, {}).get(identifier))
    return tuple(exam_of(identifier, triple, pools) for identifier, triple in manifest.triples.items())


def exam_of(identifier: str, triple: Triple, pools: Pools) -> Exam:
    """Return the exam of ``triple`` from the three real pools, clustered by its AIME problem."""
    easy, middle, hard = (pools[pool][name] for pool, name in zip(POOL_TIERS, triple.ids, strict=True))
    return Exam(id=identifier, problems=(easy, middle, hard), medium=triple.medium, cluster=triple.hard)
