"""Composition of triples: seeded, distinct, balanced in every prefix."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import DataError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS
from roi_bench.exams.manifest import compose, shuffled
from tests.support.messages import shows

EASY = [f"e{index}" for index in range(500)]
MIDDLE = {level: [f"m{level}/{index}" for index in range(100)] for level in range(1, 6)}
HARD = [f"h{index}" for index in range(30)]


def triples(seed=1, count=480):
    return compose(EASY, MIDDLE, HARD, seed=seed, count=count)


@given(st.integers())
def test_every_prefix_of_whole_blocks_is_balanced(seed):
    found = triples(seed)
    for k in range(1, 17):
        prefix = found[: 30 * k]
        assert set(Counter(triple.hard for triple in prefix).values()) == {k}
        assert Counter(triple.medium for triple in prefix) == dict.fromkeys(MEDIUM_PERMUTATIONS, 10 * k)
        assert Counter(triple.middle[1] for triple in prefix) == dict.fromkeys("12345", 6 * k)
    assert len({triple.easy for triple in found}) == 480
    assert len({triple.middle for triple in found}) == 480


def test_a_hard_problem_meets_all_combinations_before_one_comes_again():
    met = Counter((triple.hard, triple.medium, triple.middle[1]) for triple in triples(count=15 * 30))
    assert len(met) == 30 * 3 * 5
    assert set(met.values()) == {1}


def test_a_smaller_count_is_a_prefix_and_another_seed_another_set():
    assert triples(count=100) == triples()[:100]
    assert triples(seed=2) != triples(seed=1)


def test_a_used_up_pool_starts_again_in_a_new_order():
    found = compose(EASY[:10], {1: ["m"]}, HARD[:3], seed=0, count=30)
    orders = [[triple.easy for triple in found[start : start + 10]] for start in (0, 10, 20)]
    assert [sorted(order) for order in orders] == [sorted(EASY[:10])] * 3
    assert orders[0] != orders[1]


def test_an_order_depends_on_names_and_key_only():
    by_hash = sorted("abcdefgh", key=lambda name: hashlib.sha256(f"1/x/{name}".encode()).hexdigest())
    assert shuffled("abcdefgh", 1, "x") == shuffled("hgfedcba", 1, "x") == by_hash
    assert shuffled("abcdefgh", 2, "x") != shuffled("abcdefgh", 1, "x")


@pytest.mark.parametrize(
    ("easy", "middle", "hard", "facts"),
    [
        ([], MIDDLE, HARD, ["easy"]),
        (EASY, {1: ["m"], 2: []}, HARD, ["middle", "level 2"]),
        (EASY, {}, HARD, ["middle"]),
        (EASY, MIDDLE, [], ["hard"]),
    ],
)
def test_an_empty_pool_is_an_error(easy, middle, hard, facts):
    with pytest.raises(DataError, match=shows(*facts)):
        compose(easy, middle, hard, seed=0, count=1)
