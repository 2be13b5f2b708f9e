"""What a model is sent: messages through its chat template, or bare text; no template loses the instructions."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.api_models import JsonChatStr
from transformers import AutoTokenizer

from roi_bench.exams.exam import sha256_text
from roi_bench.exams.sets import find_exam
from roi_bench.exams.tiny import model_path
from roi_bench.records.results import Sending, sending_of
from roi_bench.scoring.prompts import exam_messages, exam_prompt
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import ScriptedModel, oracle

HARD = "roi_tiny_hard_128"
IN_TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + IN_TURNS
DROPPING = IN_TURNS.replace("messages %}", "messages if m['role'] != 'system' %}")


def questions(order: str = "hard") -> list[str]:
    return [problem.question for problem in find_exam("tiny/0/000").ordered(order)]


def model_with(template: str, folder: Path) -> Path:
    """Save the tiny tokenizer with another chat template, and the tiny model beside it."""
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).write_bytes((Path(model_path()) / name).read_bytes())
    return folder


def sent_by_hf(template: str, folder: Path, **options: Any) -> list[str]:
    """The prompts of the first exam as lm_eval's own ``hf`` model is sent them."""
    results = simple_evaluate(
        [HARD],
        model="hf",
        model_args={"pretrained": str(model_with(template, folder)), "dtype": "float32"},
        metadata=None,
        limit=1,
        device="cpu",
        apply_chat_template=True,
        **options,
    )
    (sample,) = results["samples"][HARD]
    return [str(asked[0]) for asked in sample["arguments"]]


def test_a_template_that_shows_a_system_turn_is_given_one(tmp_path: Path) -> None:
    for order, sent in zip(("hard", "easy"), sent_by_hf(IN_TURNS, tmp_path), strict=True):
        system, user = exam_messages(questions(order), 128)
        assert sent == f"<system>{system['content']}<user>{user['content']}<assistant>"


@pytest.mark.parametrize("template", [REFUSING, DROPPING])
def test_a_template_without_system_role_is_given_the_instructions_in_the_users_turn(
    template: str, tmp_path: Path
) -> None:
    """lm_eval's models drop the system turn where the template refuses it, and the template may drop it itself."""
    sent = sent_by_hf(template, tmp_path, system_instruction="Be brief.")[0]
    system, user = exam_messages(questions(), 128)
    assert sent == f"<user>Be brief.\n\n{system['content']}\n\n{user['content']}<assistant>"


@pytest.mark.parametrize("instruction", [None, "Be brief."])
def test_without_template_the_prompt_is_bare_text_that_ends_with_the_cue(instruction: str | None) -> None:
    model = ScriptedModel(oracle)
    results = simple_evaluate(
        [HARD], model=model, model_args={}, metadata=None, limit=1, system_instruction=instruction
    )
    before = f"{instruction}\n\n" if instruction else ""
    assert model.prompts == [before + exam_prompt(questions(order), 128) for order in ("hard", "easy")]
    assert results["results"][HARD]["score,none"] == 3


def sending(results: dict[str, Any]) -> Sending:
    return sending_of(results["configs"][HARD]["metadata"]["roi_bench"])


class Templated(ScriptedModel):
    """A model whose chat template writes turns one after the other."""

    tokenizer_name = "templated"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> Any:
        return "".join(f"<{message['role']}>{message['content']}" for message in chat_history) + "<assistant>"


class Chat(Templated):
    """A chat endpoint as lm_eval's own models for it."""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> Any:
        return JsonChatStr(json.dumps(chat_history))


def test_the_record_says_how_prompts_were_sent() -> None:
    def sat(model: type[ScriptedModel], instruction: str | None = None) -> Sending:
        options = {"apply_chat_template": model is not ScriptedModel, "system_instruction": instruction}
        return sending(simple_evaluate([HARD], model=model(oracle), model_args={}, metadata=None, limit=1, **options))

    assert sat(ScriptedModel) == Sending("text")
    assert sat(ScriptedModel, "Be brief.") == Sending("text", None, sha256_text("Be brief."))
    assert sat(Chat) == Sending("messages")
    template = sat(Templated)
    assert (template.sent_as, template.system_instruction_sha256) == ("chat template", None)
    assert template.chat_template_sha256 is not None
    assert sat(Templated, "Be long.") == replace(template, system_instruction_sha256=sha256_text("Be long."))


def test_a_chat_endpoint_of_lm_eval_is_sent_the_system_turn() -> None:
    model = Chat(oracle)
    simple_evaluate([HARD], model=model, model_args={}, metadata=None, limit=1, apply_chat_template=True)
    assert model.prompts[0] == str(JsonChatStr(json.dumps(exam_messages(questions(), 128))))


@pytest.mark.parametrize(
    ("template", "more", "told"),
    [
        (IN_TURNS, {}, 1),
        (IN_TURNS, {"endpoint": "completions"}, 0),  # raw text was asked for
        (None, {}, 0),  # that of the tiny models, which were trained on bare text
    ],
)
def test_bare_text_for_a_model_with_a_chat_template_is_warned_about_once_a_run(
    template: str | None, more: dict[str, Any], told: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "roi_bench")  # whatever an earlier run in this process asked for
    folder = model_path() if template is None else model_with(template, tmp_path)
    common: dict[str, Any] = {"model_args": {}, "metadata": {"tokenizer": str(folder), **more}, "limit": 1}
    tasks = [HARD, "roi_tiny_medium_128"]
    for times in (1, 2):
        simple_evaluate(tasks, model=ScriptedModel(oracle), **common)
        lines = [one.message for one in caplog.records if "--apply_chat_template" in one.message]
        assert len(lines) == times * told
    simple_evaluate(tasks, model=Templated(oracle), apply_chat_template=True, **common)
    assert sum("--apply_chat_template" in one.message for one in caplog.records) == 2 * told
