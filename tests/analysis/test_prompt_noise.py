"""Prompt noise: numbers by hand, the two-way layout against its textbook form, and coverage by simulation."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from benchmarks.prompt_noise_coverage import coverage
from roi_bench.analysis.prompt_noise import LEAST_PARAPHRASES, deviate_quantile, layout, prompt_noise, widened
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio

Terms = dict[str, ExamTerm]


def run_of(scores: list[float], clusters: str | None = None) -> Terms:
    """A run whose exams scored so much; every exam its own cluster unless told otherwise."""
    names = clusters or "".join(chr(ord("a") + index) for index in range(len(scores)))
    return {str(index): ExamTerm(score, 1.0, names[index]) for index, score in enumerate(scores)}


def test_a_layout_by_hand() -> None:
    """Three exams, three prompts: scores 2, 1, 0 / 3, 1, 2 / 1, 1, 1, so means 1, 2, 1."""
    runs = [run_of(scores) for scores in ([2, 1, 0], [3, 1, 2], [1, 1, 1])]
    found = prompt_noise(runs[0], runs[1:])
    assert found is not None
    assert found.values == (1.0, 2.0, 1.0)
    assert (found.low, found.high, found.exams) == (1.0, 2.0, 3)
    assert found.spread == pytest.approx(sqrt(1 / 3))
    # Deviations ψ are (1, 0, −1), (1, −1, 0), (0, 0, 0), their means 2/3, −1/3, −1/3: squares of the rest sum to 2.
    # Interaction: 2 / ((3 − 1)(3 − 1)) = 1/2, a sixth in a mean of three. Between: 1/3. The prompt's part is 1/6.
    assert found.prompt_sd == pytest.approx(sqrt(1 / 3 - 1 / 6))
    half = hypot(t.ppf(0.975, 2) / sqrt(3), deviate_quantile(2) * sqrt(1 / 6))
    assert found.interval == (0.0, pytest.approx(min(3.0, 1 + half)))


def test_without_clusters_it_is_the_analysis_of_variance_of_two_random_factors() -> None:
    rng = np.random.default_rng(3)
    scores = rng.binomial(3, 0.5, (4, 40)).astype(float)
    found = layout(scores, np.ones_like(scores), [f"{index:02}" for index in range(40)])
    means, exams = scores.mean(axis=1, keepdims=True), scores.mean(axis=0, keepdims=True)
    of_prompts = 40 * ((means - scores.mean()) ** 2).sum() / 3
    of_interaction = ((scores - means - exams + scores.mean()) ** 2).sum() / (3 * 39)
    assert float(found.between) == pytest.approx(of_prompts / 40)
    assert float(found.chance) == pytest.approx(of_interaction / 40)
    assert float(found.prompt_variance) == pytest.approx(max(0, of_prompts - of_interaction) / 40)


@pytest.mark.parametrize("metric", ["score", "regret"])
def test_values_and_standard_errors_are_those_of_every_other_table(metric: str) -> None:
    rng = np.random.default_rng(4)
    easy = rng.integers(1, 4, (3, 30)).astype(float)
    numerators = easy - rng.integers(0, 2, (3, 30)) if metric == "score" else rng.binomial(3, 0.2, (3, 30)) * 1.0
    clusters = [f"{index % 7}" for index in range(30)]
    denominators = np.ones_like(easy) if metric == "score" else easy
    found = layout(numerators, denominators, clusters)
    for prompt in range(3):
        rows = zip(numerators[prompt], denominators[prompt], clusters, strict=True)
        estimate = estimate_ratio([ExamTerm(float(n), float(d), cluster) for n, d, cluster in rows])
        assert float(found.values[prompt]) == pytest.approx(estimate.value)
        assert float(found.stderr[prompt]) == pytest.approx(estimate.stderr_general)


def test_many_layouts_at_once_are_each_what_one_is() -> None:
    rng = np.random.default_rng(5)
    scores = rng.binomial(3, 0.5, (2, 3, 12)).astype(float)
    clusters = [f"{index % 5}" for index in range(12)]
    together, alone = (layout(some, np.ones_like(some), clusters) for some in (scores, scores[1]))
    for name in ("values", "stderr", "between", "chance"):
        assert getattr(together, name)[1] == pytest.approx(getattr(alone, name))


@pytest.mark.parametrize("paraphrases", [1, 2, 3, 5])
def test_the_quantile_is_that_of_a_value_that_is_part_of_its_own_standard_deviation(paraphrases: int) -> None:
    values = np.random.default_rng(6).standard_normal((200_000, paraphrases + 1))
    inside = np.abs(values[:, 0]) <= deviate_quantile(paraphrases) * values.std(axis=1, ddof=1)
    assert inside.mean() == pytest.approx(0.95, abs=0.002)
    assert deviate_quantile(paraphrases) < t.ppf(0.975, paraphrases)


def test_the_quantiles_that_the_page_names() -> None:
    assert [round(deviate_quantile(m), 2) for m in (1, 2, 3)] == [9.04, 2.81, 2.18]
    with pytest.raises(UsageError, match=r"paraphrase.*0"):
        deviate_quantile(0)


@given(half=st.floats(0, 5), prompt_sd=st.floats(0, 3), paraphrases=st.integers(1, 3))
def test_prompt_noise_never_makes_an_interval_narrower(half: float, prompt_sd: float, paraphrases: int) -> None:
    wide = float(widened(half, prompt_sd, paraphrases))
    assert wide >= half
    assert wide >= deviate_quantile(paraphrases) * prompt_sd * (1 - 1e-12)


def test_prompts_that_differ_no_more_than_chance_leave_the_usual_interval() -> None:
    runs = [run_of(scores) for scores in ([2, 1, 0, 1], [0, 1, 2, 1], [1, 2, 1, 0])]
    found = prompt_noise(runs[0], runs[1:])
    usual = confidence_interval(estimate_ratio(list(runs[0].values())))
    assert found is not None
    assert usual is not None
    assert found.prompt_sd == 0
    assert found.interval == pytest.approx((max(0.0, usual[0]), usual[1]))


def test_intervals_stay_inside_what_is_possible() -> None:
    low = [run_of([0, 0, 1, 0]), run_of([3, 3, 2, 3]), run_of([1, 1, 1, 2])]
    found = prompt_noise(low[0], low[1:])
    assert found is not None
    assert found.interval == (0.0, 3.0)
    lost = [
        {str(i): ExamTerm(n, 1.0, str(i)) for i, n in enumerate(numbers)}
        for numbers in ([1.0, 1, 0, 1], [-2.0, -2, -2, -1], [1.0, 1, 1, 0])
    ]
    found = prompt_noise(lost[0], lost[1:], metric="regret")
    assert found is not None
    assert found.interval is not None
    assert found.interval[1] == 1.0
    assert found.interval[0] < -1  # nothing bounds a regret below


def test_clusters_are_what_the_target_says() -> None:
    clusters = "aaaabbbbccccdddd"
    rng = np.random.default_rng(7)
    runs = [run_of([float(x) for x in rng.integers(0, 4, 16)], clusters) for _ in range(3)]
    general, fixed = (prompt_noise(runs[0], runs[1:], target=target) for target in ("general", "fixed"))
    assert general is not None
    assert fixed is not None
    assert general.values == fixed.values
    assert general.interval != fixed.interval


def test_only_exams_that_every_prompt_sat_say_something_about_prompts() -> None:
    canonical, shorter = run_of([2, 1, 0, 3]), run_of([1, 1, 1, 1])
    del shorter["3"]
    found = prompt_noise(canonical, [shorter, run_of([2, 2, 2, 2])])
    assert found is not None
    assert (found.exams, found.values) == (3, (1.0, 1.0, 2.0))
    assert found.interval is not None
    middle = sum(found.interval) / 2
    assert middle == pytest.approx(1.5)  # the canonical run keeps all its exams


def test_what_says_nothing_about_prompts() -> None:
    run = run_of([2, 1, 0])
    nothing = {name: ExamTerm(0.0, 0.0, term.cluster) for name, term in run.items()}
    assert prompt_noise(run, []) is None
    assert prompt_noise(run, [run_of([2, 1, 0], "aaa") and {"9": run["0"]}]) is None  # no exam in common
    assert prompt_noise(run_of([2, 1], "aa"), [run_of([1, 1], "aa")]) is None  # one cluster
    assert prompt_noise(run, [run, nothing], metric="regret") is None  # a regret that is undefined
    with pytest.raises(UsageError, match="'tokens'"):
        prompt_noise(run, [run], metric="tokens")


def test_one_paraphrase_gives_a_spread_and_no_interval() -> None:
    assert LEAST_PARAPHRASES == 2
    found = prompt_noise(run_of([2, 1, 0]), [run_of([3, 1, 1])])
    assert found is not None
    assert (found.low, found.high, found.interval) == (1.0, pytest.approx(5 / 3), None)
    too_sure = coverage("score", 1, 0.3, replications=1000, per_problem=4, seed=9)
    assert 0.88 <= too_sure.with_noise <= 0.93


@pytest.mark.parametrize("paraphrases", [2, 3])
@pytest.mark.parametrize(
    ("metric", "prompt_sd", "usual"),
    [
        ("score", 0.0, 0.95),
        ("score", 0.05, 0.91),
        ("score", 0.1, 0.79),
        ("score", 0.3, 0.42),
        ("regret", 0.0, 0.95),
        ("regret", 0.03, 0.85),
        ("regret", 0.1, 0.45),
    ],
)
def test_coverage(metric: str, prompt_sd: float, usual: float, paraphrases: int) -> None:
    """1,000 simulated benchmarks of 30 problems × 4 exams: a share of 0.95 is known to 0.007 (standard error)."""
    found = coverage(metric, paraphrases, prompt_sd, replications=1000, per_problem=4, seed=8)
    assert 0.93 <= found.with_noise <= 0.997  # on the wide side where prompts hardly differ
    assert found.usual == pytest.approx(usual, abs=0.04)  # what happens without it
    assert found.noise_half > found.usual_half
