"""What may be trained on: problems, exams, exams held out to watch the training; never an evaluation problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from roi_bench.errors import DataError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, Exam, Problem, sha256_text
from roi_bench.reference_training.recipe import Family, Recipe, TierCounts
from roi_bench.scoring.prompts import PROBLEMS, PROMPTS, Message

HELD_OUT_SHARE = 10
"""One training question in so many, by hash, is never trained on: held-out exams are made of these."""

MFT_STREAM, RARL_STREAM, HELD_OUT_STREAM = 1, 2, 3
"""Three seeds out of one, so that stages of one run draw different problems (where a pool is large enough)."""


def stream_seed(seed: int, stream: int) -> int:
    """Return the seed of one stream of a run."""
    return 10 * seed + stream


def is_held_out(question: str) -> bool:
    """Tell whether a training question is kept for held-out exams."""
    return int(sha256_text(question)[8:16], 16) % HELD_OUT_SHARE == 0


def sampled_problems(family: Family, counts: TierCounts, seed: int) -> dict[str, list[Problem]]:
    """Return distinct problems to sample solutions of, by tier; a pool with fewer gives all it has.

    Raises:
        DataError: A training pool is missing or damaged.
    """
    if family == "tiny":
        return {tier: list(islice(_tiny_stream(seed, tier, False), counts[tier])) for tier in TIERS}
    from roi_bench.exams.triples import shuffled

    pools = _real_pools(held_out=False)
    found = {}
    for tier, pool in zip(TIERS, pools.values(), strict=True):
        order = shuffled(pool, "roi-bench mft", seed, tier)
        found[tier] = [pool[key] for key in order[: counts[tier]]]
    return found


def exam_stream(family: Family, seed: int, *, held_out: bool = False) -> Iterator[Exam]:
    """Yield training exams without end, all of held-out problems or none.

    Raises:
        DataError: A training pool is missing or damaged.
    """
    kind = "held-out" if held_out else "train"
    if family == "tiny":
        streams = [_tiny_stream(seed, tier, held_out) for tier in TIERS]
        for index, (easy, middle, hard) in enumerate(zip(*streams, strict=True)):
            name = f"{kind}/tiny/{seed}/{index:05d}"
            yield Exam(name, (easy, middle, hard), MEDIUM_PERMUTATIONS[index % len(MEDIUM_PERMUTATIONS)], name)
    from roi_bench.exams.manifest import exam_of, load_manifest
    from roi_bench.exams.manifest_build import training_triples

    pools = _real_pools(held_out)
    frozen = [problem.question_sha256 for problem in load_manifest().problems.values()]
    count = 480
    start = 0
    while True:  # a smaller count gives a prefix of a larger one
        triples = training_triples(pools, frozen, seed=seed, count=count)
        for index in range(start, count):
            yield exam_of(f"{kind}/{seed}/{index:05d}", triples[index], pools)
        start, count = count, 2 * count


def held_out_exams(recipe: Recipe, count: int) -> tuple[Exam, ...]:
    """Return ``count`` exams of held-out training problems."""
    seed = stream_seed(recipe.seed, HELD_OUT_STREAM)
    return tuple(islice(exam_stream(recipe.family, seed, held_out=True), count))


def refuse_evaluation_questions(questions: Iterable[str], family: Family) -> None:
    """Raise an error if one of ``questions`` belongs to an evaluation set.

    Raises:
        DataError: One does; the message names it by hash.
    """
    for question in questions:
        if family == "tiny":
            from roi_bench.exams.tiny import is_evaluation_question

            evaluated = is_evaluation_question(question)
        else:
            evaluated = sha256_text(question) in _frozen_hashes()
        if evaluated:
            raise DataError(
                f"the training data hold an evaluation problem (question SHA-256 {sha256_text(question)[:16]}…); a "
                "model trained on it could not be judged. Take it out, or build the data again with roi-bench train mft"
            )


def questions_of(messages: Sequence[Message]) -> list[str]:
    """Return the questions in a prompt of the benchmark; none of other messages."""
    asked = messages[-1]["content"] if messages else ""
    for form in PROMPTS.values():
        before, after = (_pattern(part) for part in form.user.split(PROBLEMS))
        header = re.escape(form.header).replace(re.escape("{k}"), "[1-9]")
        found = re.fullmatch(rf"{before}({header}\n.*){after}", asked, re.DOTALL)
        if found is not None:
            starts = [(match.start(), match.end()) for match in re.finditer(rf"(?:\A|\n\n){header}\n", found[1])]
            ends = [*(start for start, _ in starts[1:]), len(found[1])]
            return [found[1][start:end] for (_, start), end in zip(starts, ends, strict=True)]
    return []


@lru_cache(maxsize=32)
def _pattern(template: str) -> str:
    """Return the regular expression of a part of a template; any number stands for its numbers."""
    pieces = re.split(r"\{(?:budget|level_\d)\}", template)
    return "[0-9]+".join(re.escape(piece.format()) for piece in pieces)


def _frozen_hashes() -> frozenset[str]:
    from roi_bench.exams.manifest import load_manifest

    return frozenset(problem.question_sha256 for problem in load_manifest().problems.values())


def _tiny_stream(seed: int, tier: str, held_out: bool) -> Iterator[Problem]:
    from roi_bench.exams.tiny import tiny_problem

    taken: set[str] = set()
    index = 0
    while True:
        problem = tiny_problem(seed, tier, index, "training", taken)
        index += 1
        taken.add(problem.question)
        if is_held_out(problem.question) == held_out:
            yield problem


def _real_pools(held_out: bool) -> dict[str, dict[str, Problem]]:
    """Return the training pools of GSM8K, MATH and AIME without problems that cannot be used or were frozen."""
    from roi_bench.exams.exam import POOL_TIERS
    from roi_bench.exams.manifest_build import usable
    from roi_bench.exams.pools import load_pool, resolve_source

    frozen, source = _frozen_hashes(), resolve_source()
    pools = {}
    for pool in POOL_TIERS:
        problems = load_pool(pool, "training", source)
        pools[pool] = {
            key: problem
            for key, problem in problems.items()
            if problem.sha256 not in frozen
            and is_held_out(problem.question) == held_out
            and (pool != "math" or usable(problem))
        }
        if not pools[pool]:
            raise DataError(f"no training problem of pool {pool!r} is left; check the pool files")
    return pools
