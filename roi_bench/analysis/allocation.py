"""The value of a solo profile under a budget: best policy, hindsight and fixed plans (SPEC section 11).

The ordered stochastic multiple-choice knapsack of ROI-Reasoning (arXiv 2601.03822): N problems in a given order share b
tokens; of each, K equally likely samples (cost c, correct y) of the model solving it alone are known. Each is skipped
for s tokens, or attempted under a cap k. A capped generation is a prefix of the full one: it is right iff y = 1 and
c ≤ k. An attempt or skip that does not fit into b ends the response. With b tokens left before problem i the value of
the best policy is

    V_i(b) = max{ V_{i+1}(b − s), max_{k ≤ b} E[ y·1{c ≤ k} + V_{i+1}(b − paid(c, k)) ] },  V_{N+1} = 0, V(b < 0) = 0.

``paid(c, k)`` is c where c ≤ k, else max(k, s). The floor s is ours: leaving a problem unanswered costs at least as
much as a skip. With min(c, k) alone a cap of 0 would be a free skip, s would never matter, and the policy would
beat hindsight. With it, any plan ≤ policy in sample ≤ hindsight at every budget.

Only a skip, caps at observed costs, and no cap (k = b) need to be tried: between two observed costs a larger cap solves
no more and costs more. Values are counted in whole multiples of 1/K^N, so that ties are ties on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roi_bench.errors import UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

SKIP = -1
"""Stands for a skip among caps: no sample finishes under it, and leaving the problem costs a skip."""

MOST_DRAWS = 2**21
"""Combinations of samples per exam up to which hindsight is computed: 128 samples of each of three problems."""

CHUNK_NUMBERS = 2**16
"""Numbers in a temporary array (exams × budgets, exams × combinations), so that a few of them fit into the cache."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The best non-anticipating policy on samples of n exams.

    Among actions that are equally good in sample it takes the largest cap, and a skip only where every attempt is
    worse. A tie means that these samples had no other use for the tokens (always so after the last problem); on other
    samples a larger cap can only solve more of this problem, at the expense of later ones where it then runs longer.

    Attributes:
        values: V_1(b), expected correct answers on the very samples; float (n, budget + 1).
        caps: Cap chosen with b tokens left, b itself for none, :data:`SKIP` for a skip; int (n, N, budget + 1).
    """

    values: FloatArray
    caps: NDArray[np.int32]


def optimal_policy(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> Policy:
    """Return the best policy for every budget of 0 … ``budget`` tokens.

    Args:
        costs: Tokens of each sample; int (n exams, N positions, K samples).
        correct: Whether it is right; bool, the same shape.
        budget: Largest budget in tokens.
        skip_cost: Tokens s of a skip.

    Raises:
        UsageError: Shapes or types are others, a number of tokens is negative, or N · K^N is beyond 64-bit integers.
    """
    costs, correct, skip_cost = _checked(costs, correct, budget, skip_cost)
    exams, positions, samples = costs.shape
    # In order of cost, the cap at sample j finishes exactly samples 0 … j: one pass over j tries all caps.
    ascending = np.argsort(costs, axis=2)
    costs, correct = np.take_along_axis(costs, ascending, axis=2), np.take_along_axis(correct, ascending, axis=2)
    whole = _integer_type(positions * samples**positions)
    values = np.empty((exams, budget + 1))
    caps = np.empty((exams, positions, budget + 1), dtype=np.int32)
    for part in _chunks(exams, budget + 1):
        value: IntArray = np.zeros(values[part].shape, dtype=whole)
        # Backwards induction. Each step keeps K · value, so values stay whole: V_i in multiples of 1 / K^(N − i + 1).
        for i in reversed(range(positions)):
            unit = samples ** (positions - 1 - i)
            value, caps[part, i] = _best_actions(value, unit, costs[part, i], correct[part, i], skip_cost)
        values[part] = value / samples**positions
    return Policy(values, caps)


def _best_actions(
    value: IntArray, unit: int, costs: IntArray, correct: BoolArray, skip_cost: int
) -> tuple[IntArray, NDArray[np.int32]]:
    """Return K · V_i(b) and the caps that reach it, given V_{i+1}(b), both in multiples of 1/``unit``.

    ``costs`` and ``correct`` are (exams, samples) and ascend in cost; all others are (exams, budget + 1).
    """
    samples, tokens, rows = costs.shape[1], np.arange(value.shape[1]), np.arange(len(costs))
    # after[exam, right, c, b]: value of paying c out of b tokens, plus one answer if right; 0 where c does not fit.
    after = _after_paying(np.stack([value, value + unit], axis=1))
    best = samples * after[:, 0, skip_cost]
    caps = np.full(value.shape, SKIP, dtype=np.int32)
    finished = np.zeros_like(value)
    # Cap at the cost of sample j: it and the cheaper ones finish, the others are cut off and pay the cap. Where this
    # cap does not fit into b tokens, the total is at most that of no cap, which comes last and wins the tie.
    for j in range(samples):
        cost = costs[:, j]
        finished += after[rows, correct[:, j].astype(np.intp), cost]
        total = finished + (samples - 1 - j) * after[rows, 0, np.maximum(cost, skip_cost)]
        np.copyto(caps, cost[:, None], where=total >= best, casting="same_kind")
        np.maximum(best, total, out=best)
    # Without a cap, a sample that costs more than b uses up all tokens; later problems get the value of 0 tokens.
    unfinished = (costs[:, :, None] > tokens).sum(axis=1, dtype=value.dtype)
    no_cap = finished + unfinished * value[:, :1] * (tokens >= skip_cost)
    np.copyto(caps, tokens, where=no_cap >= best, casting="same_kind")
    return np.maximum(best, no_cap, out=best), caps


ROUNDING = 1e-9
"""Values closer than this are equal: they are whole multiples of 1/K^N, divided by different powers of K."""


def best_choices(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> BoolArray:
    """Return whether a skip and whether an attempt reaches V_i(b); bool (n exams, N positions, budget + 1, 2).

    Both do where they are worth the same: after the last problem worth solving, say. Arguments as for
    :func:`optimal_policy`.

    Raises:
        UsageError: As for :func:`optimal_policy`.
    """
    positions = costs.shape[1]
    policies = [optimal_policy(costs[:, i:], correct[:, i:], budget, skip_cost) for i in range(positions)]
    found = np.zeros((len(costs), positions, budget + 1, 2), dtype=np.bool_)
    for i, policy in enumerate(policies):
        rest = policies[i + 1].values if i + 1 < positions else np.zeros_like(policy.values)
        skipping = np.zeros_like(policy.values)  # a skip that does not fit ends the response
        if skip_cost <= budget:
            skipping[:, skip_cost:] = rest[:, : budget + 1 - skip_cost]
        found[:, i, :, 0] = skipping > policy.values - ROUNDING
        found[:, i, :, 1] = policy.caps[:, 0] != SKIP
    return found


def policy_value(policy: Policy, costs: IntArray, correct: BoolArray, skip_cost: int) -> FloatArray:
    """Return the exact expected correct answers of ``policy`` on other samples of its problems; (n, budget + 1).

    Raises:
        UsageError: As for :func:`optimal_policy`, or the samples are not of as many exams and positions as the policy.
    """
    budget = policy.values.shape[1] - 1
    costs, correct, skip_cost = _checked(costs, correct, budget, skip_cost)
    shape = costs.shape[:2]
    if policy.caps.shape[:2] != shape:
        raise UsageError(f"a policy of shape {policy.caps.shape} was given samples of {shape}; give those of its exams")
    return _followed(policy.caps, np.ones(shape), costs, correct, budget, skip_cost)


def play_value(
    costs: IntArray, correct: BoolArray, budget: int, skip_cost: int, attempt: FloatArray, caps: IntArray | None = None
) -> FloatArray:
    """Return the exact expected correct answers of a fixed plan; (n, budget + 1).

    Tokens are paid in order. Problem i is right iff y = 1, c ≤ cap and everything paid up to and with c fits into the
    budget; an attempt or a skip that does not fit ends the response. Samples and tokens as for :func:`optimal_policy`.

    Args:
        attempt: Probability of attempting each problem, independently of the others; (n, N).
        caps: Cap of the attempt in tokens, negative for none; int (n, N). None: no caps.

    Raises:
        UsageError: As for :func:`optimal_policy`, or ``attempt`` or ``caps`` has another shape or is no probability.
    """
    costs, correct, skip_cost = _checked(costs, correct, budget, skip_cost)
    shape = costs.shape[:2]
    caps = np.full(shape, -1) if caps is None else caps
    if attempt.shape != shape or caps.shape != shape or caps.dtype.kind not in "iu":
        raise UsageError(
            f"attempts {attempt.shape} and caps {caps.shape} ({caps.dtype}) came with (exams, positions) {shape}; "
            "give that shape, and caps as integers"
        )
    if not ((attempt >= 0) & (attempt <= 1)).all():
        raise UsageError(f"problems are attempted with probabilities {attempt.min()} to {attempt.max()}; give 0 to 1")
    # No cost exceeds budget + 1 any more, so this is no cap.
    caps = np.where(caps < 0, budget + 1, np.minimum(caps, budget + 1))
    return _followed(caps[:, :, None], attempt, costs, correct, budget, skip_cost)


def _followed(
    caps: IntArray, chance: FloatArray, costs: IntArray, correct: BoolArray, budget: int, skip_cost: int
) -> FloatArray:
    """Return the value of attempting with ``chance`` (n, N) under ``caps``, (n, N, tokens left) or (n, N, 1)."""
    exams, positions, samples = costs.shape
    tokens = np.arange(budget + 1)
    values = np.empty((exams, budget + 1))
    for part in _chunks(exams, budget + 1):
        value = np.zeros(values[part].shape)
        rows = np.arange(len(value))
        for i in reversed(range(positions)):
            # As in optimal_policy, in whole multiples of 1 / unit where chances are whole.
            after = _after_paying(np.stack([value, value + float(samples ** (positions - 1 - i))], axis=1))
            cap, attempted, unfinished = caps[part, i], np.zeros_like(value), np.full_like(value, samples)
            for j in range(samples):
                cost, right = costs[part, i, j], correct[part, i, j].astype(np.intp)
                finishes = cost[:, None] <= cap
                attempted += after[rows, right, cost] * finishes
                unfinished -= finishes
            left = tokens - np.maximum(cap, skip_cost)
            attempted += unfinished * np.take_along_axis(value, np.maximum(left, 0), axis=1) * (left >= 0)
            q = chance[part, i, None]
            value = q * attempted + (1 - q) * samples * after[:, 0, skip_cost]
        values[part] = value / float(samples**positions)
    return values


def cross_fitted_value(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> FloatArray:
    """Return V_DP without its optimism: policy from one half of the samples, value on the other; (n, budget + 1).

    The halves are the samples of even and odd number, used both ways round and weighted by the samples that give the
    value.
    No policy is worth more than the best one, so this is a lower bound in expectation.

    Raises:
        UsageError: As for :func:`optimal_policy`, or there is a single sample of each problem.
    """
    costs, correct, skip_cost = _checked(costs, correct, budget, skip_cost)
    samples = costs.shape[2]
    if samples < 2:
        raise UsageError("cross-fitting needs at least 2 samples of each problem, there is 1; make a larger profile")
    total = np.zeros((len(costs), budget + 1))
    for first in (0, 1):
        policy = optimal_policy(costs[..., first::2], correct[..., first::2], budget, skip_cost)
        other_costs, other_correct = costs[..., 1 - first :: 2], correct[..., 1 - first :: 2]
        total += other_costs.shape[2] * policy_value(policy, other_costs, other_correct, skip_cost)
    return np.divide(total, samples)


def hindsight_value(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> FloatArray:
    """Return the expected correct answers of a chooser that knows all outcomes in advance; (n, budget + 1).

    Exact, over all K^N combinations of one sample of each problem: the most right answers whose costs fit into the
    budget, together with a skip of each other problem before the last of them (or its wrong answer, where that costs
    less than a skip).

    Raises:
        UsageError: As for :func:`optimal_policy`, or there are more than :data:`MOST_DRAWS` combinations.
    """
    costs, correct, skip_cost = _checked(costs, correct, budget, skip_cost)
    exams, positions, samples = costs.shape
    draws = samples**positions
    if draws > MOST_DRAWS:
        raise UsageError(
            f"{samples} samples of {positions} problems make {draws} combinations, hindsight takes up to {MOST_DRAWS}; "
            "give fewer samples"
        )
    values = np.empty((exams, budget + 1))
    for part in _chunks(exams, draws):
        needed = _needed_budgets(costs[part], correct[part], budget, skip_cost)
        count, width = needed.shape[1], budget + 2
        # A budget b is worth as many answers v as have needed[v] ≤ b: a histogram of tokens by exam, then its sums.
        bins = needed + width * np.arange(count)[:, None]
        histogram = np.bincount(bins.ravel(), minlength=count * width).reshape(count, width)
        values[part] = histogram[:, :-1].cumsum(axis=1) / draws
    return values


def _needed_budgets(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> IntArray:
    """Return the least budget for 1 … N right answers, ``budget`` + 1 where beyond; (N, exams, combinations)."""
    exams, positions, samples = costs.shape
    # ``over`` stands for every number of tokens beyond the budget, so sums are cut to it and stay small integers.
    over = budget + 1
    whole = _integer_type(2 * over)
    solving = np.where(correct, costs, over).astype(whole)
    leaving = np.minimum(costs, skip_cost).astype(whole)
    # A knapsack by number of right answers. paid[v]: least tokens for v right answers so far, with every other problem
    # left; needed[v]: the same without leaving the problems after the last right answer, which costs nothing.
    paid = np.zeros((1, exams, 1), dtype=whole)
    needed = np.full((positions, exams, 1), over, dtype=whole)
    for i in range(positions):
        shape = (i + 1, exams, paid.shape[2] * samples)
        solved = np.minimum(paid[..., None] + solving[:, i, None], over).reshape(shape)
        left = np.minimum(paid[..., None] + leaving[:, i, None], over).reshape(shape)
        needed = np.repeat(needed, samples, axis=2)
        np.minimum(needed[: i + 1], solved, out=needed[: i + 1])
        paid = np.full((i + 2, *shape[1:]), over, dtype=whole)
        paid[:-1] = left
        np.minimum(paid[1:], solved, out=paid[1:])
    return needed


def _after_paying(values: NDArray[Any]) -> NDArray[Any]:
    """Return a view [..., c, b] = ``values``[..., b − c] for payments c of 0 … budget + 1 tokens; 0 where b < c."""
    width = values.shape[-1]
    padded = np.concatenate([np.zeros_like(values), values], axis=-1)
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)[..., ::-1, :]


def _chunks(exams: int, numbers: int) -> Iterator[slice]:
    """Yield slices of exams that have ``numbers`` numbers each."""
    step = max(1, CHUNK_NUMBERS // numbers)
    return (slice(start, min(start + step, exams)) for start in range(0, exams, step))


def _integer_type(largest: int) -> np.dtype[Any]:
    """Return the smallest signed integer type that holds ``largest``."""
    if largest >= 2**63:
        raise UsageError(f"values would be counted up to {largest}, beyond 64 bits; give fewer samples or problems")
    return np.min_scalar_type(-1 - largest)


def _checked(costs: IntArray, correct: BoolArray, budget: int, skip_cost: int) -> tuple[IntArray, BoolArray, int]:
    """Return the samples and the cost of a skip; all tokens beyond ``budget`` count as ``budget`` + 1."""
    if min(budget, skip_cost) < 0:
        raise UsageError(f"a budget of {budget} and a skip cost of {skip_cost} tokens were given; both are at least 0")
    if costs.ndim != 3 or 0 in costs.shape[1:] or costs.shape != correct.shape:
        raise UsageError(
            f"costs of shape {costs.shape} came with verdicts of {correct.shape}; give (exams, positions, samples)"
        )
    if costs.dtype.kind not in "iu" or correct.dtype.kind != "b":
        raise UsageError(f"costs are {costs.dtype} and verdicts {correct.dtype}; give integers and booleans")
    if (costs < 0).any():
        raise UsageError(f"a sample costs {costs.min()} tokens; give costs of at least 0")
    return np.minimum(costs, budget + 1).astype(np.intp), correct, min(skip_cost, budget + 1)
