"""Prompts: what each says, what none may say, and their versions."""

from __future__ import annotations

import re

import pytest

from roi_bench.errors import UsageError
from roi_bench.exams.exam import sha256_text
from roi_bench.exams.sets import load_exams
from roi_bench.reading.responses import read_response
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import (
    BASELINES,
    PROBLEMS,
    PROMPTS,
    RESPONSE_CUE,
    exam_messages,
    exam_prompt,
    find_prompt,
    problem_header,
    prompt_sha256,
    skipped_problem,
)
from tests.support.messages import shows

QUESTIONS = ["What is 1 + 1?", "What is $\\frac{1}{2}$ of {4, 6}?", "What is {budget}{{0}} %s {?"]
ALONE = [name for name, prompt in PROMPTS.items() if prompt.kind != "exam"]
WITH_LEVELS = ("metacognitive", "greedy_knapsack")
COMPARISONS = {"least_to_most": {"easier", "harder", "hard"}}
"""What a prompt may say of problems in general: none says it of a particular one."""


def prompt_of(name: str, budget: int = 512, **more: object) -> str:
    return exam_prompt(QUESTIONS[:1] if name in ALONE else QUESTIONS, budget, name, **more)  # type: ignore[arg-type]


def instructions_of(name: str, budget: int = 512, **more: object) -> str:
    """What a prompt says beside the questions and their headers."""
    messages = exam_messages(["?"], budget, name, **more)  # type: ignore[arg-type]
    return (
        "\n\n".join(message["content"] for message in messages).replace("Problem 1.\n?", "").replace("Problem:\n?", "")
    )


def test_the_prompts_are_those_of_version_2() -> None:
    """Results of the exam tasks are comparable only while this holds; the hashes are of the release that froze them."""
    assert prompt_sha256() == prompt_sha256("direct")
    assert prompt_sha256("direct") == "65dcbb2435b9e1b616937c69d2794129f52f57d0e1c92f06b06981352f778113"
    assert prompt_sha256("solo") == "2c43e170b66404d2cbf3411a84900688dc23f41e7fb06a9c69229df4547f2a00"
    whole = sha256_text(exam_prompt(["A?", "B {x}?", "C?"], 512))
    assert whole == "ca595d1172a492d682a0069d17b9b0e4205216a7518f6ff63b7ccb84756429e6"


def test_the_system_turn_holds_the_instructions_and_the_user_turn_the_problems() -> None:
    system, user = exam_messages(QUESTIONS, 512)
    assert (system["role"], user["role"]) == ("system", "user")
    assert not any(question in system["content"] for question in QUESTIONS)
    assert user["content"] == "\n\n".join(f"Problem {k}.\n{question}" for k, question in enumerate(QUESTIONS, start=1))
    assert exam_prompt(QUESTIONS, 512) == f"{system['content']}\n\n{user['content']}\n\n{RESPONSE_CUE}"


def test_a_problem_alone_comes_before_its_instructions_and_has_no_system_turn() -> None:
    for name in ALONE:
        (user,) = exam_messages(QUESTIONS[:1], 512, name)
        assert user["role"] == "user"
        assert user["content"].startswith(f"Problem:\n{QUESTIONS[0]}\n\nSolve this problem ")


def test_every_prompt_has_a_version_of_its_own_and_a_known_kind() -> None:
    assert len({prompt_sha256(name) for name in PROMPTS}) == len(PROMPTS) == 6
    assert {name: prompt.kind for name, prompt in PROMPTS.items() if prompt.kind != "exam"} == {
        "greedy_knapsack": "knapsack",
        "solo": "solo",
    }
    assert {name: kind.requests for name, kind in KINDS.items()} == {"exam": 2, "knapsack": 3, "solo": 1}
    assert set(BASELINES) == set(PROMPTS) - {"direct", "solo"}


@pytest.mark.parametrize("name", PROMPTS)
def test_no_prompt_tells_pool_difficulty_or_order(name: str) -> None:
    said = set(re.findall(r"[a-z0-9]+", prompt_of(name).lower()))
    telling = {"easy", "middle", "medium", "hard", "easier", "harder", "easiest", "hardest", "difficult", "difficulty"}
    telling |= {"tier", "pool", "gsm8k", "gsm", "math", "aime", "olympiad", "competition", "grade", "tiny", "fresh"}
    assert said & telling == COMPARISONS.get(name, set())


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("budget", [128, 512, 2048])
def test_the_budget_stands_in_every_prompt_and_no_place_is_left_open(name: str, budget: int) -> None:
    instructions = instructions_of(name, budget)
    assert f"at most {budget} tokens" in instructions
    assert re.findall(r"\{(?!answer\}|NA\})", instructions) == []
    assert "\\boxed{answer}" in instructions
    assert ("\\boxed{NA}" in instructions) == (name not in ALONE)
    assert ("NA" in instructions) == (name != "solo")
    assert RESPONSE_CUE not in instructions  # it costs a chat model most of its work
    assert prompt_of(name, budget).endswith(f"\n\n{RESPONSE_CUE}")


@pytest.mark.parametrize(("bounds", "given"), [((32, 64, 128), {"bounds": level_bounds("tiny-easy")}),
                                               ((256, 512, 1024), {})])  # fmt: skip
def test_level_bounds_stand_in_the_prompts_that_ask_for_levels(
    bounds: tuple[int, ...], given: dict[str, object]
) -> None:
    low, middle, high = bounds
    ranges = (
        f"Level-0 means at most {low} tokens, Level-1 at most {middle}, Level-2 at most {high}, and Level-3 not worth"
    )
    for name in PROMPTS:
        prompt = prompt_of(name, 77, **given)
        assert (ranges in prompt) == (name in WITH_LEVELS)
        assert ("<predicted_level>Level-k</predicted_level>" in prompt) == (name in WITH_LEVELS)
        assert ("Level-" in prompt) == (name in WITH_LEVELS)


@pytest.mark.parametrize("name", PROMPTS)
def test_questions_stand_whole_under_their_headers(name: str) -> None:
    questions = QUESTIONS[2:] if name in ALONE else QUESTIONS
    headers = ["Problem:"] if name in ALONE else ["Problem 1.", "Problem 2.", "Problem 3."]
    blocks = [f"{header}\n{question}" for header, question in zip(headers, questions, strict=True)]
    assert "\n\n".join(blocks) in exam_messages(questions, 512, name)[-1]["content"]


def test_what_sets_the_baselines_apart() -> None:
    said = {name: prompt.template.replace(PROBLEMS, "") for name, prompt in PROMPTS.items()}
    common = said["direct"].split("Write the response in this form:")[0]
    for name in ("plan_and_solve", "least_to_most", "metacognitive"):
        assert said[name].startswith(common)
    assert "Before the first header line, write a short plan" in said["plan_and_solve"]
    assert "form:\n\nyour plan\n\n### Problem 1\nyour work" in said["plan_and_solve"]
    assert "you may skip it at once" in said["least_to_most"]
    assert said["metacognitive"].count("### Problem 1\n<predicted_level>Level-k</predicted_level>\nyour work") == 1
    assert said["greedy_knapsack"].startswith(said["solo"])
    assert "three problems" in said["direct"]
    assert all("three" not in said[name] for name in ALONE)
    assert "skip" not in said["solo"]


def test_the_skeleton_shows_the_canonical_headers() -> None:
    for name, prompt in PROMPTS.items():
        shown = [f"{problem_header(k)}\n" in prompt.template for k in (1, 2, 3)]
        assert shown == [prompt.kind == "exam"] * 3, name


def test_a_skip_is_read_as_one() -> None:
    text = "".join(skipped_problem(position) for position in (1, 2, 3))
    assert text == "".join(f"{problem_header(k)}\n\\boxed{{NA}}\n" for k in (1, 2, 3))
    assert [segment.skipped for segment in read_response(text, 3).problems] == [True] * 3


def test_the_instructions_answer_no_problem() -> None:
    """A model that echoes a prompt's instructions has answered nothing, however many boxes they show."""
    for name in PROMPTS:
        segments = read_response(prompt_of(name), 1 if name in ALONE else 3).problems
        assert {segment.answer for segment in segments} == {None}, name


def test_every_question_of_the_generated_sets_survives() -> None:
    for exam_set in ("tiny", "fresh"):
        for exam in load_exams(exam_set)[:30]:
            questions = [problem.question for problem in exam.ordered("hard")]
            prompt = exam_prompt(questions, 128, "metacognitive", level_bounds(exam.problems[0].pool))
            assert all(f"Problem {k}.\n{question}\n\n" in prompt for k, question in enumerate(questions, start=1))


def test_an_unknown_prompt_is_named_with_the_nearest() -> None:
    assert find_prompt("solo") is PROMPTS["solo"]
    with pytest.raises(UsageError, match=shows("prompt", "'greedy_knapsak'", "'greedy_knapsack'")):
        find_prompt("greedy_knapsak")


PARAPHRASES = range(1, len(PROMPTS["direct"].paraphrases) + 1)


@pytest.mark.parametrize("paraphrase", PARAPHRASES)
@pytest.mark.parametrize("budget", [128, 2048])
def test_a_paraphrase_asks_the_same_in_other_words(paraphrase: int, budget: int) -> None:
    prompt = exam_prompt(QUESTIONS, budget, paraphrase=paraphrase)
    for said in (f"{budget} tokens", '"### Problem k"', "\\boxed{answer}", "\\boxed{NA}", "cut off", *QUESTIONS):
        assert said in prompt
    places = [prompt.index(question) for question in QUESTIONS]
    assert places == sorted(places)
    for question in QUESTIONS:
        prompt = prompt.replace(question, "")
    assert re.findall(r"\{(?!answer\}|NA\})", prompt) == []
    assert prompt.endswith(f"\n\n{RESPONSE_CUE}")
    canonical = [line for line in re.split(r"\. |\n", PROMPTS["direct"].template) if len(line) > 25]
    assert not any(sentence in PROMPTS["direct"].worded(paraphrase).template for sentence in canonical)
    said_words = set(re.findall(r"[a-z0-9]+", prompt.lower()))
    assert said_words & {"easy", "middle", "hard", "easier", "harder", "difficult", "gsm8k", "aime", "tiny"} == set()


def test_there_are_three_paraphrases_of_the_direct_prompt_each_with_a_version_of_its_own() -> None:
    assert list(PARAPHRASES) == [1, 2, 3]
    versions = {prompt_sha256("direct", number) for number in (0, *PARAPHRASES)}
    assert len(versions | {prompt_sha256(name) for name in PROMPTS}) == len(PROMPTS) + 3
    assert prompt_sha256("direct", 0) == prompt_sha256("direct")
    assert len({prompt.system == "" for prompt in PROMPTS["direct"].paraphrases}) == 2  # layouts
    assert all(not prompt.paraphrases for name, prompt in PROMPTS.items() if name != "direct")


@pytest.mark.parametrize(
    ("name", "paraphrase", "numbers"),
    [
        ("direct", 4, (1, 3, 0, 4)),
        ("direct", -1, (1, 3, 0, -1)),
        ("metacognitive", 1, (0, 1)),
    ],
)
def test_an_unknown_paraphrase_is_named(name: str, paraphrase: int, numbers: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=shows(repr(name), "paraphrase", *numbers)):
        find_prompt(name, paraphrase)
