"""TRL's GRPOTrainer on exams: responses end at their budget, rows that teach nothing are left out, held-out scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

from roi_bench.exams.exam import Exam
from roi_bench.records.journal import canonical_json
from roi_bench.rewards import (
    Reward,
    RolloutRecord,
    generated_response,
    record_of,
    rollout_of,
    score_rollouts,
    total_reward,
    training_numbers,
)


class Judged(NamedTuple):
    """A response that was judged: to which exam of the judge, in which order, under which budget, and its record."""

    exam: int
    order: str
    budget: int
    record: RolloutRecord


class ExamJudge:
    """Reward function for TRL; one instance per process. It keeps records of what it judged, for held-out exams.

    Args:
        exams: All exams; rows of the data set name them by number.
        settings: The reward's settings.
        tokenizer: The model's tokenizer, to count with.
    """

    def __init__(self, exams: Sequence[Exam], settings: Reward, tokenizer: Any) -> None:
        from roi_bench.grading.grader import shared_grader
        from roi_bench.records.tokenizer import HFTokenCounter

        self._exams, self._settings, self._tokenizer = exams, settings, tokenizer
        self._counter, self._grader = HFTokenCounter(tokenizer), shared_grader()
        self._judged: list[Judged] = []

    def reward(
        self,
        completion_ids: Sequence[Sequence[int]],
        exam: Sequence[int],
        order: Sequence[str],
        budget: Sequence[int],
        log_metric: Any = None,
        **unused: Any,
    ) -> list[float]:
        """Return the reward of each response (TRL's signature: one list entry a response)."""
        asked = list(zip(exam, order, budget, strict=True))
        rollouts = [
            rollout_of(self._exams[number], name, limit, generated_response(ids, limit, self._tokenizer))
            for ids, (number, name, limit) in zip(completion_ids, asked, strict=True)
        ]
        scored = score_rollouts(rollouts, self._grader, self._counter)
        judged = [Judged(*row, record_of(response)) for row, response in zip(asked, scored, strict=True)]
        self._judged += judged
        if log_metric is not None:
            for name, value in training_numbers([one.record for one in judged]).items():
                log_metric(name, value)
        return [total_reward(response, self._settings) for response in scored]

    def take_judged(self) -> list[Judged]:
        """Return what was judged since the last call, and forget it."""
        judged, self._judged = self._judged, []
        return judged


def held_out_numbers(judged: Sequence[Judged]) -> Mapping[str, float]:
    """Return the numbers of an evaluation by budget: scores by order, regrets, and in hard order all that is logged.

    ``held_out`` is the mean score over budgets and orders, by which checkpoints are compared. A response that comes
    twice counts once: with several processes the last batch is filled up with rows of the first. Regret is left out
    where nothing was right in easy order (SPEC section 8).
    """
    groups: dict[tuple[int, str], list[RolloutRecord]] = defaultdict(list)
    for one in {(one.exam, one.order, one.budget): one for one in judged}.values():
        groups[one.budget, one.order].append(one.record)
    scores = {key: sum(item.correct for item in items) / len(items) for key, items in groups.items()}
    numbers: dict[str, float] = {"held_out": sum(scores.values()) / len(scores)} if scores else {}
    for budget in sorted({budget for budget, _ in groups}):
        for name, value in training_numbers(groups.get((budget, "hard"), [])).items():
            numbers[f"{name}_{budget}"] = value
        easy = scores.get((budget, "easy"))
        for order, mark in (("hard", ""), ("medium", "_medium"), ("easy", "_easy")):
            score = scores.get((budget, order))
            if score is not None:
                numbers[f"score{mark}_{budget}"] = score
            if score is not None and easy and order != "easy":
                numbers[f"regret{mark}_{budget}"] = (easy - score) / easy
    return numbers


# Generation: each response ends at its own budget, and leaves the batch when it has ended.

COMPACTED_EVERY = 8
"""Tokens after which finished responses leave the batch: copying what the cache keeps costs as much as a few tokens."""

ROOM = 64
"""Tokens for which a cache has room before it is copied to a larger place; transformers' own copies it for each."""


@cache
def _roomy_layer_class() -> Any:
    """Return a layer of transformers' cache that writes new tokens into room that it has, and hands out views."""
    import torch
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values by (row, head, token, size), as in its base class."""

        _places: list[Any] | None = None

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            layer: Any = self
            begin = layer.keys.shape[-2]
            end = begin + key_states.shape[-2]
            if layer._places is None or layer._places[0].shape[-2] < end:
                old = (layer.keys, layer.values)
                layer._places = [one.new_empty((*one.shape[:2], end + ROOM, one.shape[3])) for one in old]
                for place, one in zip(layer._places, old, strict=True):
                    place[:, :, :begin] = one
            for place, new in zip(layer._places, (key_states, value_states), strict=True):
                place[:, :, begin:end] = new
            layer.keys, layer.values = (place[:, :, :end] for place in layer._places)
            return layer.keys, layer.values

        def batch_select_indices(self, indices: torch.Tensor) -> None:
            super().batch_select_indices(indices)
            self._places = None

    return RoomyLayer


def _with_room(cache: Any) -> Any:
    """Return a cache whose growing layers are roomy ones; None if it has layers of a kind without a batch to select."""
    from transformers.cache_utils import DynamicLayer

    if not all(isinstance(layer, DynamicLayer) for layer in getattr(cache, "layers", [None])):
        return None
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            roomy = _roomy_layer_class()()
            vars(roomy).update(vars(layer))
            cache.layers[index] = roomy
    return cache


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    ends: Sequence[int],
    pad: int,
    temperature: float | None,
) -> list[list[int]]:
    """Return a response to each prompt: neutral decoding, in one batch out of which finished responses drop.

    Equal prompts are computed once. transformers' own ``generate`` goes on with every row until the last one has ended;
    it writes the same texts.

    Args:
        model: A causal language model of transformers.
        prompts: Token ids of each prompt, B of them.
        limits: Most tokens of each response, B of them.
        ends: Ids that end a response.
        pad: Id that fills prompts up.
        temperature: Sampling temperature; None takes the likeliest token each time.

    Returns:
        Generated ids by prompt, the end included.
    """
    import torch

    device = model.device
    name, cache, logits, mask, position = _begun(model, prompts, pad)
    if cache is None:  # of a kind that rows cannot leave
        return _in_step(model, prompts, limits, ends, pad, temperature)
    stops, most = torch.tensor(list(ends), device=device), torch.tensor(list(limits), device=device)
    responses: list[list[int]] = [[] for _ in prompts]
    numbers, done = list(range(len(prompts))), torch.zeros(len(prompts), dtype=torch.bool, device=device)
    count = 0
    while True:
        tokens = _next_tokens(logits, temperature)
        count += 1
        for number, token, ended in zip(numbers, tokens.tolist(), done.tolist(), strict=True):
            if not ended:
                responses[number].append(token)
        done = done | torch.isin(tokens, stops) | (most <= count)
        if done.all():
            return responses
        if count % COMPACTED_EVERY == 0 and done.any():
            kept = (~done).nonzero().squeeze(1)
            cache.batch_select_indices(kept)
            numbers = [numbers[index] for index in kept.tolist()]
            tokens, mask, position, most, done = tokens[kept], mask[kept], position[kept], most[kept], done[kept]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        output = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=position[:, None],
            use_cache=True,
            **{name: cache},
        )
        logits, position = output.logits[:, -1], position + 1


def _begun(model: Any, prompts: Sequence[Sequence[int]], pad: int) -> tuple[str, Any, Any, Any, Any]:
    """Compute prompts, equal ones once.

    Returns:
        The name by which the model takes its cache; the cache, None if rows cannot leave it; logits of the first token
        (B, vocabulary); the mask of the prompts (B, longest); the position of the first token (B,).
    """
    import torch

    device = model.device
    places: dict[tuple[int, ...], int] = {}
    rows = torch.tensor([places.setdefault(tuple(prompt), len(places)) for prompt in prompts], device=device)
    width = max(map(len, places))
    ids = torch.tensor([[pad] * (width - len(one)) + list(one) for one in places], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in places], device=device)
    first = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=first, use_cache=True, logits_to_keep=1)
    name = "cache" if "cache" in output else "past_key_values"  # transformers 5.24 renamed it
    cache = _with_room(output[name])
    if cache is not None:
        cache.batch_select_indices(rows)
    return name, cache, output.logits[:, -1][rows], mask[rows], mask.sum(1)[rows]


def _next_tokens(logits: Any, temperature: float | None) -> Any:
    if temperature is None:
        return logits.argmax(dim=-1)
    import torch

    # The inverse of the distribution function: torch.multinomial draws a number for each entry of the vocabulary.
    summed = (logits.float() / temperature).softmax(dim=-1).double().cumsum(dim=-1)
    drawn = torch.rand(len(summed), 1, dtype=summed.dtype, device=summed.device) * summed[:, -1:]
    return torch.searchsorted(summed, drawn, right=True).squeeze(1).clamp(max=summed.shape[1] - 1)


class Rollouts:
    """Writes the responses of a training (TRL's ``rollout_func``): each ends at its budget, held-out ones are greedy.

    Args:
        rows: All rows of training and evaluation, with ``prompt`` and ``budget``. TRL hands over prompts alone; the
            prompt says which budget its response has.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._budgets = {canonical_json(row["prompt"]): int(row["budget"]) for row in rows}

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """Return token ids of prompts and responses, and what vLLM said about their probabilities."""
        ids = prompt_ids(prompts, trainer)
        limits = [self._budgets[canonical_json(prompt)] for prompt in prompts]
        responses, logprobs = (_with_vllm if trainer.use_vllm else _with_transformers)(ids, limits, trainer)
        return {"prompt_ids": ids, "completion_ids": responses, "logprobs": logprobs}


def prompt_ids(prompts: list[Any], trainer: Any) -> list[list[int]]:
    """Return the token ids of prompts, as the trainer's own generation makes them."""
    if isinstance(prompts[0], str):
        return list(trainer.processing_class(text=prompts)["input_ids"])
    rendered = trainer.processing_class.apply_chat_template(
        conversation=prompts,
        chat_template=trainer.chat_template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        **trainer.chat_template_kwargs,
    )
    return list(rendered["input_ids"])


def _with_vllm(ids: list[list[int]], limits: list[int], trainer: Any) -> tuple[list[list[int]], list[list[Any]]]:
    """Generate with vLLM up to the largest budget of the batch; the judge cuts each response at its own."""
    engine, training = trainer.vllm_generation, trainer.model.training
    # Processes meet at a server, with exams of different budgets in an evaluation.
    engine.max_completion_length = max(limits) if training else trainer.args.max_completion_length
    engine.temperature = trainer.args.temperature if training else 0.0
    number = trainer.num_generations if training else trainer.num_generations_eval
    _, responses, logprobs, _ = engine.generate(
        prompts=ids, images=None, num_generations=number, profiler=nullcontext()
    )
    return responses, [[one[0] for one in row] for row in logprobs]


def _with_transformers(ids: list[list[int]], limits: list[int], trainer: Any) -> tuple[list[list[int]], None]:
    """Generate with the model itself; where its weights are shared out, all processes take the same steps."""
    import torch
    from accelerate.utils import DistributedType
    from torch.distributed.fsdp import FullyShardedDataParallel
    from trl.models import unwrap_model_for_generation

    wrapped, accelerator, args = trainer.model_wrapped, trainer.accelerator, trainer.args
    whole = isinstance(wrapped, FullyShardedDataParallel)
    ends, pad = list(trainer.eos_token_ids), trainer.processing_class.pad_token_id
    temperature = args.temperature if trainer.model.training else None
    with (
        unwrap_model_for_generation(
            wrapped,
            accelerator,
            gather_deepspeed3_params=args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs,
        ) as model,
        torch.no_grad(),
        FullyShardedDataParallel.summon_full_params(wrapped, recurse=False) if whole else nullcontext(),
    ):
        if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            return _in_step(model, ids, limits, ends, pad, temperature), None
        return generate(model, ids, limits, ends, pad, temperature), None


def _in_step(
    model: Any,
    ids: Sequence[Sequence[int]],
    limits: Sequence[int],
    ends: Sequence[int],
    pad: int,
    temperature: float | None,
) -> list[list[int]]:
    """Generate with transformers' own method, which keeps processes in step that hold parts of the weights."""
    import torch
    from transformers import GenerationConfig

    width = max(map(len, ids))
    sampled = (
        {"do_sample": False} if temperature is None else {"do_sample": True, "temperature": temperature, "top_k": 0}
    )
    config = GenerationConfig(max_new_tokens=max(limits), eos_token_id=list(ends), pad_token_id=pad, **sampled)
    inputs = torch.tensor([[pad] * (width - len(one)) + list(one) for one in ids], device=model.device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids], device=model.device)
    own, model.generation_config = model.generation_config, config  # else it fills up what this one leaves open
    try:
        written = model.generate(input_ids=inputs, attention_mask=mask)[:, width:].tolist()
    finally:
        model.generation_config = own
    found = []
    for row, limit in zip(written, limits, strict=True):
        stop = next((index + 1 for index, token in enumerate(row) if token in ends), len(row))
        found.append(row[: min(stop, limit)])
    return found


# The step: rows that teach nothing are left out of it.

_BY_TOKEN = ("old_per_token_logps", "importance_sampling_ratio", "sampling_per_token_logps", "ref_per_token_logps")
"""Tensors of a batch besides ids and mask that hold a number for each token of a response."""


def with_advantage(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Return a batch without rows of advantage 0 and without columns of padding alone, and the share of rows kept.

    With β = 0 such a row contributes exactly nothing to the gradient of Dr. GRPO: its loss is -A · Σ of ratios. The
    loss is a mean over rows, so that of the rows kept times their share is the loss of all. One row stays in any case:
    where weights are shared out, every process has to take the same steps.

    Args:
        inputs: TRL's batch: tensors by name, those with B rows cut, ``advantages`` (B,) among them.
    """
    import torch

    advantages = inputs["advantages"]
    kept = (advantages != 0).nonzero().squeeze(1)
    if not len(kept):
        kept = torch.zeros(1, dtype=torch.long, device=advantages.device)
    count = len(advantages)
    batch = {
        name: value[kept] if isinstance(value, torch.Tensor) and value.dim() and len(value) == count else value
        for name, value in inputs.items()
    }
    begin = int((batch["prompt_mask"] != 0).any(0).nonzero()[0])
    end, length = int((batch["completion_mask"] != 0).any(0).nonzero()[-1]) + 1, batch["completion_mask"].shape[1]
    for name in ("prompt_ids", "prompt_mask"):
        batch[name] = batch[name][:, begin:]
    for name in ("completion_ids", "completion_mask", *_BY_TOKEN):
        if name in batch and batch[name].shape[1] == length:  # a ratio of the whole response has one column
            batch[name] = batch[name][:, :end]
    return batch, len(kept) / count


def share_corrected(inputs: Mapping[str, Any], args: Any) -> float:
    """Return the share of importance ratios that TRL's correction truncated, or set to 0 where it masks.

    Args:
        inputs: TRL's batch, with ratios by token or by response, after the correction.
        args: TRL's configuration, which names the bounds.
    """
    ratios = inputs["importance_sampling_ratio"]
    counted = inputs["completion_mask"].bool() if ratios.shape[1] > 1 else ratios.new_ones(ratios.shape).bool()
    if args.vllm_importance_sampling_mode.endswith("mask"):
        bound = ratios == 0
    else:
        low, high = args.vllm_importance_sampling_clip_min, args.vllm_importance_sampling_clip_max
        bound = (ratios >= (float("inf") if high is None else high)) | (ratios <= (-1.0 if low is None else low))
    return float((bound & counted).sum() / counted.sum().clamp(min=1))


@cache
def budget_trainer_class() -> Any:
    """Return the trainer's class; TRL is imported now.

    It changes what public methods and arguments let it: :class:`Rollouts` write the responses, a step leaves out rows
    without an advantage, and an evaluation takes its exams budget by budget (TRL would mix them), computes no loss,
    which nobody reads, but reports the numbers of the benchmark, so that the Trainer's own early stopping and best
    checkpoint work on them. The loss stays divided by the largest budget: tokens weigh the same at every budget.
    """
    import warnings

    from accelerate.utils import gather_object
    from torch.utils.data import DataLoader
    from trl import GRPOTrainer

    class BudgetGRPOTrainer(GRPOTrainer):
        """GRPO on exams; rows have a column ``budget``."""

        def __init__(self, *args: Any, judge: ExamJudge, **kwargs: Any) -> None:
            rows = [*kwargs["train_dataset"], *(kwargs.get("eval_dataset") or [])]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="You are using 'rollout_func'")  # tests pin what we use of it
                super().__init__(*args, rollout_func=Rollouts(rows), **kwargs)
            self.judge = judge
            self.corrected: list[float] = []

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if self.corrected and self.model.training:
                logs["importance_ratio_at_bound"] = sum(self.corrected) / len(self.corrected)
                self.corrected = []
            super().log(logs, *args, **kwargs)

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if not self.model.training:
                return inputs["advantages"].new_zeros(())
            if "importance_sampling_ratio" in inputs:
                self.corrected.append(share_corrected(inputs, self.args))
            batch, share = with_advantage(inputs)
            return super().compute_loss(model, batch, *args, **kwargs) * share

        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            rows = self.eval_dataset if eval_dataset is None else eval_dataset
            size = self.args.eval_batch_size
            return self.accelerator.prepare(DataLoader(rows, batch_size=size, collate_fn=self.data_collator))

        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            self.judge.take_judged()  # of the training steps
            trainer: Any = self
            corrected = trainer.vllm_importance_sampling_correction
            trainer.vllm_importance_sampling_correction = False  # it is for a gradient
            try:
                output = super().evaluation_loop(*args, **kwargs)
            finally:
                trainer.vllm_importance_sampling_correction = corrected
            prefix = kwargs.get("metric_key_prefix", "eval")
            output.metrics.pop(f"{prefix}_loss", None)
            numbers = held_out_numbers(gather_object(self.judge.take_judged()))
            output.metrics.update({f"{prefix}_{name}": value for name, value in numbers.items()})
            return output

    return BudgetGRPOTrainer
