"""Fresh exams: generated, hence uncontaminated; a new seed is a new set (SPEC section 3).

An item is a function of (seed, tier, index) alone. Its answer is computed twice: by reasoning-gym and by
:mod:`exams.fresh_solutions`; an item on which they differ is an error. What seed 0 gives is frozen as a hash, so
that another generator version that gives other exams under the same names is found out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata, resources
from random import Random
from typing import Any

from roi_bench.errors import DataError, DependencyError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, Exam, Problem, canonical_text, sha256_text
from roi_bench.exams.fresh_families import FAMILIES, Family
from roi_bench.exams.manifest import EXAM_COUNT
from roi_bench.exams.triples import shuffled

BLOCK = 30
"""Exams in which every family stands in equal shares and every medium permutation as often."""

FROZEN_FILE = "fresh_frozen.json"

_ATTEMPTS = 1000


def fresh_exams(seed: int, count: int = EXAM_COUNT) -> tuple[Exam, ...]:
    """Return the exams ``fresh/<seed>/000`` …; a smaller ``count`` gives a prefix.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: it generates other problems than the version the exams were frozen with, or a wrong answer.
    """
    _check_frozen()
    return _compose(seed, count)


def fresh_problem(seed: int, tier: str, index: int, family: int) -> Problem:
    """Return one generated problem ``fresh/<seed>/<tier>/<index>`` of the tier's ``family``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: generator and worked solution disagree about the answer.
    """
    name = f"fresh/{seed}/{tier}/{index}"
    chosen = FAMILIES[tier][family]
    return checked_problem(name, tier, chosen, generate(chosen, name))


def checked_problem(name: str, tier: str, family: Family, entry: Mapping[str, Any]) -> Problem:
    """Return the generated ``entry`` as the problem ``name``.

    Raises:
        DataError: generator and worked solution disagree about the answer.
    """
    steps, answer = family.solve(entry["metadata"])
    if answer != family.gold(entry):
        raise DataError(
            f"{name}: {family.dataset} of reasoning-gym {_installed()} says {family.gold(entry)}, the worked solution "
            f"{answer}; pip install reasoning-gym=={_frozen()['reasoning_gym']}"
        )
    return Problem(
        id=name,
        pool=f"fresh-{tier}",
        question=canonical_text(family.question(entry["metadata"])),
        answer=str(answer),
        solution="\n".join(steps),
    )


def exams_sha256(exams: tuple[Exam, ...]) -> str:
    """Return the SHA-256 over ids, questions, answers and medium permutations of ``exams``."""
    rows = [[exam.id, exam.medium, *([item.id, item.sha256, item.answer] for item in exam.problems)] for exam in exams]
    return sha256_text(json.dumps(rows, separators=(",", ":")))


@lru_cache(maxsize=1)
def _check_frozen() -> None:
    check_generator(_frozen())


def check_generator(frozen: Mapping[str, str]) -> None:
    """Check that the installed reasoning-gym generates seed 0 as it was frozen.

    Args:
        frozen: ``reasoning_gym``, the version it was frozen with, and ``seed_0_sha256``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: it generates something else.
    """
    actual = exams_sha256(_compose(0, EXAM_COUNT))
    if actual != frozen["seed_0_sha256"]:
        raise DataError(
            f"reasoning-gym {_installed()} generates other fresh exams (seed 0: sha256 {actual}) than "
            f"reasoning-gym {frozen['reasoning_gym']}, which they were frozen with ({frozen['seed_0_sha256']}); "
            f"pip install reasoning-gym=={frozen['reasoning_gym']}"
        )


def freeze() -> str:
    """Return the text of ``data/fresh_frozen.json`` for the installed reasoning-gym."""
    document = {"reasoning_gym": _installed(), "seed_0_sha256": exams_sha256(_compose(0, EXAM_COUNT))}
    return json.dumps(document, indent=1) + "\n"


@lru_cache(maxsize=2)
def _compose(seed: int, count: int) -> tuple[Exam, ...]:
    """Place the families: in block b, cell j = 5q + r takes hard r, middle r+q+b, easy r+2q+3b and permutation q+b.

    With five families a tier, every family stands six times in a block and every permutation ten times, and within a
    block a hard family meets every middle family.
    """
    exams: list[Exam] = []
    while len(exams) < count:
        block = len(exams) // BLOCK
        for cell in shuffled([f"{cell:02d}" for cell in range(BLOCK)], "fresh", seed, block):
            index = len(exams)
            q, r = divmod(int(cell), 5)
            places = {"easy": r + 2 * q + 3 * block, "middle": r + q + block, "hard": r}
            easy, middle, hard = (fresh_problem(seed, tier, index, places[tier] % 5) for tier in TIERS)
            name = f"fresh/{seed}/{index:03d}"
            medium = MEDIUM_PERMUTATIONS[(q + block) % len(MEDIUM_PERMUTATIONS)]
            exams.append(Exam(id=name, problems=(easy, middle, hard), medium=medium, cluster=name))
    return tuple(exams[:count])


def generate(family: Family, name: str) -> dict[str, Any]:
    """Return the reasoning-gym entry of the item ``name``: ``question``, ``answer`` and ``metadata``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: it does not work as the version the exams were frozen with.
    """
    try:
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise DependencyError(
            f"fresh exams need reasoning-gym ({error}); pip install 'reasoning-gym>=0.1.25,<0.2'"
        ) from None
    random = Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    config = {**family.config, **(family.draw(random) if family.draw else {})}
    try:
        dataset = create_dataset(family.dataset, seed=random.getrandbits(32), size=_ATTEMPTS, **config)
        for attempt in range(_ATTEMPTS):
            entry: dict[str, Any] = dataset[attempt]
            if family.accept is None or family.accept(entry["metadata"]):
                return entry
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: {family.dataset} of reasoning-gym {_installed()} does not work as it did "
            f"({type(error).__name__}: {error}); pip install reasoning-gym=={_frozen()['reasoning_gym']}"
        ) from error
    raise DataError(
        f"{name}: none of {_ATTEMPTS} items of {family.dataset} of reasoning-gym {_installed()} has the wanted size; "
        f"pip install reasoning-gym=={_frozen()['reasoning_gym']}"
    )


def _frozen() -> dict[str, str]:
    text = (resources.files("roi_bench") / "data" / FROZEN_FILE).read_text(encoding="utf-8")
    frozen: dict[str, str] = json.loads(text)
    return frozen


def _installed() -> str:
    return metadata.version("reasoning-gym")
