"""Build the manifest of exam version 1 from the pools and a seed (SPEC section 3): same input, same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from roi_bench.errors import DataError
from roi_bench.exams.exam import EXAM_VERSION, POOL_TIERS, Problem, sha256_text
from roi_bench.exams.manifest import EXAM_COUNT, Pools, answers_sha256, content_sha256
from roi_bench.exams.pools import pool_fingerprint
from roi_bench.exams.triples import Triple, compose

BUILDER_VERSION = 1
"""Version of this code's choices; raised when the same pools and seed would give another manifest."""

MANIFEST_SEED = 20260108
"""Seed of the frozen manifest."""

LEVELS = (1, 2, 3, 4, 5)
"""MATH levels, each in equal shares."""

AIME_COUNT = 30


def build_manifest(evaluation: Pools, training: Pools, seed: int = MANIFEST_SEED) -> dict[str, Any]:
    """Return the manifest document of ``seed``.

    Args:
        evaluation: Evaluation split of each pool.
        training: Training split of each pool; what stands there is left out.
        seed: Any integer.

    Raises:
        DataError: the pools cannot give 480 balanced exams.
    """
    seen = {squeezed_sha256(problem) for pool in training.values() for problem in pool.values()}
    unseen = {
        name: [problem for problem in evaluation[name].values() if squeezed_sha256(problem) not in seen]
        for name in POOL_TIERS
    }
    middle = {level: [item.id for item in unseen["math"] if item.level == level and usable(item)] for level in LEVELS}
    easy, hard = ([problem.id for problem in unseen[name]] for name in ("gsm8k", "aime"))
    _check_sizes(len(easy), {level: len(ids) for level, ids in middle.items()}, len(hard))
    triples = compose(easy, middle, hard, seed=seed, count=EXAM_COUNT)
    used = {name: sorted({triple.ids[index] for triple in triples}) for index, name in enumerate(POOL_TIERS)}
    document: dict[str, Any] = {
        "version": EXAM_VERSION,
        "seed": seed,
        "builder": BUILDER_VERSION,
        "pools": {
            f"{name}/{split}": [len(pools[name]), pool_fingerprint(pools[name])]
            for split, pools in (("evaluation", evaluation), ("training", training))
            for name in POOL_TIERS
        },
        "problems": {
            key: [name, evaluation[name][key].sha256, answers_sha256(evaluation[name][key])]
            for name, keys in used.items()
            for key in keys
        },
        "exams": [[f"v{EXAM_VERSION}/{index:03d}", *triple.ids, triple.medium] for index, triple in enumerate(triples)],
    }
    return {**document, "sha256": content_sha256(document)}


def manifest_text(document: Mapping[str, Any]) -> str:
    """Return ``document`` as the text of the frozen file: one problem and one exam a line, to be readable as a diff."""
    lines = []
    for key, value in document.items():
        if key == "problems":
            rows = ",\n".join(f"  {_json(name)}: {_json(fields)}" for name, fields in value.items())
            lines.append(f" {_json(key)}: {{\n{rows}\n }}")
        elif key == "exams":
            rows = ",\n".join(f"  {_json(fields)}" for fields in value)
            lines.append(f" {_json(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {_json(key)}: {_json(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def usable(problem: Problem) -> bool:
    """Return whether a MATH problem is one text with one answer: no ``[asy]`` figure, one box in its solution."""
    boxes = re.findall(r"\\boxed|\\fbox", problem.solution or "")
    return "[asy]" not in problem.question and len(boxes) == 1


def squeezed_sha256(problem: Problem) -> str:
    """Return the SHA-256 of the question without white space: two MATH test problems stand in train so."""
    return sha256_text("".join(problem.question.split()))


def training_triples(training: Pools, frozen: Iterable[str], *, seed: int, count: int) -> list[Triple]:
    """Return triples of training problems, composed as the manifest's.

    Args:
        training: Training split of each pool.
        frozen: Question hashes of the manifest; a problem with one of them is never used.
        seed: Any integer.
        count: Number of triples; a smaller one gives a prefix.

    Raises:
        DataError: a pool or MATH level is empty.
    """
    forbidden = frozenset(frozen)
    kept = {name: [item for item in training[name].values() if item.sha256 not in forbidden] for name in POOL_TIERS}
    middle = {level: [item.id for item in kept["math"] if item.level == level and usable(item)] for level in LEVELS}
    easy, hard = ([problem.id for problem in kept[name]] for name in ("gsm8k", "aime"))
    return compose(easy, middle, hard, seed=seed, count=count)


def _check_sizes(easy: int, middle: Mapping[int, int], hard: int) -> None:
    share = EXAM_COUNT // len(LEVELS)
    if hard != AIME_COUNT:
        raise DataError(
            f"the aime pool offers {hard} problems, exam version {EXAM_VERSION} needs {AIME_COUNT}; fetch it again"
        )
    if easy < EXAM_COUNT:
        raise DataError(f"the gsm8k pool offers {easy} problems, {EXAM_COUNT} are needed; fetch it again")
    for level, count in middle.items():
        if count < share:
            raise DataError(
                f"the math pool offers {count} problems of level {level}, {share} are needed; fetch it again"
            )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)
