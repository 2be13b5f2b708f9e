"""Allocation apart from solving: trust checks on a model made of numbers, and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from roi_bench.analysis.allocation import optimal_policy
from roi_bench.analysis.efficiency import NO_CAP, Efficiency, efficiency, read_decisions, value_curves
from roi_bench.analysis.profile import Profile, SoloSkill
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import Exam
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import prompt_sha256
from roi_bench.scoring.statistics import confidence_interval
from roi_bench.scoring.tokens import Usage
from tests.analysis.simulated_model import BUDGET, Decide, follow, invented_exams, simulated_model
from tests.support.attempts import exam_attempt, score_exams
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import EqualityGrader
from tests.support.simulated_runs import at_random, everything, only_hard, only_solvable

EXAMS = invented_exams(240)
MODEL = simulated_model(EXAMS, seed=1)
PROFILE = MODEL.profile(samples=16, seed=2)
CURVES = {order: value_curves(PROFILE, EXAMS, order, BUDGET) for order in ("easy", "hard")}


def found_for(decide: Decide, order: str = "hard", seed: int = 3, repeats: int = 4) -> tuple[Efficiency, Efficiency]:
    """Return the efficiency of a policy in ``order`` and in easy order."""
    scored = MODEL.sit(EXAMS, order, decide, seed, repeats)
    main = {name: [sample.main for sample in samples] for name, samples in scored.items()}
    easy = {name: [sample.easy for sample in samples] for name, samples in scored.items()}
    return efficiency(PROFILE, main, CURVES[order], BUDGET), efficiency(PROFILE, easy, CURVES["easy"], BUDGET)


def holds(found: Efficiency, name: str, value: float) -> bool:
    interval = confidence_interval(getattr(found, name))
    assert interval is not None
    return interval[0] <= value <= interval[1]


def best_policy(samples: int) -> Decide:
    """The DP policy of another profile of the same model: what it would do if it knew its own skill."""
    other = MODEL.profile(samples, seed=9)
    caps = {}
    for order in ("easy", "hard"):
        policy = optimal_policy(*other.arrays(EXAMS, order), BUDGET, other.skip_cost)
        caps |= {(exam.id, order): policy.caps[index] for index, exam in enumerate(EXAMS)}
    return follow(caps)


def test_score_is_skill_times_allocation_times_retention():
    for decide in (everything, at_random(1), only_hard, only_solvable):
        for found in found_for(decide, repeats=2):
            parts = [found.optimal.value, found.allocation_efficiency.value, found.solve_retention.value]
            assert np.prod([float(part) for part in parts if part is not None]) == pytest.approx(found.score.value)


def test_the_dp_policy_allocates_with_efficiency_one_and_retains_everything():
    for found in found_for(best_policy(PROFILE.samples)):  # of another profile of the same size
        assert holds(found, "allocation_efficiency", 1.0), found.allocation_efficiency
        assert holds(found, "solve_retention", 1.0), found.solve_retention
        assert found.lift.value > (0.7 if found.order == "hard" else 0.01)


def test_agreement_with_the_best_policy() -> None:
    """1 for the policy of the very profile; what is left of the skill is AE · SR for everyone."""
    caps = {}
    for order in ("easy", "hard"):
        policy = optimal_policy(*PROFILE.arrays(EXAMS, order), BUDGET, PROFILE.skip_cost)
        caps |= {(exam.id, order): policy.caps[index] for index, exam in enumerate(EXAMS)}
    (own, own_easy), (random, _), (hard, _) = (found_for(d, repeats=2) for d in (follow(caps), at_random(1), only_hard))
    assert (own.agreement.value, own_easy.agreement.value) == (1.0, 1.0)
    assert 0.4 < float(random.agreement.value or 0) < 0.9
    assert float(hard.agreement.value or 1) < float(random.agreement.value or 0)
    for found in (own, random, hard):
        parts = found.allocation_efficiency.value, found.solve_retention.value
        assert found.together.value == pytest.approx(np.prod([float(part or 0) for part in parts]))


def test_who_knows_its_skill_better_than_half_a_profile_is_between_the_two_bounds():
    for found in found_for(best_policy(128)):
        assert 1.0 < found.allocation_efficiency.value < found.plug_in.value / found.optimal.value < 1.03


def test_random_selection_has_no_lift_and_loses():
    for seed in (1, 2):
        for found in found_for(at_random(seed), seed=seed, repeats=8):
            assert holds(found, "lift", 0.0), found.lift
            assert found.attempt_rate == pytest.approx(0.5, abs=0.03)
            assert found.allocation_efficiency.value < 0.8


def test_attempting_everything_has_no_lift_by_definition():
    hard, easy = found_for(everything)
    assert hard.lift.value == easy.lift.value == pytest.approx(0.0, abs=1e-12)
    assert hard.replay.value == pytest.approx(CURVES["hard"].sequential[:, BUDGET].mean())


def test_equally_bad_in_both_orders_has_no_regret_but_low_efficiency():
    scored = MODEL.sit(EXAMS, "hard", only_hard, seed=5, repeats=8)
    samples = [sample for of_exam in scored.values() for sample in of_exam]
    lost = sum(sample.easy.score - sample.main.score for sample in samples)
    assert abs(lost) / sum(sample.easy.score for sample in samples) < 0.1  # regret 0 but for sampling noise
    hard, easy = found_for(only_hard)
    assert hard.allocation_efficiency.value < 0.4
    assert easy.allocation_efficiency.value < 0.4
    better, _ = found_for(only_solvable)
    assert better.allocation_efficiency.value > 2 * hard.allocation_efficiency.value
    assert better.lift.value > 0 > hard.lift.value


def test_curves_are_ordered_and_budgets_beyond_the_cap_are_refused():
    for curves in CURVES.values():
        means = {name: getattr(curves, name).mean(axis=0) for name in ("sequential", "random", "plug_in", "hindsight")}
        assert (means["sequential"] <= means["plug_in"] + 1e-9).all()
        assert (means["random"] <= means["plug_in"] + 1e-9).all()
        assert (curves.plug_in <= curves.hindsight + 1e-9).all()
        assert curves.optimal.mean() <= curves.plug_in.mean()
        assert curves.budget == BUDGET
    with pytest.raises(UsageError, match=f"cap.*{BUDGET}.*budget.*{BUDGET + 1}"):
        value_curves(PROFILE, EXAMS, "hard", BUDGET + 1)


def scored_response(text: str, usage: Usage | None, budget: int = 40) -> ScoredResponse:
    response = Response(text, usage)
    (samples,) = score_exams(
        [exam_attempt(make_exam(), "hard", budget, (response,), (response,))], EqualityGrader(), WordCounter()
    )
    return samples[0].main


def test_decisions_by_outcome():
    stop = Usage(0, "stop", "generated")
    cases = [
        (respond(["3", "NA", "9"]), stop, [1, 0, 1], [NO_CAP] * 3),
        # left without an answer after "### Problem 1 some work": capped at its five words
        (respond([None, "2", "1"]), stop, [1, 1, 1], [5, NO_CAP, NO_CAP]),
        # stopped by itself before problem 3: a skip
        (respond(["3", "2"]), stop, [1, 1, 0], [NO_CAP, NO_CAP, 0]),
        # cut off: what was never reached is attempted as often as what was
        ("### Problem 1\nwork work", Usage(40, "length", "generated"), [1, 1, 1], [NO_CAP] * 3),
        (
            "### Problem 1\n\\boxed{NA}\n### Problem 2\nwork",
            Usage(40, "length", "generated"),
            [0, 1, 0.5],
            [NO_CAP] * 3,
        ),
        ("", Usage(40, "length", "generated"), [1, 1, 1], [NO_CAP] * 3),
    ]
    for text, usage, attempt, caps in cases:
        found = read_decisions([scored_response(text, usage)])
        assert found.attempt.tolist() == [attempt], text
        assert found.caps.tolist() == [caps], text


def test_a_problem_given_up_after_an_unknown_number_of_tokens_cannot_be_replayed():
    response = Response(respond([None, "2", "1"]))
    (samples,) = score_exams([exam_attempt(make_exam(), "hard", 40, (response,), (response,))], EqualityGrader())
    with pytest.raises(RecordError, match="--tokenizer"):
        read_decisions([samples[0].main])


def tiny_profile(exam: Exam, cap: int = 10) -> Profile:
    """Hard costs 6 (right) or 10 (wrong), middle 4, easy 2 (both always right); a skip costs 1."""
    easy, middle, hard = (problem.id for problem in exam.problems)
    skills = {
        hard: SoloSkill((6, 10), (True, False)),
        middle: SoloSkill((4, 4), (True, True)),
        easy: SoloSkill((2, 2), (True, True)),
    }
    return Profile("by hand", "v1", None, cap, 1, prompt_sha256("solo"), {}, skills)


def test_the_example_of_the_metrics_page_through_the_whole_path():
    exam = make_exam()
    profile = tiny_profile(exam)
    curves = value_curves(profile, [exam], "hard", 10)
    attempts_all = scored_response(
        "### Problem 1\nwork \\boxed{3}\n### Problem 2\nwork", Usage(10, "length", "generated"), 10
    )
    found = efficiency(profile, {exam.id: [attempts_all]}, curves, 10)
    assert (found.score.value, found.replay.value, found.random.value) == (1.0, 1.0, 1.0)
    assert (found.plug_in.value, float(curves.hindsight[0, 10])) == (2.0, 2.0)
    # It attempts the hard problem, which the policy skips with 10 tokens left, and the middle one with the rest.
    assert found.agreement.value == 0.5
    skips_hard = scored_response(respond(["NA", "2", "1"]), Usage(8, "stop", "generated"), 100)
    found = efficiency(profile, {exam.id: [skips_hard]}, curves, 10)
    assert (found.replay.value, found.agreement.value) == (2.0, 1.0)


def test_failed_responses_and_exams_outside_the_profile_are_left_out():
    exams = EXAMS[:30]
    scored = MODEL.sit(exams, "hard", everything, seed=1)
    main = {name: [sample.main for sample in samples] for name, samples in scored.items()}
    curves = value_curves(PROFILE, exams, "hard", BUDGET)
    whole = efficiency(PROFILE, main, curves, BUDGET)
    missing = score_exams(
        [exam_attempt(exams[0], "hard", BUDGET, (Response(None),), (Response(None),))], EqualityGrader()
    )[0][0].main
    one_failed = {**main, exams[0].id: [missing], "v1/999": main[exams[1].id]}
    found = efficiency(PROFILE, one_failed, curves, BUDGET)
    assert (whole.exams, found.exams) == (30, 29)
    with pytest.raises(UsageError, match="profile"):
        efficiency(PROFILE, {"v1/999": main[exams[1].id]}, curves, BUDGET)


def test_repeats_are_means_within_an_exam():
    scored = MODEL.sit(EXAMS[:30], "hard", everything, seed=1, repeats=3)
    main = {name: [sample.main for sample in samples] for name, samples in scored.items()}
    found = efficiency(PROFILE, main, value_curves(PROFILE, EXAMS[:30], "hard", BUDGET), BUDGET)
    expected = np.mean([[response.score for response in responses] for responses in main.values()])
    assert found.score.value == pytest.approx(float(expected))
