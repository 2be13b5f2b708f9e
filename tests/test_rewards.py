"""The reward that other trainers import: ids or texts in, rewards and details out; bad input; the page about it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from roi_bench.errors import UsageError
from roi_bench.exams.tiny import model_path, tiny_training_exams
from roi_bench.rewards import COLUMNS, Reward, exam_reward, exam_row, reward_responses, reward_row
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.rarl.rarl import exported_rows
from tests.training.tiny_labels import token_count, tokenizer

PAGE = Path(__file__).parents[1] / "docs" / "other-trainers.md"
EXAM = tiny_training_exams(seed=11, count=1)[0]
LEVELS = {"easy": 0, "middle": 1, "hard": 2}


def row(order="easy", budget=256, **reward):
    return exam_row(EXAM, order, budget, "tiny", Reward(**reward))


def worked(order="easy", wrong=()):
    """A response that works all problems, with the right forecasts; wrong ones by position from 0."""
    parts = []
    for index, (problem, tier) in enumerate(zip(EXAM.ordered(order), EXAM.tiers(order), strict=True)):
        work = problem.solution.replace("\\boxed{", "\\boxed{1") if index in wrong else problem.solution
        level = LEVELS[tier]
        parts.append(f"### Problem {index + 1}\n<predicted_level>Level-{level}</predicted_level>\n{work}\n")
    return "".join(parts).rstrip("\n")


def ids(text):
    return [*tokenizer().encode(text, add_special_tokens=False), tokenizer().eos_token_id]


def columns(*rows):
    return {name: [one[name] for one in rows] for name in COLUMNS}


def test_ids_and_texts_earn_the_same_and_columns_count_by_row():
    rows = columns(row(), row("hard"), row("hard", 128))
    texts = [worked(), worked("hard", wrong=(0,)), worked("hard")]
    expected = [3.0, 2.0, 1.0]  # all; two; what stands before the cut
    assert exam_reward(completion_ids=[ids(text) for text in texts], **rows) == expected
    assert exam_reward(completions=texts, **rows) == expected
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    assert exam_reward(completions=messages, **rows) == expected


def test_it_takes_what_trl_passes_and_logs_through_it():
    metrics, extra = {}, {}
    found = exam_reward(
        prompts=[EXAM.problems[0].question + EXAM.problems[1].question + EXAM.problems[2].question],
        completions=["not read where there are ids"],
        completion_ids=[ids(worked(wrong=(1,)))],
        **columns(row()),
        trainer_state=SimpleNamespace(global_step=1),
        log_metric=metrics.__setitem__,
        log_extra=extra.__setitem__,
        some_other_column=[1],
    )
    assert found == [2.0]
    assert (metrics["score"], metrics["truncated"], metrics["level_accuracy"]) == (2.0, 0.0, 1.0)
    assert extra == {"outcomes": ["correct wrong correct"], "levels": ["0/0 1/1 2/2"]}


def test_details_say_what_decided():
    skipping = "### Problem 1\n\\boxed{NA}\n### Problem 2\n\\boxed{NA}\n### Problem 3\n\\boxed{NA}"
    (found,) = reward_responses(completions=[skipping], **columns(row(format_fault=0.5)))
    assert (found.reward, found.problem_rewards) == (-1.5, (-0.5, -0.5, -0.5))
    assert [one.outcome for one in found.scored.problems] == ["skipped"] * 3
    assert reward_row(row(level=False), worked("easy").replace("Level-0", "Level-2")).reward == 3.0
    assert reward_row(row(), worked("easy").replace("Level-0", "Level-2")).reward == 2.0
    assert reward_row(row(), ids(worked())).reward == 3.0


def test_padding_behind_the_end_counts_for_nothing():
    padded = [*ids(worked()), *[tokenizer().pad_token_id] * 5]
    (found,) = reward_responses(completion_ids=[padded], **columns(row()))
    assert (found.reward, found.scored.usage.tokens) == (3.0, token_count(worked()) + 1)


def test_a_text_over_its_budget_is_cut_there():
    (found,) = reward_responses(completions=[worked("hard")], **columns(row("hard", 128)))
    assert (found.scored.usage.tokens, found.scored.usage.finish_reason) == (128, "length")


def test_without_a_tokenizer_correct_answers_are_paid_alone():
    bare = {**columns(row(level=False)), "tokenizer": None}
    assert exam_reward(completions=[worked(wrong=(2,))], **bare) == [2.0]


def test_no_responses_have_no_rewards():
    assert exam_reward(problems=[], budget=[]) == []
    assert exam_reward([], [], [], **columns()) == []


def test_a_response_without_tokens_earns_nothing():
    assert exam_reward(completion_ids=[[]], **columns(row())) == [0.0]


OTHER = tiny_training_exams(seed=12, count=1)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompts": [OTHER.problems[0].question]}, ("row 0 (train/tiny", "another exam")),
        ({"completion_ids": None}, ("neither completion_ids nor completions",)),
        ({"completion_ids": []}, ("completion_ids has 0 entries", "problems has 1")),
        ({"completion_ids": [["a"]]}, ("row 0", "token ids")),
        ({"completion_ids": [None], "completions": [None]}, ("row 0", "None")),
        ({"completion_ids": [[-1]]}, ("row 0", "token ids")),
        ({"tokenizer": None}, ("row 0", "tokenizer")),
        ({"tokenizer": [None], "reward": [Reward(level=False)]}, ("row 0", "without a tokenizer")),
        ({"tokenizer": ["tiny", "tiny"]}, ("1 responses and 2",)),
        ({"budget": [0]}, ("budget is 0",)),
        ({"problems": [[]]}, ("problems is []",)),
        ({"problems": [[{"id": "a"}]]}, ("id, pool, tier, question",)),
        ({"problems": [[{**row()["problems"][0], "answers": []}]]}, ("at least one of answers",)),
        ({"problems": [[{**row()["problems"][0], "tier": "brutal"}]]}, ("'brutal'",)),
        ({"reward": {"levl": True}}, ("'levl'", "level")),
        ({"reward": 3}, ("reward is 3",)),
    ],
    ids=str,
)
def test_bad_input_is_named_with_its_row(change, words):
    given = {**columns(row()), "completion_ids": [ids(worked())], **change}
    with pytest.raises(UsageError) as caught:
        exam_reward(**given)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_row_without_its_columns_is_refused():
    with pytest.raises(UsageError, match="problems and no budget"):
        reward_row({}, "text")


def test_exported_rows_hold_what_the_reward_needs():
    recipe = load_recipe("tiny", ["rarl.steps=2", "rarl.prompts=3", "rarl.generations=4", "rarl.device_batch_size=12"])
    rows = json.loads(json.dumps(exported_rows(recipe)))
    assert [one["budget"] for one in rows] == [128] * 3 + [256] * 3
    assert all(set(one) == {"prompt", *COLUMNS} for one in rows)
    given = {name: [one[name] for one in rows] for name in COLUMNS}
    prompts = [one["prompt"] for one in rows]
    assert exam_reward(prompts=prompts, completions=["\\boxed{NA}"] * 6, **given) == [-0.25] * 6
    with pytest.raises(UsageError, match="another exam"):
        exam_reward(prompts=prompts[1:] + prompts[:1], completions=[""] * 6, **given)
    held_out = exported_rows(recipe, held_out=True)
    assert {one["order"] for one in held_out} >= {"easy", "hard"}
    assert not {p["question"] for one in held_out for p in one["problems"]} & {
        p["question"] for one in rows for p in one["problems"]
    }


def test_it_is_imported_without_any_trainer():
    script = "import sys, roi_bench.rewards; print([m for m in sys.modules if m.split('.')[0] in {'trl', 'torch'}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ----------------------------------------------------------------- the page


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def names_in(start, folder):
    """Run the one block of Python that holds ``start``, and return its names."""
    (found,) = [block for block in blocks("python") if start in block]
    (folder / "block.py").write_text(found, "utf-8")
    return runpy.run_path(str(folder / "block.py"))


@pytest.mark.slow
def test_plain_trl_grpo_trains_by_the_configuration_of_the_page(tmp_path):
    (configuration,) = blocks("yaml")
    model = str(model_path("mft"))
    (tmp_path / "grpo.yaml").write_text(configuration.replace("MODEL", model), "utf-8")
    exams, train = [line for block in blocks("bash") for line in block.splitlines()][:2]
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for command in (exams, f"{train} --use_cpu --bf16 false"):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    logged = re.findall(r"'rewards/exam_reward/mean': '([-\d.]+)'", done.stdout)
    assert len(logged) == 2
    assert all(0 < float(value) <= 3 for value in logged)
    assert "'level_accuracy'" in done.stdout
    assert (tmp_path / "grpo-model" / "model.safetensors").is_file()


def test_the_example_of_the_page_prints_what_it_says(tmp_path, capsys):
    names_in("print(", tmp_path)
    (example,) = [block for block in blocks("python") if "print(" in block]
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\) +# (.*)", example)


def test_verls_function_of_the_page(tmp_path):
    space = names_in("def compute_score", tmp_path)
    found = space["compute_score"]("roi-bench", worked(wrong=(0,)), json.dumps(row()), extra_info={"index": 0})
    assert found == {"score": 2.0, "exam_score": 2}
    as_verl = space["verl_row"]({"prompt": "asked", **row()})
    assert as_verl["prompt"] == [{"role": "user", "content": "asked"}]
    assert space["compute_score"](as_verl["data_source"], worked(), as_verl["reward_model"]["ground_truth"]) == {
        "score": 3.0, "exam_score": 3,
    }  # fmt: skip


def test_prime_rls_taskset_of_the_page(monkeypatch, tmp_path):
    """On a stand-in with the names of verifiers 0.4, which cannot be installed beside this environment's packages."""

    class Data(SimpleNamespace):
        pass

    class Generic:
        def __class_getitem__(cls, _):
            return cls

        def __init__(self, data=None, config=None):
            self.data, self.config = (data, config) if config is not None else (None, data)

    stand_in = ModuleType("verifiers.v1")
    stand_in.TaskData, stand_in.Task, stand_in.Taskset = Data, Generic, Generic
    stand_in.TasksetConfig = type("TasksetConfig", (), {"task": None})
    stand_in.Trace, stand_in.reward = object, lambda **_: lambda function: function
    monkeypatch.setitem(sys.modules, "verifiers", ModuleType("verifiers"))
    monkeypatch.setitem(sys.modules, "verifiers.v1", stand_in)
    sys.modules["verifiers"].v1 = stand_in
    (tmp_path / "exams.jsonl").write_text(json.dumps({"prompt": "asked", **row()}) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    space = names_in("vf.Taskset", tmp_path)
    config = space["ExamsConfig"]()
    config.task = object()
    (task,) = space["ExamsTaskset"](config).load()
    assert task.data.prompt == "asked"
    assert asyncio.run(task.earned(SimpleNamespace(last_reply=worked(wrong=(0, 1))))) == 1.0
