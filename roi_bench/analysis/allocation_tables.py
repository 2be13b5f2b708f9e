"""Tables of the allocation theory: what a profile is worth at each budget, and how runs used it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from roi_bench.analysis.efficiency import Efficiency, FloatArray, ValueCurves, ratio_over
from roi_bench.analysis.profile import Profile
from roi_bench.analysis.runs import short_name
from roi_bench.analysis.score_tables import TARGET_NOTES, interval_of
from roi_bench.analysis.tables import Cell as TableCell
from roi_bench.analysis.tables import Column, Interval, Table
from roi_bench.exams.exam import TIERS, Exam
from roi_bench.scoring.metrics import tier_names
from roi_bench.scoring.solo import solo_problems

CURVE_NAMES = {
    "hindsight": "best in hindsight",
    "optimal": "best policy (V_DP)",
    "sequential": "in order, nothing skipped",
    "random": "each attempted at random (1/2)",
}
"""What tables and pictures call the curves of :class:`roi_bench.analysis.efficiency.ValueCurves`, best first."""


def profile_table(profile: Profile, exams: Sequence[Exam]) -> Table:
    """Return what the profile says of each tier: how often solved under half the cap and the cap, and at what cost."""
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
    """Return what values of ``profile`` on so many exams are about, for titles."""
    return f"{short_name(profile.model)}, {profile.set_title}, {exams} exams, {profile.samples} samples a problem"


def value_table(
    profile: Profile, curves: Sequence[ValueCurves], budgets: Sequence[int], target: str = "general"
) -> Table:
    """Return what the profile is worth in each order at each of ``budgets``."""
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
                    *(interval_of(found["optimal"], target), found["plug_in"].value, found["hindsight"].value),
                    interval_of(foresight, target),
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
            *(name, item.exam_set, item.order, item.budget, item.exams, interval_of(item.score, target)),
            *(interval_of(item.optimal, target), interval_of(item.allocation_efficiency, target)),
            *(interval_of(item.solve_retention, target), interval_of(item.lift, target)),
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
    return {b: interval_of(ratio_over(curves.exams, curves.optimal[:, b], ones), target) for b in budgets}
