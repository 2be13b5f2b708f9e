"""Which problems meet in an exam: seeded, balanced triples (SPEC section 3). Pure.

The same code composes the frozen exams, training exams and fresh exams. Choices are made by sorting on SHA-256 of
seed and name, so that they do not depend on the Python version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.errors import DataError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS


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
