"""At which budget generation ends: that of a training step's exams; with vLLM, held-out exams at the largest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from roi_bench.training.rarl.budget_trainer import budget_trainer_class


@pytest.mark.parametrize(
    ("use_vllm", "training", "limit"), [(True, True, 128), (True, False, 256), (False, True, 128), (False, False, 128)]
)
def test_where_generation_is_cut(monkeypatch, use_vllm, training, limit):
    kind = budget_trainer_class()
    monkeypatch.setattr(kind.__mro__[1], "_generate_and_score_completions", lambda self, inputs: {"rows": len(inputs)})
    trainer = kind.__new__(kind)
    trainer.use_vllm, trainer.model = use_vllm, SimpleNamespace(training=training)
    trainer.args = SimpleNamespace(max_completion_length=256)
    trainer.vllm_generation = SimpleNamespace(max_completion_length=None)
    trainer.generation_config = SimpleNamespace(max_new_tokens=None)
    assert trainer._generate_and_score_completions([{"budget": 128}, {"budget": 128}]) == {"rows": 2}
    cut = trainer.vllm_generation.max_completion_length if use_vllm else trainer.generation_config.max_new_tokens
    assert cut == limit
