"""``roi-playback``: an lm_eval model that answers from a file of recorded responses.

    lm_eval --model roi-playback --model_args responses=FILE[,tokenizer=PATH][,model=NAME] --tasks roi_exam_hard_512
…

The file holds one JSON object a line, each a response and what it answers, named in one of three ways::

    {"prompt_sha256": "…", "sample": 0, "response": "…"}
    {"exam": "v1/017", "order": "hard", "budget": 512, "sample": 0, "response": "…"}
    {"problem": "gsm8k/test/3", "budget": 512, "sample": 0, "response": "…"}

``prompt_sha256`` is that of the prompt as sent; ``problem`` is one that was asked alone; ``budget`` may be left out
(the response serves every budget) and ``sample`` defaults to 0. A null response means that there was none. A
journal of ``roi-bench run`` is such a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs

from roi_bench import __version__
from roi_bench.errors import ModelError, RecordError, UsageError, nearest
from roi_bench.exams.exam import sha256_text
from roi_bench.harness.ending import install_one_line_errors
from roi_bench.harness.engines.local import LocalEngine, entries_of
from roi_bench.harness.engines.metering import MeteredText, generate_until
from roi_bench.harness.engines.protocol import Job, sample_indices
from roi_bench.records.journal import is_header, parse_object
from roi_bench.records.tokenizer import HFTokenCounter, load_token_counter
from roi_bench.scoring.tokens import Usage


class PlaybackEngine(LocalEngine):
    """Engine for ``roi-playback``.

    Args:
        lm: A :class:`roi_bench.harness.engines.playback.PlaybackLM`.
    """

    def __init__(self, lm: Any) -> None:
        self.lm = lm

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name and version of roi-bench."""
        return {"name": "playback", "version": __version__}

    def ask(self, job: Job) -> None:
        """Record the responses of all missing requests at once.

        Raises:
            RecordError: The file has no response to a request.
        """
        job.record(entries_of(job.missing, generate_until(self.lm, [q.instance(None) for q in job.missing])))


#
# With a tokenizer, a response is cut where a real generation would have been cut, after ``max_gen_toks`` tokens
# (``cut=false`` leaves it whole), and its usage is known.

_Key = tuple[str, ...]

_ARGUMENTS = ("responses", "tokenizer", "cut", "model")
_HARNESS_ARGUMENTS = (
    "batch_size",
    "max_batch_size",
    "device",
    "trust_remote_code",
)  # lm_eval passes these to every model


class PlaybackLM(LM):
    """lm_eval model that answers from recorded responses.

    Args:
        responses: The file.
        tokenizer: Folder or hub name of the tokenizer that cuts, counts and applies the chat template.
        cut: Cut at the budget (needs a tokenizer; without one, responses are played as they are).
        model: Name of the model that gave the responses; lm_eval files the results under it.

    Raises:
        UsageError: No file is named.
        RecordError: The file cannot be read, is damaged, or answers one request twice.
        ModelError: The tokenizer cannot be loaded.
    """

    takes_decoding = True  # no effect: recorded responses are already decoded

    def __init__(
        self,
        responses: str | None = None,
        tokenizer: str | None = None,
        cut: bool = True,
        model: str | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        install_one_line_errors()
        if unknown := [name for name in others if name not in _HARNESS_ARGUMENTS]:
            raise UsageError(f"roi-playback has no argument {unknown[0]!r}; {nearest(unknown[0], _ARGUMENTS)}")
        if not responses:
            raise UsageError("roi-playback needs a file of responses: --model_args responses=FILE[,tokenizer=PATH]")
        self.path = Path(responses)
        self._recorded = _read(self.path)
        self._counter: HFTokenCounter | None = load_token_counter(str(tokenizer)) if tokenizer else None
        self._cut = cut

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        """Return the recorded response to each request, None where there is none.

        Raises:
            RecordError: The file has no response to a request.
        """
        del disable_tqdm  # this is faster than showing a progress bar
        samples = sample_indices(requests)
        return [self._play(request, sample) for request, sample in zip(requests, samples, strict=True)]

    def _play(self, request: Instance, sample: int) -> MeteredText | None:
        # Keys from the most specific to the least; the last one is the most readable, so the message shows it.
        prompt, generation = request.args
        keys = list(_keys(prompt, request.doc, sample))
        found = next((key for key in keys if key in self._recorded), None)
        if found is None:
            name = " ".join(keys[-1]) if len(keys) > 1 else f"prompt {keys[0][0][:12]}…, sample {sample}"
            raise RecordError(f"{self.path} has no response to {name}; record it, or run only the exams it answers")
        text = self._recorded[found]
        if text is None:
            return None
        arguments = normalize_gen_kwargs(generation, default_max_gen_toks=0)
        for stop in filter(None, arguments["until"]):
            text = text.split(stop)[0]
        return self._within(text, arguments["max_gen_toks"])

    def _within(self, text: str, budget: int) -> MeteredText:
        """Return ``text`` cut after ``budget`` tokens (0: unlimited), as generation would have cut it."""
        if self._counter is None:
            return MeteredText(text)
        shortened, tokens = self._counter.cut(text, budget)
        if not (budget and self._cut):
            return MeteredText(text, Usage(tokens + 1, "stop", "retokenized"))
        if tokens >= budget:  # no token left for the end-of-sequence token
            return MeteredText(shortened, Usage(budget, "length", "retokenized"))
        return MeteredText(shortened, Usage(tokens + 1, "stop", "retokenized"))

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer, or None."""
        return self._counter.tokenizer if self._counter else None

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, part of the key under which lm_eval caches prompts."""
        return str(self._templated().name_or_path).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the chat template ``chat_template`` (True: the default one) of the tokenizer."""
        if not chat_template:
            return None
        template: str = self._templated().get_chat_template(None if chat_template is True else chat_template)
        return template

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the conversation as one prompt.

        Raises:
            ModelError: No tokenizer was given, or it has no chat template.
        """
        prompt: str = self._templated().apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return prompt

    def _templated(self) -> Any:
        if self._counter is None:
            raise ModelError("a chat template needs a tokenizer; add tokenizer=PATH to --model_args of roi-playback")
        if not self._counter.tokenizer.chat_template:
            raise ModelError(
                f"tokenizer {self._counter.tokenizer.name_or_path!r} has no chat template; leave --apply_chat_template "
                "out or give another tokenizer"
            )
        return self._counter.tokenizer

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Recorded responses have no likelihood.

        Raises:
            ModelError: Always.
        """
        raise ModelError("roi-playback has recorded texts only; tasks that need likelihoods cannot be run on it")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Recorded responses have no likelihood.

        Raises:
            ModelError: Always.
        """
        raise ModelError("roi-playback has recorded texts only; tasks that need likelihoods cannot be run on it")


def _keys(prompt: str, doc: dict[str, Any], sample: int) -> Iterator[_Key]:
    """Yield the keys under which a response to this request may be recorded, most specific first."""
    yield sha256_text(prompt), str(sample)
    if "problem" in doc:
        named: tuple[str, ...] = (f"problem {doc['problem']},",)
    elif "exam_id" in doc and "order" in doc:
        named = (f"exam {doc['exam_id']},", f"order {doc['order']},")
    else:
        return
    yield _named_key(named, doc.get("budget"), sample)
    yield _named_key(named, None, sample)


def _named_key(named: tuple[str, ...], budget: int | None, sample: int) -> _Key:
    return (*named, *(() if budget is None else (f"budget {budget},",)), f"sample {sample}")


def _read(path: Path) -> dict[_Key, str | None]:
    """Return the recorded responses by key.

    Raises:
        RecordError: The file cannot be read, is damaged, or answers one request twice.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordError(f"cannot read responses {path}: {error.strerror or error}") from error
    recorded: dict[_Key, str | None] = {}
    first: dict[_Key, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = parse_object(line)
            if is_header(value):
                continue
            key = _key_of(value)
        except ValueError as error:
            raise RecordError(f"responses {path}, line {number} is damaged ({error})") from error
        # In a journal a null may be followed by the response of a later attempt; nothing else may occur twice.
        if recorded.get(key) is not None or (key in recorded and value["response"] is None):
            raise RecordError(
                f"responses {path}, line {number} answers {' '.join(key)} again (first in line {first[key]}); "
                "keep one of the two"
            )
        recorded[key], first[key] = value["response"], number
    return recorded


def _key_of(value: dict[str, Any]) -> _Key:
    """Return the key of a line.

    Raises:
        ValueError: The line does not say properly which request it answers.
    """
    sample, budget = value.get("sample", 0), value.get("budget")
    if type(sample) is not int or sample < 0:
        raise ValueError(f"sample must be a count, not {sample!r}")
    if budget is not None and type(budget) is not int:
        raise ValueError(f"budget must be a number of tokens, not {budget!r}")
    if not isinstance(value.get("response", 0), str | None):
        raise ValueError("response must be given, as a string or null")
    if isinstance(value.get("prompt_sha256"), str):
        return (value["prompt_sha256"], str(sample))
    if isinstance(value.get("problem"), str):
        return _named_key((f"problem {value['problem']},",), budget, sample)
    if not isinstance(value.get("exam"), str) or not isinstance(value.get("order"), str):
        raise ValueError("prompt_sha256, exam and order, or problem must say what it answers")
    return _named_key((f"exam {value['exam']},", f"order {value['order']},"), budget, sample)
