"""Token shares, levels and the budget rule."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.tokens import Usage, is_over_budget, level_of, retokenized_usage, token_shares


@pytest.mark.parametrize(
    ("tokens", "level"), [(0, 0), (256, 0), (257, 1), (512, 1), (513, 2), (1024, 2), (1025, 3), (10**6, 3)]
)
def test_level_bounds_are_inclusive(tokens: int, level: int) -> None:
    assert level_of(tokens) == level


@pytest.mark.parametrize(
    ("tokens", "source", "over"),
    [
        (512, "generated", False),
        (513, "generated", True),
        (513, "provider", True),
        (530, "retokenized", False),  # 512 + 2 % (10) + 8
        (531, "retokenized", True),
    ],
)
def test_only_recounted_text_gets_slack(tokens: int, source: str, over: bool) -> None:
    assert is_over_budget(Usage(tokens, None, source), 512) is over  # type: ignore[arg-type]


@pytest.mark.parametrize(("tokens", "reason"), [(512, "length"), (502, "length"), (501, "stop"), (0, "stop")])
def test_recounted_text_within_two_percent_of_the_budget_was_cut(tokens: int, reason: str) -> None:
    assert retokenized_usage(tokens, 512).finish_reason == reason


def test_shares_by_hand() -> None:
    starts = [0, 4, 10, 12, 20, 25]
    spans = [(10, 20), (20, 30), (30, 30)]
    assert token_shares(starts, spans, None) == (2, (2, 2, 0))
    # one unseen end-of-sequence token goes to the last problem reached
    assert token_shares(starts, spans, Usage(7, "stop", "generated")) == (2, (2, 3, 0))
    # reasoning that the backend stripped from the text is overhead, not the last problem's work
    assert token_shares(starts, spans, Usage(407, "stop", "generated")) == (402, (2, 3, 0))
    assert token_shares(starts, spans, Usage(407, "length", "generated")) == (403, (2, 2, 0))
    # 100 unseen reasoning tokens of an API come before the visible text
    assert token_shares(starts, spans, Usage(106, "stop", "provider")) == (102, (2, 2, 0))


@given(
    st.lists(st.integers(0, 1000), unique=True).map(sorted),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4).map(sorted),
    st.one_of(
        st.none(), st.builds(Usage, st.integers(0, 3000), st.just("stop"), st.sampled_from(["generated", "provider"]))
    ),
)
def test_every_token_is_counted_once(starts: list[int], cuts: list[int], usage: Usage | None) -> None:
    spans = list(itertools.pairwise(cuts))
    planning, shares = token_shares(starts, spans, usage)
    assert planning >= 0
    assert min(shares) >= 0
    assert planning + sum(shares) == max(len(starts), usage.tokens if usage else 0)
