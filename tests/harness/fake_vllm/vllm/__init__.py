"""A stand-in for vLLM with the interface that lm_eval and roi-bench use of it, and a small engine that generates.

It answers greedily with a transformers model, one token a step for every running request, in float32 and row by row:
so that its texts are those of the model itself. ``FAKE_VLLM_DIES_AFTER`` (steps) kills its engine,
``FAKE_VLLM_STEP`` is the least time of a step in seconds, ``FAKE_VLLM_FAILS`` the error of one that does not start.
"""

from __future__ import annotations

import json
import logging.config
import os
import queue
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from vllm.sampling_params import SamplingParams
from vllm.v1.engine.exceptions import EngineDeadError

if configuration := os.environ.get("VLLM_LOGGING_CONFIG_PATH"):
    logging.config.dictConfig(json.loads(Path(configuration).read_text()))
logger = logging.getLogger("vllm.fake")

__all__ = ["LLM", "SamplingParams", "TokensPrompt"]
__version__ = "0.32.0"


class TokensPrompt(dict):
    """A prompt as token ids."""


class Running:
    """A request and what was generated for it."""

    def __init__(self, request_id: str, prompt: list[int], params: SamplingParams) -> None:
        self.request_id, self.prompt, self.params = request_id, prompt, params
        self.tokens: list[int] = []


class EngineCore:
    """What would be a client of processes of its own."""

    ended_with: float | None = None

    def __init__(self) -> None:
        self.resources = SimpleNamespace(engine_dead=False)
        self.outputs_queue: queue.Queue[Exception] = queue.Queue()

    def shutdown(self, timeout: float | None = None) -> None:
        self.ended_with = timeout
        sys.stderr.write("fake vllm: ended\n")


class LLMEngine:
    """Steps through the requests, at most ``max_num_seqs`` at once."""

    def __init__(self, model: str, max_model_len: int | None, max_num_seqs: int | None) -> None:
        assert not {"RANK", "WORLD_SIZE", "TORCHELASTIC_USE_AGENT_STORE"} & set(os.environ)  # torch would join a launch
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        length = max_model_len or self.model.config.max_position_embeddings
        self.model_config = SimpleNamespace(max_model_len=length, dtype=torch.float32, quantization=None)
        self.vllm_config = SimpleNamespace(
            model_config=self.model_config,
            device_config=SimpleNamespace(device_type="cpu"),
            parallel_config=SimpleNamespace(tensor_parallel_size=1, pipeline_parallel_size=1),
            scheduler_config=SimpleNamespace(max_num_seqs=max_num_seqs or 8),
        )
        self.renderer = SimpleNamespace(render_cmpl=lambda prompts: [{"type": "token", **each} for each in prompts])
        self.engine_core = EngineCore()
        self._requests: dict[str, Running] = {}
        self._steps = 0
        self._ends = {self.tokenizer.eos_token_id}
        ends = self.model.generation_config.eos_token_id
        self._ends |= {ends} if isinstance(ends, int) else set(ends or [])

    def add_request(self, request_id: str, prompt: Any, params: SamplingParams, lora_request: Any = None) -> str:
        assert lora_request is None
        assert prompt["type"] == "token"  # bare prompts are deprecated
        ids = list(prompt["prompt_token_ids"])
        if len(ids) >= self.model_config.max_model_len:
            raise ValueError(f"The decoder prompt (length {len(ids)}) is longer than the maximum model length")
        self._requests[request_id] = Running(request_id, ids, params)
        return request_id

    def abort_request(self, request_ids: list[str]) -> None:
        for request_id in request_ids:
            self._requests.pop(request_id, None)

    def has_unfinished_requests(self) -> bool:
        return bool(self._requests)

    def get_num_unfinished_requests(self) -> int:
        return len(self._requests)

    def step(self) -> list[Any]:
        time.sleep(float(os.environ.get("FAKE_VLLM_STEP", "0")))
        self._steps += 1
        if self._steps > int(os.environ.get("FAKE_VLLM_DIES_AFTER", "1000000000")):
            raise EngineDeadError
        if self._steps > int(os.environ.get("FAKE_VLLM_IS_KILLED_AFTER", "1000000000")):
            self.engine_core.resources.engine_dead = True
            said = self.engine_core.outputs_queue.get(timeout=60)  # what the real client never gets
            raise EngineDeadError from said
        running = list(self._requests.values())[: self.vllm_config.scheduler_config.max_num_seqs]
        return [output for request in running if (output := self._advance(request)) is not None]

    def _advance(self, request: Running) -> Any:
        with torch.no_grad():
            logits = self.model(torch.tensor([request.prompt + request.tokens])).logits[0, -1]
        request.tokens.append(self._choose(logits, request))
        ended, spent = request.tokens[-1] in self._ends, len(request.tokens) >= request.params.max_tokens
        text = self.tokenizer.decode(request.tokens[:-1] if ended else request.tokens)
        stops = [text.index(stop) for stop in request.params.stop if stop in text]
        if not (ended or spent or stops):
            return None
        del self._requests[request.request_id]
        completion = SimpleNamespace(
            text=text[: min(stops)] if stops else text,
            token_ids=request.tokens,
            finish_reason="stop" if ended or stops else "length",
        )
        return SimpleNamespace(request_id=request.request_id, finished=True, outputs=[completion])

    def _choose(self, logits: torch.Tensor, request: Running) -> int:
        if request.params.temperature == 0:
            return int(logits.argmax())
        seed = (request.params.seed or 0) * 1_000_003 + len(request.tokens)
        generator = torch.Generator().manual_seed(seed)
        return int(torch.multinomial((logits / request.params.temperature).softmax(-1), 1, generator=generator))


def _fail_in_the_background(cause: str) -> NoReturn:
    """Fail as an engine does whose processes could not start: each points to the one before, in the log."""
    logger.info("fake vllm: starting")
    for line in (cause, "Exception: WorkerProc initialization failed. See stack trace for root cause."):
        logger.error("EngineCore failed to start.\nTraceback (most recent call last):\n  File x\n%s", line)
    raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


class LLM:
    """The offline interface."""

    def __init__(
        self, model: str, max_model_len: int | None = None, max_num_seqs: int | None = None, **more: Any
    ) -> None:
        self.more = more
        if cause := os.environ.get("FAKE_VLLM_FAILS"):
            _fail_in_the_background(cause)
        self.llm_engine = LLMEngine(model, max_model_len, max_num_seqs)

    def generate(
        self, prompts: list[Any], sampling_params: Any, use_tqdm: bool = True, lora_request: Any = None
    ) -> Any:
        for index, (prompt, params) in enumerate(zip(prompts, sampling_params, strict=True)):
            self.llm_engine.add_request(str(index), prompt, params)
        found: dict[int, Any] = {}
        while self.llm_engine.has_unfinished_requests():
            found |= {int(output.request_id): output for output in self.llm_engine.step()}
        return [found[index] for index in range(len(prompts))]
