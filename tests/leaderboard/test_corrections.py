"""Corrections and copies: what stands, what left the tables, what is refused, in whatever order it is found."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.leaderboard.board.build import settle
from tests.leaderboard.invented_board import MAIN, invented_prints, invented_submission
from tests.support.messages import missing

PLAIN = invented_submission(0, exams=6, cells=(MAIN,))


def submission(name, *, date="2026-01-01", model="A/model", replaces=None, responses=None):
    """Return a graded submission called ``name``; ``responses``: what its responses follow from."""
    runs = tuple(replace(run, fingerprints=invented_prints(6, responses or name)) for run in PLAIN.runs)
    metadata = replace(PLAIN.submission.metadata, date=date, model=model)
    changed = replace(PLAIN.submission, id=name, metadata=metadata, replaces=replaces)
    return replace(PLAIN, submission=changed, content=name, runs=runs, remarks=())


EVERY = frozenset("abcdefg")


def settled(*graded, confirmed=EVERY):
    """Return names that stand, corrections, and reasons by refused name; the same for every order of arrival."""
    found = []
    for order in permutations(graded):
        standing, corrections = settle(order, confirmed)
        names = sorted(one.submission.id for one in standing)
        assert names == sorted(corrections.standing)
        found.append((names, dict(corrections.replaced), dict(corrections.refused)))
    assert all(one == found[0] for one in found)
    return found[0]


def test_a_chain_of_corrections_leaves_the_last_one_in_the_tables():
    standing, replaced, refused = settled(
        submission("a", date="2026-01-01"),
        submission("b", date="2026-02-01", replaces="a"),
        submission("c", date="2026-02-01", replaces="b"),
    )
    assert (standing, replaced, refused) == (["a", "b", "c"], {"a": "b", "b": "c"}, {})


def test_a_correction_may_keep_the_responses():
    standing, _, refused = settled(
        submission("a", responses="same"),
        submission("b", replaces="a", responses="same"),
        submission("c", replaces="b", responses="same"),
    )
    assert (standing, refused) == (["a", "b", "c"], {})


@pytest.mark.parametrize(
    ("correction", "facts"),
    [
        ({"replaces": "gone"}, ["corrects gone"]),
        ({"replaces": "a", "model": "B/model"}, ["corrects a", "'A/model'", "'B/model'"]),
        ({"replaces": "a", "date": "2025-12-31"}, ["corrects a", "2026-01-01", "2025-12-31"]),
        ({"replaces": "b"}, ["corrects b", "circle"]),
    ],
    ids=["unknown", "other model", "younger", "itself"],
)
def test_a_correction_of_what_it_cannot_correct_is_refused(correction, facts):
    standing, replaced, refused = settled(submission("a"), submission("b", **correction))
    assert (standing, replaced, list(refused)) == (["a"], {}, ["b"])
    assert missing(facts, refused["b"]) == []


def test_of_two_corrections_of_one_submission_neither_counts_whatever_their_dates():
    standing, replaced, refused = settled(
        submission("a"),
        submission("b", date="2026-03-01", replaces="a"),
        submission("c", date="2026-02-01", replaces="a"),
        submission("d", date="2026-04-01", replaces="b"),
    )
    assert (standing, replaced, sorted(refused)) == (["a"], {}, ["b", "c", "d"])
    assert missing(["corrects a", "c"], refused["b"]) == []
    assert missing(["corrects a", "b"], refused["c"]) == []
    assert missing(["corrects b", "`replaces`"], refused["d"]) == []


def test_a_correction_without_the_word_of_the_old_contact_takes_no_row():
    pair = submission("a"), submission("b", replaces="a")
    _, corrections = settle(pair, ())
    assert (corrections.replaced, corrections.awaiting) == ({}, {"b"})
    _, corrections = settle(pair, {"b"})
    assert (corrections.replaced, corrections.awaiting) == ({"a": "b"}, set())


def test_what_corrects_an_unconfirmed_correction_awaits_the_word_too():
    chain = submission("a"), submission("b", replaces="a"), submission("c", replaces="b")
    _, corrections = settle(chain, {"c"})
    assert (corrections.replaced, corrections.awaiting) == ({}, {"b", "c"})


def test_a_confirmed_correction_is_kept_from_nobody_by_rivals():
    rivals = submission("a"), submission("b", replaces="a"), submission("c", replaces="a")
    assert settled(*rivals, confirmed={"b"}) == (
        ["a", "b"],
        {"a": "b"},
        {"c": "corrects a, as b does; the board's maintainers keep one of them"},
    )


def test_a_correction_that_cannot_count_is_no_rival():
    standing, replaced, refused = settled(
        submission("a"), submission("b", replaces="a"), submission("c", model="C/model", replaces="a")
    )
    assert (standing, replaced, list(refused)) == (["a", "b"], {"a": "b"}, ["c"])


def test_a_circle_is_refused_and_so_is_what_hangs_on_it():
    standing, replaced, refused = settled(
        submission("a", replaces="b"), submission("b", replaces="a"), submission("c", replaces="b"), submission("d")
    )
    assert (standing, replaced, sorted(refused)) == (["d"], {}, ["a", "b", "c"])


def test_what_corrects_a_refused_submission_is_refused():
    standing, _, refused = settled(
        submission("a", replaces="gone"), submission("b", replaces="a"), submission("c", replaces="b")
    )
    assert standing == []
    assert missing(["corrects a"], refused["b"]) == []
    assert missing(["corrects b"], refused["c"]) == []


def remarks_of(*graded):
    """Return the remarks on responses by id; the same for every order of arrival."""
    found = []
    for order in permutations(graded):
        standing, corrections = settle(order, EVERY)
        assert corrections.refused == {}
        found.append({one.submission.id: [(r.rule, r.text) for r in one.remarks] for one in standing})
    assert all(one == found[0] for one in found)
    return found[0]


def test_what_a_correction_keeps_is_no_copy():
    found = remarks_of(
        submission("a", responses="same"),
        submission("b", replaces="a", responses="same"),
        submission("c", replaces="b", responses="same"),
    )
    assert found == {"a": [], "b": [], "c": []}


names = st.sampled_from("abcdef")


@given(st.lists(st.tuples(names, st.none() | names, st.integers(1, 3)), max_size=6, unique_by=lambda row: row[0]))
def test_every_submission_stands_or_is_refused_and_corrections_are_chains(rows):
    graded = [submission(name, replaces=target, date=f"2026-01-0{day}") for name, target, day in rows]
    standing, corrections = settle(graded, EVERY)
    accepted, replaced = {one.submission.id: one.submission for one in standing}, corrections.replaced
    assert sorted([*accepted, *corrections.refused]) == sorted(name for name, _, _ in rows)
    assert {old: new for new, s in accepted.items() if (old := s.replaces)} == replaced
    assert corrections.awaiting == set()
    nobody = settle(graded, ())[1]
    assert nobody.standing == corrections.standing
    assert (nobody.replaced, nobody.awaiting) == ({}, {name for name, one in accepted.items() if one.replaces})
    assert len(set(replaced.values())) == len(replaced)
    for name in accepted:
        seen = [name]
        while (following := replaced.get(seen[-1])) is not None:
            assert following not in seen
            seen.append(following)
