"""Settings of a task, their labels, and the two small guards beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from roi_bench.errors import ModelError, UsageError
from roi_bench.harness.sending import check_context, context_length
from roi_bench.scoring.task_settings import GREEDY, budget_of, deviations, task_settings
from tests.support.exam_factory import WordCounter
from tests.support.messages import shows

NAMED = {"exam_set": "fresh", "order": "hard", "budget": 512, "prompt": "direct"}


def test_metadata_overrides_and_names_stay() -> None:
    settings = task_settings(NAMED, {"budget": "2048", "repeats": 4, "exam_seed": 3, "pretrained": "x"})
    assert (settings.budget, settings.repeats, settings.exam_seed, settings.order) == (2048, 4, 3, "hard")
    assert task_settings({**NAMED, "exam_set": "v1"}, {}).exam_seed is None


@pytest.mark.parametrize(
    ("named", "metadata", "facts"),
    [
        ({**NAMED, "order": "hrd"}, {}, ("order", "'hrd'", "'hard'")),
        ({**NAMED, "exam_set": "fersh"}, {}, ("exam_set", "'fersh'", "'fresh'")),
        ({**NAMED, "prompt": "dirct"}, {}, ("prompt", "'dirct'", "'direct'")),
        (NAMED, {"budget": -5}, ("budget", 1, -5)),
        (NAMED, {"budget": True}, ("budget", True)),
        (NAMED, {"buget": 64}, ("'buget'", "--metadata", "'budget'")),
        (NAMED, {"order": "easy"}, ("--metadata", "'order'")),
        ({**NAMED, "exam_set": "v1"}, {"exam_seed": 1}, ("exam_seed", "version 1")),
        (NAMED, {"paraphrase": 4}, ("'direct'", "paraphrase", 1, 3, 4)),
        (NAMED, {"paraphrase": -1}, ("paraphrase", 0, -1)),
        (NAMED, {"paraphrase": "one"}, ("paraphrase", "'one'")),
        (NAMED, {"parafrase": 1}, ("'parafrase'", "--metadata", "'paraphrase'")),
        (NAMED, {"decodin": "model"}, ("'decodin'", "--metadata", "'decoding'")),
        (NAMED, {"decoding": "own"}, ("decoding", "'own'", "--metadata")),
        ({**NAMED, "prompt": "metacognitive"}, {"paraphrase": 1}, ("'metacognitive'", "paraphrase", 0, 1)),
        ({**NAMED, "prompt": "greedy_knapsack"}, {"paraphrase": 1}, ("'greedy_knapsack'", "paraphrase", 0, 1)),
        ({"exam_set": "v1", "budget": 512, "prompt": "solo"}, {"paraphrase": 2}, ("'solo'", "paraphrase", 0, 2)),
    ],
)
def test_unknown_values_are_refused_with_the_nearest(
    named: dict[str, object], metadata: dict[str, object], facts: tuple[object, ...]
) -> None:
    with pytest.raises(UsageError, match=shows(*facts)):
        task_settings(named, metadata)


def test_deviations_name_every_difference_once() -> None:
    settings = task_settings(NAMED, {})
    assert deviations(NAMED, settings, {**GREEDY, "max_gen_toks": 512}, None) == ()
    changed = {**GREEDY, "max_gen_toks": 512, "temperature": 0.5, "do_sample": True, "until": ["\n"], "top_p": 0.9}
    assert deviations(NAMED, settings, changed, "x") == (
        "do_sample=True",
        "temperature=0.5",
        "top_p=0.9",
        "until=['\\n']",
        "system_instruction",
    )


def test_the_models_own_decoding_is_a_setting_and_a_label() -> None:
    settings = task_settings(NAMED, {"decoding": "model"})
    assert settings.generation == {"until": [], "decoding": "model"}
    labels = ("decoding=model", "temperature=0.5")
    assert deviations(NAMED, settings, {**settings.generation, "max_gen_toks": 512, "temperature": 0.5}, None) == labels
    assert deviations(NAMED, task_settings(NAMED, {}), {"decoding": "model"}, None) == labels[:1]  # as a board reads it
    assert task_settings(NAMED, {"decoding": "neutral"}) == task_settings(NAMED, {})


def test_a_paraphrase_is_a_setting_and_a_label() -> None:
    settings = task_settings(NAMED, {"paraphrase": "2"})
    assert (settings.paraphrase, settings.prompt) == (2, "direct")
    assert deviations(NAMED, settings, {**GREEDY, "max_gen_toks": 512}, None) == ("paraphrase=2",)
    assert task_settings(NAMED, {"paraphrase": 0}) == task_settings(NAMED, {})
    assert deviations(NAMED, task_settings(NAMED, {"paraphrase": 0}), {**GREEDY, "max_gen_toks": 512}, None) == ()


def test_budget_aliases_must_agree() -> None:
    assert budget_of({}, 512) == 512
    assert budget_of({"max_gen_toks": 512, "max_tokens": 64}, 512) == 64  # the first one is the task's own
    assert budget_of({"max_new_tokens": 64, "max_tokens": 64}, 512) == 64
    with pytest.raises(UsageError, match=shows("max_new_tokens", 64, "max_tokens", 32)):
        budget_of({"max_new_tokens": 64, "max_tokens": 32}, 512)


def test_the_longest_prompt_decides() -> None:
    prompts = ["w " * 10, "w " * 40]
    check_context(prompts, 59, 100, WordCounter(), "task")  # 40 words and a start token
    with pytest.raises(ModelError, match=shows("task", 41, 60, 100)):
        check_context(prompts, 60, 100, WordCounter(), "task")


def test_context_length_is_the_backends(tmp_path: Path) -> None:
    assert context_length({"max_length": 77, "pretrained": "x"}) == 77
    assert context_length({}) is None
    (tmp_path / "config.json").write_text('{"model_type": "qwen2", "max_position_embeddings": 321}', encoding="utf-8")
    assert context_length({"pretrained": str(tmp_path)}) == 321


@pytest.mark.parametrize(
    ("error", "last"), [("UsageError('bad value 7')", "roi-bench: bad value 7"), ("KeyError('x')", "KeyError: 'x'")]
)
def test_only_our_errors_lose_their_traceback(error: str, last: str) -> None:
    imports = "from roi_bench.errors import *; from roi_bench.harness.ending import install_one_line_errors"
    code = f"{imports}; install_one_line_errors(); install_one_line_errors(); raise {error}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == last
    assert ("Traceback" in done.stderr) == (error == "KeyError('x')")
