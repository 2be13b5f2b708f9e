"""Token positions in text, with fast tokenizers and others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.errors import DependencyError, ModelError
from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.records.tokenizer import FileTokenCounter, HFTokenCounter, load_token_counter, load_tokenizer
from roi_bench.scoring.prompts import PROMPTS, skipped_problem
from tests.harness.random_model import byte_tokenizer, random_model
from tests.support.messages import shows

__all__ = ["random_model"]

FAST = HFTokenCounter(byte_tokenizer())

PIECES = [
    *(prompt.template for prompt in PROMPTS.values()),
    *(skipped_problem(1), "<predicted_level>Level-1</predicted_level>\n", "63 12 +15\n", "\\boxed{99}", "é", "\u2212"),
    *("<|end|>", "<|pad|>", "<|user|>", "<|assistant|>\n", "  ", "\r\n", "\x00"),
]
"""What responses are made of, and special tokens as text."""


class SlowTokenizer:
    """A tokenizer of one token a character that knows no positions; ``lossy`` decodes a blank to nothing."""

    is_fast = False

    def __init__(self, lossy: bool = False) -> None:
        self.lossy = lossy

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        assert not add_special_tokens
        return [ord(character) for character in text]

    def decode(self, ids: list[int]) -> str:
        text = "".join(chr(token) for token in ids)
        return text.replace(" ", "") if self.lossy else text


def test_starts_are_where_the_tokens_stand() -> None:
    assert list(FAST.token_starts("")) == []
    assert list(FAST.token_starts("a Problem")) == [0, 1, 3, 5]  # a, " P", "ro", "blem"
    assert list(FAST.token_starts("é1")) == [0, 0, 1]  # two bytes of one character


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_starts_ascend_and_agree_with_the_encoding(text: str) -> None:
    starts = list(FAST.token_starts(text))
    assert starts == sorted(starts)
    assert len(starts) == len(FAST.tokenizer.encode(text, add_special_tokens=False))
    assert all(0 <= start < len(text) for start in starts)
    cut, tokens = FAST.cut(text, len(starts))
    assert (cut, tokens) == (text, len(starts))


@given(st.text("abé 5P", max_size=20), st.integers(0, 25))
def test_a_cut_keeps_whole_tokens_and_no_more(text: str, budget: int) -> None:
    cut, tokens = FAST.cut(text, budget)
    assert tokens == len(FAST.token_starts(text))
    assert text.startswith(cut)
    if tokens <= budget:
        assert cut == text
    elif "é" not in text:
        assert len(FAST.token_starts(cut)) == budget


@pytest.mark.parametrize("lossy", [False, True])
def test_a_tokenizer_without_positions(lossy: bool) -> None:
    counter = HFTokenCounter(SlowTokenizer(lossy))
    assert list(counter.token_starts("ab cd")) == ([0, 1, 2, 2, 4] if lossy else [0, 1, 2, 3, 4])
    assert counter.token_starts("") == []
    assert counter.cut("ab cd", 2) == ("ab", 5)


def test_a_saved_tokenizer_is_loaded_once(random_model: Path) -> None:
    counter = load_token_counter(str(random_model))
    text = "### Problem 1\nand an error \\boxed{5}"
    assert list(counter.token_starts(text)) == list(FAST.token_starts(text))
    assert load_tokenizer(str(random_model)) is counter.tokenizer


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder"])
def test_a_missing_tokenizer_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=f"'{name}': [^\n]*$"):
        load_token_counter(name)


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match=shows(repr(str(tmp_path)))):
        load_token_counter(str(tmp_path))


@pytest.mark.parametrize("stage", SHIPPED_MODELS)
@settings(max_examples=60)
@given(text=st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_file_of_a_shipped_tokenizer_counts_what_transformers_counts(stage: str, text: str) -> None:
    folder = model_path(stage)
    starts = FileTokenCounter(folder / "tokenizer.json").token_starts(text)
    assert list(starts) == list(load_token_counter(str(folder)).token_starts(text))


def test_a_folder_without_a_tokenizer_is_told_in_a_whole_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=shows(repr(str(tmp_path)), "tokenizer.json")):
        load_token_counter(str(tmp_path))


def test_transformers_that_cannot_be_imported_says_why(monkeypatch):
    class Refusing(ModuleType):
        def __getattr__(self, name):
            raise ImportError("huggingface-hub>=1.3 is required")

    for module, said in ((Refusing("transformers"), shows("huggingface-hub>=1.3")), (None, shows("roi-bench[hf]"))):
        if module is not None:
            module.__spec__ = sys.modules[__name__].__spec__
        monkeypatch.setitem(sys.modules, "transformers", module)
        with pytest.raises(DependencyError, match=said):
            load_tokenizer("no/such-tokenizer")
