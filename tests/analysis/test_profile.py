"""Solo profiles: made from scored responses, written, read back, and refused where damaged."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.efficiency import profile_table
from roi_bench.analysis.profile import Profile, SoloSkill, make_profile, parse_profile, profile_text
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import TIERS
from roi_bench.records.results import KEYS, RecordedTask, RunRecord, Sending
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import prompt_sha256
from roi_bench.scoring.tokens import Usage
from tests.support.attempts import score_solo, solo_attempt
from tests.support.exam_factory import WordCounter, make_exam
from tests.support.graders import EqualityGrader

EXAM = make_exam()
RECORD = RunRecord("solo", "v1", None, None, 50, 2, "solo", prompt_sha256("solo"), None, None, True, ())
TASK = RecordedTask(
    "roi_solo_512", Path("results_x.json"), Path("samples_x.jsonl"), RECORD, "some/model", {"temperature": 0.7}, {}, ()
)


def scored(responses: dict[str, list[Response]], counted: bool = True) -> dict[str, Any]:
    attempts = [
        solo_attempt(problem, tier, RECORD.budget, tuple(responses[problem.id]))
        for problem, tier in zip(EXAM.problems, TIERS, strict=True)
    ]
    found = score_solo(attempts, EqualityGrader(), WordCounter() if counted else None)
    return {attempt.document.problem.id: samples for attempt, samples in zip(attempts, found, strict=True)}


def answers(*texts: str | None, tokens: int | None = None) -> list[Response]:
    usage = None if tokens is None else Usage(tokens, "stop", "generated")
    return [Response(text, usage) for text in texts]


RESPONSES = {
    EXAM.problems[0].id: answers("### Problem 1 \\boxed{1}", "### Problem 1 so \\boxed{9}"),
    EXAM.problems[1].id: answers("\\boxed{NA}", "a b c d \\boxed{2}"),
    EXAM.problems[2].id: answers("no idea at all", "\\boxed{3}", tokens=50),
}


def test_costs_and_successes_by_problem():
    profile = make_profile(TASK, scored(RESPONSES), skip_cost=6)
    easy, middle, hard = (profile.skills[problem.id] for problem in EXAM.problems)
    assert (easy.costs, easy.correct) == ((4, 5), (True, False))
    assert (middle.costs, middle.correct) == ((1, 5), (False, True))
    assert (hard.costs, hard.correct) == ((50, 50), (False, True))
    assert (profile.cap, profile.samples, profile.skip_cost, profile.model) == (50, 2, 6, "some/model")
    costs, correct = profile.arrays([EXAM], "hard")
    assert costs.tolist() == [[[50, 50], [1, 5], [4, 5]]]
    assert correct.tolist() == [[[False, True], [False, True], [True, False]]]
    assert profile.covers(EXAM)
    with pytest.raises(UsageError, match=r"made-up/007.*1"):
        profile.arrays([EXAM, make_exam(7)], "hard")


def test_text_counted_again_above_the_cap_costs_the_cap():
    responses = RESPONSES | {EXAM.problems[0].id: answers("w " * 51 + "\\boxed{1}", "w " * 200)}
    profile = make_profile(TASK, scored(responses))
    skill = profile.skills[EXAM.problems[0].id]
    assert (skill.costs, skill.correct) == ((50, 50), (True, False))


def test_missing_responses_and_unknown_tokens_are_refused():
    with pytest.raises(RecordError, match=EXAM.problems[0].id):
        make_profile(TASK, scored(RESPONSES | {EXAM.problems[0].id: answers(None, "x")}))
    with pytest.raises(RecordError, match="--tokenizer"):
        make_profile(TASK, scored(RESPONSES, counted=False))


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=6), st.integers(0, 2**31))
def test_what_is_written_is_read_back(samples, seed):
    costs, correct = zip(*samples, strict=True)
    order = np.random.default_rng(seed).permutation(len(samples))
    skills = {
        "gsm8k/test/1": SoloSkill(costs, correct),
        'math/ü"\\/2': SoloSkill(tuple(costs[k] for k in order), tuple(correct[k] for k in order)),
    }
    profile = Profile(
        "m/odel", "fresh", 3, 50, 7, prompt_sha256("solo"), {"temperature": 0.7, "do_sample": True}, skills
    )
    text = profile_text(profile)
    assert parse_profile(text.encode(), "file") == profile
    assert profile_text(parse_profile(text.encode(), "file")) == text
    json.loads(text)


def test_a_profile_knows_how_its_prompts_were_sent():
    sending = Sending("chat template", "1" * 64, "2" * 64)
    task = replace(TASK, record=replace(RECORD, **asdict(sending)))
    profile = make_profile(task, scored(RESPONSES))
    assert profile.sending == sending
    text = profile_text(profile)
    assert parse_profile(text.encode(), "file") == profile
    older = {name: value for name, value in json.loads(text).items() if name not in KEYS}
    assert parse_profile(json.dumps(older).encode(), "file") == replace(profile, sending=Sending())


def damaged(change: dict[str, Any]) -> bytes:
    value = json.loads(profile_text(make_profile(TASK, scored(RESPONSES))))
    return json.dumps({**value, **change}).encode()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "roi-bench profile"),
        (b"[]", "JSON"),
        (b"[" * 100_000, "nested"),
        (b"\xff\xfe", "roi-bench profile"),
        (damaged({"format": "x"}), "'roi-bench solo profile'"),
        (damaged({"version": 2}), "2.*1.*1.*1"),
        (damaged({"cap": "512"}), "'cap'"),
        (damaged({"skip_cost": -1}), "'skip_cost'"),
        (damaged({"decoding": None}), "'decoding'"),
        (damaged({"sent_as": "a letter"}), "'sent_as'"),
        (damaged({"chat_template_sha256": 1}), "'chat_template_sha256'"),
        (damaged({"problems": {}}), "problems"),
        (damaged({"problems": None}), "roi-bench profile"),
        (damaged({"problems": {"a": [[1], [1, 0]]}}), "'a'.*1 cost.*2 verdict"),
        (damaged({"problems": {"a": [[], []]}}), "'a'.*0 cost"),
        (damaged({"problems": {"a": [[51], [1]]}}), "'a'.*cost.*cap"),
        (damaged({"problems": {"a": [[1.5], [1]]}}), "'a'.*cost"),
        (damaged({"problems": {"a": [[True], [1]]}}), "'a'.*cost"),
        (damaged({"problems": {"a": [[1], [2]]}}), "'a'.*verdict"),
        (damaged({"problems": {"a": [[1], [1]], "b": [[1, 2], [1, 1]]}}), "samples"),
        (damaged({"problems": {"a": 7}}), "roi-bench profile"),
        (damaged({"prompt_sha256": "0" * 64}), "prompt.*000000000000"),
    ],
)
def test_damaged_profiles_end_in_one_error(content, fact):
    with pytest.raises(RecordError, match=f"my file.*{fact}"):
        parse_profile(content, "my file")


def test_the_table_of_a_profile():
    profile = make_profile(TASK, scored(RESPONSES))
    table = profile_table(profile, [EXAM, make_exam(3)])
    heads = [column.name for column in table.columns]
    rows = {row[0]: dict(zip(heads, row, strict=True)) for row in table.rows}
    assert rows["gsm8k"]["problems"] == 1
    assert (rows["gsm8k"]["right within 12"], rows["gsm8k"]["tokens"], rows["gsm8k"]["tokens if right"]) == (
        0.5,
        4.5,
        4.0,
    )
    assert (rows["aime"]["right within 25"], rows["aime"]["right within 50"], rows["aime"]["ever right"]) == (
        0.0,
        0.5,
        1.0,
    )
    nothing = replace(profile, skills={EXAM.problems[2].id: SoloSkill((9, 9), (False, False))})
    (row,) = profile_table(nothing, [EXAM]).rows
    assert row[0] == "aime"
    assert row[-1] is None
