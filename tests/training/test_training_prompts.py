"""A prompt is the same tokens where it is sampled, trained on in both stages, and measured.

Tokenizers as those of Llama, Gemma and Mistral put BOS before a text by themselves, and their chat templates write it
as well; others have no BOS. The prompts go through the real SFTTrainer, GRPOTrainer and ``hf`` model of lm_eval.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from roi_bench.exams.tiny import TINY_CHAT_TEMPLATE, model_path
from roi_bench.harness.run_arguments import parse_arguments
from roi_bench.scoring.prompts import as_text, exam_messages
from roi_bench.tiny_family.model import build_tokenizer
from roi_bench.training.data import chat_wrapper, exam_stream, trl_prompt
from roi_bench.training.mft.labels import Example
from roi_bench.training.mft.mft import BaseModelEngine, sft_arguments, sft_row
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.rarl import budget_trainer
from roi_bench.training.rarl.rarl import ScheduledExam, exam_rows, grpo_arguments
from roi_bench.training.stages.evaluation import Call, stage_command
from roi_bench.training.stages.model import load_model

CALL = Call("mft", ("roi_tiny_hard_128_metacognitive",), {}, 1)

BOS = "<|pad|>"
"""A special token that the tiny model knows and no prompt holds stands for BOS."""


def tokenizer_with(adds_bos: bool, template_writes_bos: bool) -> Any:
    """The tiny tokenizer, made to treat BOS like those of larger models."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = build_tokenizer()
    if adds_bos or template_writes_bos:
        tokenizer.bos_token = BOS
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.bos_token_id)]
        )
    if template_writes_bos:
        tokenizer.chat_template = "{{ bos_token }}" + TINY_CHAT_TEMPLATE
    return tokenizer


@dataclass
class Prompts:
    """The first exam of the training stream as a prompt, and the text as sent."""

    tokenizer: Any
    chat: bool
    changes: tuple[str, ...] = ()

    def __post_init__(self):
        self.recipe = load_recipe("test", [f"chat={str(self.chat).lower()}", *self.changes])
        self.model = load_model(str(model_path()), self.recipe).eval()
        exam = next(exam_stream("tiny", 5))
        self.rows = exam_rows([exam], [ScheduledExam(0, "easy", 128)], self.recipe, self.tokenizer)
        questions = [problem.question for problem in exam.ordered("easy")]
        self.messages = exam_messages(questions, 128, "metacognitive", (32, 64, 128))
        self.sent = chat_wrapper(self.recipe, self.tokenizer)(self.messages)

    def of_sampling(self, monkeypatch):
        engine = BaseModelEngine(self.model, self.tokenizer, self.recipe.sampling, 3, 0)
        asked = []
        with monkeypatch.context() as patch:
            patch.setattr(budget_trainer, "generate", lambda model, prompts, *_: asked.extend(prompts) or prompts)
            engine._write([self.sent, self.sent * 2], 0)
        return asked[0]

    def of_mft(self, folder):
        """The tokens of an example that the loss leaves out."""
        from datasets import Dataset
        from trl import SFTTrainer

        example = Example("exam", self.messages, "\\boxed{NA}\n", "easy", 128, (3, 3, 3), (), 5)
        trainer = SFTTrainer(
            model=self.model,
            args=sft_arguments(self.recipe, folder),
            train_dataset=Dataset.from_list([sft_row(example, self.recipe, self.tokenizer)]),
            processing_class=self.tokenizer,
        )
        row = trainer.train_dataset[0]
        assert len(row["labels"]) == len(row["input_ids"])
        return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]

    def of_rarl(self, folder):
        from trl import GRPOTrainer

        trainer = GRPOTrainer(
            model=self.model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=grpo_arguments(self.recipe, folder),
            train_dataset=self.rows,
            eval_dataset=self.rows,
            processing_class=self.tokenizer,
        )
        (own,) = trainer._tokenize_prompts([self.rows[0]["prompt"]])[0]
        assert budget_trainer.prompt_ids([self.rows[0]["prompt"]], trainer) == [own]
        return own

    def of_lm_eval(self, monkeypatch):
        """What ``generate_until`` asks of the model, with the context that the arguments of ``roi-bench run`` make."""
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        config = parse_arguments(stage_command(self.recipe, CALL, "m", Path("r"), cuda=False)[1:]).config
        template = {key: value for key, value in config.model_args.items() if key == "chat_template_args"}
        sizes = {"backend": "causal", "device": "cpu", "batch_size": 2}
        measured = HFLM(pretrained=self.model, tokenizer=self.tokenizer, **sizes, **template)
        own = [message["content"] for message in self.messages[:-1]]
        system = "\n\n".join(filter(None, [config.system_instruction, *own]))  # as the task joins them
        messages = [{"role": "system", "content": system}, self.messages[-1]]
        context = measured.apply_chat_template(messages) if config.apply_chat_template else as_text(messages)
        settings = {"until": [], "max_gen_toks": 3, "do_sample": False}
        requests = [Instance("generate_until", {}, (text, settings), 0) for text in (context, context * 2)]
        return without_padding(asked_of(self.model, monkeypatch, lambda: measured.generate_until(requests, True)))


def asked_of(model, monkeypatch, act):
    """The first call of ``model.generate`` while ``act`` is done."""
    calls = []
    generate = model.generate

    def noted(*args, **settings):
        calls.append(settings)
        return generate(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(model, "generate", noted)
        act()
    return calls[0]


def without_padding(asked):
    """The shorter of two prompts; the longer is there so that the shorter one is padded."""
    rows = [
        [token for token, kept in zip(tokens.tolist(), mask.tolist(), strict=True) if kept]
        for tokens, mask in zip(asked["input_ids"], asked["attention_mask"], strict=True)
    ]
    return min(rows, key=len)


@pytest.mark.parametrize(
    ("adds_bos", "template_writes_bos", "chat", "count"),
    [
        (False, False, False, 0),  # the tiny model
        (False, False, True, 0),
        (True, True, False, 1),  # as Llama, Gemma and Mistral
        (True, True, True, 1),
        (False, True, False, 0),  # BOS in the template alone
        (False, True, True, 1),
    ],
)
def test_a_prompt_is_the_same_tokens_everywhere(tmp_path, monkeypatch, adds_bos, template_writes_bos, chat, count):
    prompts = Prompts(tokenizer_with(adds_bos, template_writes_bos), chat)
    measured = prompts.of_lm_eval(monkeypatch)
    assert measured == expected(prompts, count)
    assert prompts.of_sampling(monkeypatch) == measured
    assert prompts.of_mft(tmp_path) == measured
    assert prompts.of_rarl(tmp_path) == measured


@pytest.mark.parametrize("chat", [False, True])
def test_system_prompt_and_arguments_of_the_template_hold_everywhere(tmp_path, monkeypatch, chat):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{% if thinking is false %}<|pad|>{% endif %}" + TINY_CHAT_TEMPLATE
    changes = ["system_prompt=Start at 5.", *(["chat_template_kwargs={thinking: false}"] if chat else [])]
    prompts = Prompts(tokenizer, chat, tuple(changes))
    assert ("<|pad|>" in prompts.sent) == chat
    assert "Start at 5.\n\nAnswer the three problems" in prompts.sent
    measured = prompts.of_lm_eval(monkeypatch)
    assert measured == tokenizer.encode(prompts.sent, add_special_tokens=False)
    assert prompts.of_sampling(monkeypatch) == measured
    assert prompts.of_mft(tmp_path) == measured
    assert prompts.of_rarl(tmp_path) == measured


def test_where_a_chat_template_lacks_the_bos_that_the_tokenizer_adds_sampling_follows_the_measurement(
    tmp_path, monkeypatch
):
    """TRL takes a chat template as it is, lm_eval adds BOS to it; should one of them change, this fails."""
    prompts = Prompts(tokenizer_with(True, False), True)
    measured = prompts.of_lm_eval(monkeypatch)
    assert measured == expected(prompts, 1)
    assert prompts.of_sampling(monkeypatch) == measured
    assert prompts.of_mft(tmp_path) == prompts.of_rarl(tmp_path) == expected(prompts, 0)


def test_where_a_template_refuses_the_system_turn_training_keeps_the_instructions_in_the_users():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + TINY_CHAT_TEMPLATE
    )
    messages = exam_messages(["A?", "B?", "C?"], 128, "metacognitive", (32, 64, 128))
    recipe = load_recipe("test", ["chat=true", "system_prompt=Be brief."])
    (user,) = trl_prompt(messages, recipe, tokenizer)
    assert user == {"role": "user", "content": f"Be brief.\n\n{messages[0]['content']}\n\n{messages[1]['content']}"}
    sent = chat_wrapper(recipe, tokenizer)(messages)
    assert sent == f"<|user|>\n{user['content']}<|end|>\n<|assistant|>\n"


def expected(prompts, count):
    """The tokens of the text as sent, with ``count`` BOS before them."""
    plain = build_tokenizer()
    bos = plain.convert_tokens_to_ids(BOS)
    return [bos] * count + plain.encode(prompts.sent.removeprefix(BOS), add_special_tokens=False)
