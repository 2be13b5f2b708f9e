"""How close the two best tokens were where two responses diverge: the two largest logits, computed in float32."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from roi_bench.analysis.engines.agreement import (
    EngineRun,
    PairAgreement,
    ResponsePair,
    TokenGap,
    finish_of,
    first_difference,
)
from roi_bench.errors import DependencyError, ModelError, first_line
from roi_bench.records.tokenizer import load_tokenizer

Parted = tuple[PairAgreement, ResponsePair, str]
"""A pair of runs, a pair of its responses whose texts differ, and the prompt that both answer."""

Show = Callable[[Iterable[Parted]], Iterable[Parted]]
"""Goes through these and shows progress."""


def token_gaps(
    folder: str,
    pairs: Sequence[PairAgreement],
    runs: Sequence[EngineRun],
    *,
    trust_remote_code: bool = False,
    show: Show = iter,
) -> list[tuple[PairAgreement, TokenGap]]:
    """Return the gap between the two largest logits at the first differing token of each pair of texts.

    Args:
        folder: The model, a folder or a name on the hub.
        pairs: The pairs of runs.
        runs: All runs; if those of a pair sent messages, the prompt is taken from a run that sent the same as text.
        trust_remote_code: Allow code that the model brings.
        show: Shows progress.

    Raises:
        DependencyError: transformers or torch is not installed.
        ModelError: The model cannot be loaded.
    """
    waiting = [
        (pair, item, prompt)
        for pair in pairs
        for item in pair.responses
        if item.first_character is not None and (prompt := _prompt(pair, item, runs)) is not None
    ]
    if not waiting:
        return []
    model = _Model(folder, trust_remote_code)
    return [(pair, gap) for pair, item, prompt in show(waiting) if (gap := model.gap(item, prompt)) is not None]


def _prompt(pair: PairAgreement, item: ResponsePair, runs: Sequence[EngineRun]) -> str | None:
    """Return the prompt as text, from a run of the pair or another one of the same task, else None."""
    request = 1 if item.order == "easy" else 0
    for run in (pair.a, pair.b, *(run for run in runs if run.run.task.name == pair.a.run.task.name)):
        asked = run.asked.get(item.exam)
        if not run.sends_messages and asked is not None and request < len(asked.prompts):
            prompt = asked.prompts[request]
            if prompt is not None:
                return prompt
    return None


class _Model:
    """A causal language model in float32 on the CPU or on the accelerator that torch has."""

    def __init__(self, folder: str, trust_remote_code: bool) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ImportError as error:
            raise DependencyError(
                f"--logits needs torch and transformers ({first_line(error)}); pip install 'roi-bench[hf]'"
            ) from error
        self._torch = torch
        self.tokenizer = load_tokenizer(folder, None, trust_remote_code)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=trust_remote_code
            )
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ModelError(
                f"--logits {folder}: cannot be loaded ({first_line(error)}); name the folder of the model that was run"
            ) from error
        self.model = loaded.to(device).eval()
        ends = getattr(loaded.generation_config, "eos_token_id", None) or self.tokenizer.eos_token_id
        self._ends: list[int] = ends if isinstance(ends, list) else [] if ends is None else [ends]
        parameters = inspect.signature(loaded.forward).parameters
        self._options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def gap(self, item: ResponsePair, prompt: str) -> TokenGap | None:
        """Return the gap where two texts diverge; None if they are the same tokens, spelled differently."""
        of_a, of_b = (self._ids(given.text, special=False) for given in (item.a, item.b))
        place = first_difference(of_a, of_b)
        if place is None:
            return None
        # as lm_eval's backends do: special tokens are added unless the text begins with the first of them
        begun = bool(self.tokenizer.bos_token) and prompt.startswith(self.tokenizer.bos_token)
        ids = [*self._ids(prompt, special=not begun), *of_a[:place]]
        torch = self._torch
        with torch.inference_mode():
            context = torch.tensor([ids], device=self.model.device)
            logits = self.model(input_ids=context, use_cache=False, **self._options).logits[0, -1].float()
        values, best = logits.topk(2)
        first, second = (int(token) for token in best)
        taken = [
            self._taken(given_ids, place, finish_of(given) == "stop", (first, second))
            for given_ids, given in ((of_a, item.a), (of_b, item.b))
        ]
        return TokenGap(item, float(values[0] - values[1]), (first, second), (taken[0], taken[1]))

    def _taken(self, ids: Sequence[int], place: int, ended: bool, best: tuple[int, int]) -> int | None:
        """Return a response's token at ``place``; if it ended there by itself, its end token."""
        if place < len(ids):
            return ids[place]
        if not ended:
            return None
        return next((token for token in best if token in self._ends), next(iter(self._ends), None))

    def _ids(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return ids
