"""Frozen manifest: the problems of exam version 1 by id and hash, never by text, and how they were chosen (SPEC 3)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from roi_bench.errors import DataError
from roi_bench.exams.exam import EXAM_VERSION, MEDIUM_PERMUTATIONS, POOL_TIERS, Exam, Problem, sha256_text
from roi_bench.exams.pools import pool_fingerprint

# Which problems are put together in an exam: seeded, balanced triples (SPEC section 3). Pure.
#
# The same code composes the frozen exams, training exams and fresh exams. Choices are made by sorting on SHA-256 of
# seed and name, so that they do not depend on the Python version.


@dataclass(frozen=True, slots=True)
class Triple:
    """Names of the three problems of an exam and its medium permutation."""

    easy: str
    middle: str
    hard: str
    medium: str

    @property
    def ids(self) -> tuple[str, str, str]:
        """Problem ids in tier order."""
        return self.easy, self.middle, self.hard


def shuffled(names: Iterable[str], *key: Hashable) -> list[str]:
    """Return ``names`` in a pseudo-random order that depends only on the names and on ``key``."""
    prefix = "/".join(str(part) for part in key)
    return sorted(names, key=lambda name: hashlib.sha256(f"{prefix}/{name}".encode()).digest())


def compose(
    easy: Sequence[str], middle: Mapping[int, Sequence[str]], hard: Sequence[str], *, seed: int, count: int
) -> list[Triple]:
    """Return ``count`` triples; a smaller ``count`` gives a prefix of a larger one.

    The triples come in blocks of ``len(hard)``. In block b the hard problem a (numbered in a seeded order) meets medium
    permutation (a + b) mod 3 and stratum (⌊a/3⌋ + b) mod S of the S middle strata. With 3·S dividing ``len(hard)``, as
    in the 30 problems and 5 MATH levels of version 1, every block is exactly balanced; and since 3 and S = 5 are
    coprime, a hard problem meets all 15 combinations before it meets one again. Easy and middle problems are distinct
    until their pool is used up, then start again in a new order.

    Args:
        easy: Ids of the easy problems.
        middle: Ids of the middle problems by stratum.
        hard: Ids of the hard problems.
        seed: Any integer; another seed gives other triples.
        count: Number of triples.

    Raises:
        DataError: a pool or stratum is empty.
    """
    for name, ids in (("easy", easy), ("hard", hard), *((f"middle, level {level}", middle[level]) for level in middle)):
        if not ids:
            raise DataError(f"no {name} problem is left to compose exams from; check the pool files")
    if not middle:
        raise DataError("no middle problem is left to compose exams from; check the pool files")
    strata = sorted(middle)
    next_easy = _endless(easy, seed, "easy")
    next_middle = {level: _endless(middle[level], seed, "middle", level) for level in strata}
    numbered = shuffled(hard, seed, "hard")
    triples: list[Triple] = []
    block = 0
    while len(triples) < count:
        chosen = {
            name: (
                strata[(number // len(MEDIUM_PERMUTATIONS) + block) % len(strata)],
                MEDIUM_PERMUTATIONS[(number + block) % len(MEDIUM_PERMUTATIONS)],
            )
            for number, name in enumerate(numbered)
        }
        for name in shuffled(hard, seed, "block", block):
            level, medium = chosen[name]
            triples.append(Triple(next(next_easy), next(next_middle[level]), name, medium))
        block += 1
    return triples[:count]


def _endless(names: Sequence[str], *key: Hashable) -> Iterator[str]:
    epoch = 0
    while True:
        yield from shuffled(names, *key, epoch)
        epoch += 1


# The frozen manifest: which problems make exam version 1, by id and hash, never by text (SPEC section 3).
#
# ``data/exams_v1.json`` is built, read, checked and joined with the pools here.

EXAM_COUNT = 480
"""Exams of a full set."""

MANIFEST_FILE = "exams_v1.json"

Pools = Mapping[str, Mapping[str, Problem]]
"""Problems by pool name and id."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The frozen record of one problem: pool, SHA-256 of its canonical question, SHA-256 of its accepted answers."""

    pool: str
    question_sha256: str
    answers_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A frozen exam set.

    Attributes:
        version: Exam version (:data:`roi_bench.exams.exam.EXAM_VERSION`).
        seed: Seed it was built from.
        builder: Version of the building code (:data:`roi_bench.exams.manifest.BUILDER_VERSION`).
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
        DataError: It is not a manifest of this version, or its content does not match its hash.
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
    """Check one problem of a pool against its frozen record.

    Raises:
        DataError: It is missing, or its question or answers changed; the message names problem, pool and both hashes.
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

    Pools that ``pools`` lacks altogether are not checked.
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


# Build the manifest of exam version 1 from the pools and a seed (SPEC section 3): same input, same bytes.

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
        training: Training split of each pool; problems in it are left out.
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
    """Return ``document`` as the text of the frozen file: one problem or exam a line, so that diffs are readable."""
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
    """Return whether a MATH problem is plain text with one answer: no ``[asy]`` figure, one box in its solution."""
    boxes = re.findall(r"\\boxed|\\fbox", problem.solution or "")
    return "[asy]" not in problem.question and len(boxes) == 1


def squeezed_sha256(problem: Problem) -> str:
    """Return the SHA-256 of the question without white space; two MATH test problems are in train except for that."""
    return sha256_text("".join(problem.question.split()))


def training_triples(training: Pools, frozen: Iterable[str], *, seed: int, count: int) -> list[Triple]:
    """Return triples of training problems, composed like those of the manifest.

    Args:
        training: Training split of each pool.
        frozen: Question hashes of the manifest; a problem with one of them is never used.
        seed: Any integer.
        count: Number of triples; a smaller one gives a prefix.

    Raises:
        DataError: A pool or MATH level is empty.
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
