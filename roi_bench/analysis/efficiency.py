"""Separating skill, allocation and interference: score = V_DP · AE · SR (SPEC section 11).

- V_DP: the value of the best policy with the model's own skill, its samples of each problem alone.
- V_replay: the value of the model's own decisions in the exam (:func:`read_decisions`) with that skill.
- AE = V_replay / V_DP, allocation efficiency. SR = score / V_replay, solve retention: what answering three problems at
  once costs. Lift = V_replay − value of attempting problems at random, as often as the model did.

All are ratios of sums over exams, so one estimator serves them (:func:`scoring.statistics.estimate_ratio`), and
V_DP · AE · SR equals the score up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.allocation import (
    best_choices,
    cross_fitted_value,
    hindsight_value,
    optimal_policy,
    play_value,
)
from roi_bench.analysis.profile import Profile, ProfiledRuns
from roi_bench.analysis.reports.score_tables import TARGET_NOTES, interval_of
from roi_bench.analysis.reports.tables import Cell as TableCell
from roi_bench.analysis.reports.tables import Column, Interval, Table
from roi_bench.analysis.runs import ScoredRun, short_name
from roi_bench.errors import RecordError, RoiBenchError, UsageError
from roi_bench.exams.exam import TIERS, Exam
from roi_bench.scoring.kinds import solo_problems
from roi_bench.scoring.metrics import ScoredResponse, tier_names
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import Estimate, ExamTerm, estimate_ratio

# A model's decisions in an exam: which problems it attempted, skipped, or gave up and when (SPEC section 11).
#
# Replaying these decisions on the model's own solo samples gives their value, independent of how well it solved
# the problems in that very response. Choices that the specification leaves open (ours):
#
# - ``skipped``: skip. ``correct``, ``wrong``: an attempt without a cap; how long it would have gone on is not known,
#   and capping at the tokens of one response would fail every second replay of a sound decision.
# - ``unanswered``: the model left the problem by itself; an attempt capped at the tokens it spent there (none: a skip).
# - ``truncated``, ``empty``: an attempt without a cap.
# - Never reached, because the budget ended before: nobody knows. It is taken to be attempted as often as the run
#   attempts problems that it reaches; else choosing at random would look worse than chance.

NO_CAP = -1
"""Stands for an attempt without a cap."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in many responses.

    Attributes:
        attempt: 1.0 where a problem was attempted, 0.0 where it was skipped, the run's attempt rate where it was never
            reached; (responses, positions).
        caps: Tokens after which it was given up, :data:`NO_CAP` where it was not; the same shape.
        attempt_rate: Attempts per problem reached; 1 where none was.
    """

    attempt: NDArray[np.float64]
    caps: NDArray[np.int64]
    attempt_rate: float


def read_decisions(responses: Sequence[ScoredResponse]) -> Decisions:
    """Return the decisions in ``responses``, none of which failed.

    Raises:
        RecordError: A problem was given up after an unknown number of tokens.
    """
    shape = (len(responses), -1)
    attempt = np.array([[_attempt(problem) for problem in r.problems] for r in responses], dtype=np.float64)
    caps = np.array([[_cap(problem) for problem in r.problems] for r in responses], dtype=np.int64)
    known = attempt[~np.isnan(attempt)]
    rate = float(known.mean()) if known.size else 1.0
    return Decisions(np.where(np.isnan(attempt), rate, attempt).reshape(shape), caps.reshape(shape), rate)


def _attempt(problem: ProblemOutcome) -> float:
    """Return 1 for an attempt, 0 for a skip, not-a-number for a problem that was never reached."""
    if problem.outcome == "truncated" and problem.tokens == 0 and problem.actual_level is None:
        return float("nan")
    left_at_once = problem.outcome == "unanswered" and problem.tokens == 0
    return float(problem.outcome != "skipped" and not left_at_once)


def _cap(problem: ProblemOutcome) -> int:
    if problem.outcome != "unanswered":
        return NO_CAP
    if problem.tokens is None:
        raise RecordError(
            "a problem was given up after an unknown number of tokens, so the decision cannot be replayed; name the "
            "model's tokenizer (--tokenizer …)"
        )
    return problem.tokens


FloatArray = NDArray[np.float64]

RANDOM_ATTEMPTS = 0.5
"""How often random selection attempts a problem, where no model says otherwise."""


@dataclass(frozen=True, slots=True)
class ValueCurves:
    """The value of a profile in one order, at every budget from 0 to ``budget``.

    Attributes:
        exams: The exams, rows of the arrays.
        order: Their order.
        optimal: V_DP, cross-fitted: policy from one half of the samples, value on the other; (exams, budget + 1).
        plug_in: V_DP with policy and value from all samples: an upper bound, as V_DP is a lower one.
        hindsight: Best choice knowing each sample's outcome.
        sequential: Attempting every problem in order.
        random: Attempting each problem with probability :data:`RANDOM_ATTEMPTS`.
        best: Whether a skip and whether an attempt reaches the in-sample V_DP; (exams, positions, budget + 1, 2).
    """

    exams: tuple[Exam, ...]
    order: str
    optimal: FloatArray
    plug_in: FloatArray
    hindsight: FloatArray
    sequential: FloatArray
    random: FloatArray
    best: NDArray[np.bool_]

    @property
    def budget(self) -> int:
        """Largest budget."""
        return int(self.optimal.shape[1]) - 1


def value_curves(profile: Profile, exams: Sequence[Exam], order: str, budget: int) -> ValueCurves:
    """Return the values of ``profile`` on ``exams`` in ``order`` for every budget up to ``budget``.

    Raises:
        UsageError: The profile has no such budget, or a single sample of each problem.
    """
    check_budget(profile, budget)
    costs, correct = profile.arrays(exams, order)
    always = np.ones(costs.shape[:2])
    skip = profile.skip_cost
    return ValueCurves(
        exams=tuple(exams),
        order=order,
        optimal=cross_fitted_value(costs, correct, budget, skip),
        plug_in=optimal_policy(costs, correct, budget, skip).values,
        hindsight=hindsight_value(costs, correct, budget, skip),
        sequential=play_value(costs, correct, budget, skip, always),
        random=play_value(costs, correct, budget, skip, RANDOM_ATTEMPTS * always),
        best=best_choices(costs, correct, budget, skip),
    )


def check_budget(profile: Profile, budget: int) -> None:
    """Check that ``profile`` covers ``budget``.

    Raises:
        UsageError: It was made under a smaller cap.
    """
    if budget > profile.cap:
        raise UsageError(
            f"the profile has a cap of {profile.cap} tokens, below the budget of {budget}; "
            f"make one with --metadata '{{\"budget\": {budget}}}' or a solo task of that cap"
        )


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How a run used its model's skill, in one order.

    Attributes:
        exam_set: The exam set: ``v1``, ``fresh/7``.
        order: Order of the exams.
        budget: Budget in tokens.
        exams: Number of exams.
        score: Correct answers per exam.
        optimal: V_DP, cross-fitted.
        plug_in: V_DP in sample, an upper bound.
        replay: V_replay.
        random: Value of attempting problems at random, as often as the run did.
        allocation_efficiency: AE = V_replay / V_DP.
        solve_retention: SR = score / V_replay.
        lift: V_replay − random, correct answers per exam.
        attempt_rate: Share of the problems reached that were attempted.
        together: AE · SR = score / V_DP; AE alone is blind to what one answer does to the next.
        agreement: Share of the decisions to attempt or skip that the best policy could have taken too, with the tokens
            left in that response; of problems reached after a known number of tokens.
    """

    exam_set: str
    order: str
    budget: int
    exams: int
    score: Estimate
    optimal: Estimate
    plug_in: Estimate
    replay: Estimate
    random: Estimate
    allocation_efficiency: Estimate
    solve_retention: Estimate
    lift: Estimate
    attempt_rate: float
    together: Estimate
    agreement: Estimate


def efficiency(
    profile: Profile, responses: Mapping[str, Sequence[ScoredResponse]], curves: ValueCurves, budget: int
) -> Efficiency:
    """Return how a run with these ``responses`` used the skill of ``profile``.

    Args:
        profile: The model's solo profile.
        responses: Scored responses by exam id, in the order of ``curves``; failed ones are left out.
        curves: Values of the profile on exams in that order, up to ``budget`` at least.
        budget: The run's budget.

    Raises:
        UsageError: No exam of the run is among those of ``curves``, or ``budget`` is beyond them.
        RecordError: See :func:`roi_bench.analysis.efficiency.read_decisions`.
    """
    check_budget(profile, budget)
    heard = {name: [r for r in given if not r.failed] for name, given in responses.items()}
    rows = [row for row, exam in enumerate(curves.exams) if heard.get(exam.id)]
    if not rows:
        raise UsageError(
            "no exam of the run has all its problems in the profile; run and profile are of different exam sets"
        )
    exams = [curves.exams[row] for row in rows]
    replay, rate = _replayed(profile, exams, heard, curves.order, budget)
    costs, correct = profile.arrays(exams, curves.order)
    at_random = play_value(costs, correct, budget, profile.skip_cost, np.full(costs.shape[:2], rate))[:, budget]
    score = np.array([np.mean([response.score for response in heard[exam.id]]) for exam in exams])
    optimal = curves.optimal[rows, budget]
    one = np.ones(len(exams))

    def ratio(numerator: FloatArray, denominator: FloatArray) -> Estimate:
        return ratio_over(exams, numerator, denominator)

    return Efficiency(
        exam_set=profile.set_title,
        order=curves.order,
        budget=budget,
        exams=len(exams),
        score=ratio(score, one),
        optimal=ratio(optimal, one),
        plug_in=ratio(curves.plug_in[rows, budget], one),
        replay=ratio(replay, one),
        random=ratio(at_random, one),
        allocation_efficiency=ratio(replay, optimal),
        solve_retention=ratio(score, replay),
        lift=ratio(replay - at_random, one),
        attempt_rate=rate,
        together=ratio(score, optimal),
        agreement=ratio(*agreeing_decisions(curves.best[rows], [heard[exam.id] for exam in exams], budget)),
    )


def agreeing_decisions(
    best: NDArray[np.bool_], heard: Sequence[Sequence[ScoredResponse]], budget: int
) -> tuple[FloatArray, FloatArray]:
    """Return for each exam how many decisions are also the best policy's, and how many there are, mean per response.

    Args:
        best: The best choices of the same exams, as :class:`ValueCurves` has them.
        heard: The responses to each exam.
        budget: The run's budget; what a response had left of it at a problem decides what was best there.
    """
    agreeing, decided = np.zeros(len(heard)), np.zeros(len(heard))
    for row, responses in enumerate(heard):
        for response in responses:
            spent = response.planning or 0  # counted as spent first, though a closing section comes last
            for place, problem in enumerate(response.problems):
                attempt = _attempt(problem)
                if np.isnan(attempt) or problem.tokens is None:
                    break  # never reached, or nobody knows with how many tokens left
                left = max(budget - spent, 0)
                agreeing[row] += best[row, place, left, int(attempt)] / len(responses)
                decided[row] += 1 / len(responses)
                spent += problem.tokens
    return agreeing, decided


def ratio_over(exams: Sequence[Exam], numerator: FloatArray, denominator: FloatArray) -> Estimate:
    """Return Σ numerator / Σ denominator over ``exams``; arrays of shape (exams,)."""
    return estimate_ratio(
        [ExamTerm(float(n), float(d), exam.cluster) for n, d, exam in zip(numerator, denominator, exams, strict=True)]
    )


def efficiencies(
    profile: Profile,
    runs: Sequence[ScoredRun],
    curves: Mapping[str, ValueCurves],
    notify: Callable[[str], None] | None = None,
) -> list[tuple[str, Efficiency]]:
    """Return, with its name, how each run used the skill of ``profile``, in its own order and in easy order.

    Runs of one name and budget that share the responses in easy order (medium and hard) get it once.

    Args:
        profile: Solo profile of the model of ``runs``.
        runs: Runs of exams of the profile's set.
        curves: Values of the profile by order: those of the runs, and ``easy``.
        notify: Called for each run that cannot be replayed, which is then left out; without it that is an error.

    Raises:
        UsageError: A run is of another exam set, or its budget is beyond the profile's cap.
        RecordError: See :func:`roi_bench.analysis.efficiency.read_decisions`.
    """
    found: list[tuple[str, Efficiency]] = []
    seen: dict[tuple[str, int], list[dict[str, list[ScoredResponse]]]] = {}
    for run in runs:
        record = run.task.record
        if (record.exam_set, record.exam_seed) != (profile.exam_set, profile.exam_seed):
            raise UsageError(
                f"{run.name} is on {run.cell.title}, but the profile is of exam set {profile.exam_set}, seed "
                f"{profile.exam_seed}; they share no problem"
            )
        main = {name: [sample.main for sample in samples if not sample.failed] for name, samples in run.scored.items()}
        easy = {name: [sample.easy for sample in samples if not sample.failed] for name, samples in run.scored.items()}
        shown = seen.setdefault((run.name, record.budget), [])
        try:
            rows = [(run.name, efficiency(profile, main, curves[run.cell.order], record.budget))]
            if easy not in shown:
                name = f"{run.name} (beside {run.cell.order})" if shown else run.name
                rows.append((name, efficiency(profile, easy, curves["easy"], record.budget)))
        except RoiBenchError as error:
            if notify is None:
                raise type(error)(f"{run.task.samples_path}: {error}") from error
            notify(f"{run.name}, {run.cell.title}: no allocation, since {error}")
            continue
        found += rows
        shown.append(easy)
    return found


def _replayed(
    profile: Profile, exams: Sequence[Exam], heard: Mapping[str, Sequence[ScoredResponse]], order: str, budget: int
) -> tuple[FloatArray, float]:
    """Return V_replay of each exam, mean over its responses, and how often the run attempts a problem."""
    counts = np.array([len(heard[exam.id]) for exam in exams])
    owners = np.repeat(np.arange(len(exams)), counts)
    decided = read_decisions([response for exam in exams for response in heard[exam.id]])
    costs, correct = profile.arrays(exams, order)
    values = play_value(costs[owners], correct[owners], budget, profile.skip_cost, decided.attempt, decided.caps)[
        :, budget
    ]
    return np.bincount(owners, weights=values, minlength=len(exams)) / counts, decided.attempt_rate


# Tables of the allocation theory: the value of a profile at each budget, and how runs used it.

CURVE_NAMES = {
    "hindsight": "best in hindsight",
    "optimal": "best policy (V_DP)",
    "sequential": "in order, nothing skipped",
    "random": "each attempted at random (1/2)",
}
"""What tables and pictures call the curves of :class:`roi_bench.analysis.efficiency.ValueCurves`, best first."""


Show = Callable[[Iterable[ProfiledRuns]], Iterable[ProfiledRuns]]


@dataclass(frozen=True, slots=True)
class Allocation:
    """How the runs of one model used its skill.

    Attributes:
        profile: The model's profile.
        curves: Values of the profile by order.
        found: Efficiency of each run, with its name.
    """

    profile: Profile
    curves: Mapping[str, ValueCurves]
    found: tuple[tuple[str, Efficiency], ...]


def allocations(
    matched: Sequence[ProfiledRuns], show: Show = iter, notify: Callable[[str], None] | None = None
) -> list[Allocation]:
    """Return how runs used their model's skill; on the exams that at least one run has.

    ``notify`` is called for runs that cannot be replayed, which are then left out; without it they are an error.
    """
    found = []
    for item in show(matched):
        attempted = {name for run in item.runs for name in run.scored}
        exams = [e for e in item.runs[0].exams.values() if e.id in attempted and item.profile.covers(e)]
        budget = max(run.cell.budget for run in item.runs)
        orders = dict.fromkeys([*(run.cell.order for run in item.runs), "easy"])
        curves = {order: value_curves(item.profile, exams, order, budget) for order in orders}
        found.append(Allocation(item.profile, curves, tuple(efficiencies(item.profile, item.runs, curves, notify))))
    return found


def profile_table(profile: Profile, exams: Sequence[Exam]) -> Table:
    """Return the profile by tier: how often problems are solved under half the cap and the cap, and at what cost."""
    problems = {name: tier for name, (tier, _) in solo_problems(exams).items() if name in profile.skills}
    named = tier_names([problem.pool for problem in exams[0].problems])
    rows: list[tuple[TableCell, ...]] = []
    for tier in TIERS:
        skills = [profile.skills[name] for name, of in problems.items() if of == tier]
        if not skills:
            continue
        costs = np.array([skill.costs for skill in skills])
        right = np.array([skill.correct for skill in skills])
        mixed = right.any(axis=1) & ~right.all(axis=1)
        rows.append(
            (
                *(named[tier], len(skills), profile.samples),
                *(float((right & (costs <= cap)).mean()) for cap in (profile.cap // 4, profile.cap // 2, profile.cap)),
                *(float(right.any(axis=1).mean()), float(mixed.mean()), float(costs.mean())),
                float(costs[right].mean()) if right.any() else None,
            )
        )
    return Table(
        name="profile",
        title=f"Solo profile of {profile.model}",
        columns=(
            *(Column("tier"), Column("problems", 0), Column("samples", 0)),
            *(Column(f"right within {cap}") for cap in (profile.cap // 4, profile.cap // 2, profile.cap)),
            *(Column("ever right"), Column("now and then"), Column("tokens", 0), Column("tokens if right", 0)),
        ),
        rows=tuple(rows),
        note=f"Problems alone, cap {profile.cap} tokens, a skip costs {profile.skip_cost}. Right within: share of "
        "samples. Ever right: share of problems with a right sample; now and then: with right and wrong ones. "
        "Tokens: mean per sample.",
    )


def profile_title(profile: Profile, exams: int) -> str:
    """Return the title for values of ``profile`` on so many exams."""
    count = "1 exam" if exams == 1 else f"{exams} exams"
    return f"{short_name(profile.model)}, {profile.set_title}, {count}, {profile.samples} samples a problem"


def value_table(
    profile: Profile, curves: Sequence[ValueCurves], budgets: Sequence[int], target: str = "general"
) -> Table:
    """Return the value of the profile in each order at each of ``budgets``."""
    rows: list[tuple[TableCell, ...]] = []
    for of_order in curves:
        for budget in budgets:
            values = {name: getattr(of_order, name)[:, budget] for name in (*CURVE_NAMES, "plug_in")}
            ones = np.ones(len(of_order.exams))
            found = {name: ratio_over(of_order.exams, value, ones) for name, value in values.items()}
            foresight = ratio_over(of_order.exams, values["optimal"], values["hindsight"])
            rows.append(
                (
                    *(of_order.order, budget, len(of_order.exams), found["random"].value, found["sequential"].value),
                    *(interval_of(found["optimal"], "v_dp", target), found["plug_in"].value, found["hindsight"].value),
                    interval_of(foresight, None, target),
                )
            )
    return Table(
        name="values",
        title=f"What the profile is worth: {profile_title(profile, len(curves[0].exams))}",
        columns=(
            *(
                Column("order"),
                Column("budget", 0),
                Column("n", 0),
                Column("random"),
                Column("in order"),
                Column("V_DP"),
            ),
            *(Column("V_DP in sample"), Column("hindsight"), Column("V_DP / hindsight")),
        ),
        rows=tuple(rows),
        note="Correct answers per exam, 0–3, with the model's own skill. V_DP: best policy, cross-fitted, so "
        "too low with few samples (it may fall below a fixed plan); in sample it is an upper bound. "
        f"{TARGET_NOTES[target]}",
    )


def efficiency_table(found: Sequence[tuple[str, Efficiency]], target: str = "general") -> Table:
    """Return how runs used their model's skill: score = V_DP · AE · SR."""
    rows = [
        (
            *(name, item.exam_set, item.order, item.budget, item.exams, interval_of(item.score, "score", target)),
            *(interval_of(item.optimal, "v_dp", target), interval_of(item.allocation_efficiency, "ae", target)),
            *(interval_of(item.solve_retention, "sr", target), interval_of(item.lift, "lift", target)),
            *(item.replay.value, item.random.value, item.attempt_rate),
        )
        for name, item in found
    ]
    return Table(
        name="allocation",
        title="Skill, allocation, interference: score = V_DP · AE · SR",
        columns=(
            *(Column("run"), Column("exams"), Column("order"), Column("budget", 0), Column("n", 0)),
            *(Column("score"), Column("V_DP"), Column("AE"), Column("SR"), Column("lift")),
            *(Column("V_replay"), Column("V_random"), Column("attempted")),
        ),
        rows=tuple(rows),
        note="V_DP: what the best policy makes of the model's skill. AE: share of it that the run's own decisions "
        "reach. SR: share of that which it really scored. Lift: correct answers per exam above attempting as many "
        "problems at random. "
        f"{TARGET_NOTES[target]}",
    )


def curve_means(curves: ValueCurves) -> dict[str, FloatArray]:
    """Return the mean over exams of each curve, by its name in :data:`CURVE_NAMES`; shape (budget + 1,)."""
    return {shown: getattr(curves, name).mean(axis=0) for name, shown in CURVE_NAMES.items()}


def curve_bands(curves: ValueCurves, budgets: Sequence[int], target: str = "general") -> Mapping[int, Interval]:
    """Return the mean of V_DP with its interval at each of ``budgets``."""
    ones = np.ones(len(curves.exams))
    return {b: interval_of(ratio_over(curves.exams, curves.optimal[:, b], ones), "v_dp", target) for b in budgets}
