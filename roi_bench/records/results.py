"""Reading the files of lm_eval, plain or through ``roi-bench run``: results JSON and samples JSONL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSIONS, ORDERS
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json, parse_object, parse_usage
from roi_bench.scoring.kinds import KINDS, Kind
from roi_bench.scoring.outcomes import Response, TextFacts, ThinkTags, parse_tags

# How a run's prompts were sent: as messages, through a chat template, as bare text; each makes other prompts. Pure

MESSAGES, CHAT_TEMPLATE, TEXT = "messages", "chat template", "text"

SENT_AS = (MESSAGES, CHAT_TEMPLATE, TEXT)
"""Messages to a chat endpoint, whose template is not visible; text made by a chat template; bare text."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How prompts were sent; fields are None where a record does not say it.

    Attributes:
        sent_as: One of :data:`SENT_AS`.
        chat_template_sha256: Identity of the chat template
            (:func:`roi_bench.harness.sending.template_sha256`), None where none was applied.
        system_instruction_sha256: SHA-256 of the run's own system instruction, None where it has none.
    """

    sent_as: str | None = None
    chat_template_sha256: str | None = None
    system_instruction_sha256: str | None = None

    @property
    def title(self) -> str:
        """Description for people: ``chat template 1a2b3c4d, system_instruction 5e6f7a8b``."""
        return ", ".join([self._way(True) or "not recorded", *self._instruction()])

    def labels_beside(self, others: Iterable[Sending]) -> list[str]:
        """Return labels for what differs among ``others``, the prompts with which these could be confused.

        Unrecorded facts have no label; whether there is a system instruction at all is a deviation of the run.
        """
        seen = list(others)
        ways = {(other.sent_as, other.chat_template_sha256) for other in seen}
        instructions = {other.system_instruction_sha256 for other in seen if other.system_instruction_sha256}
        way = ""
        if ways - {(self.sent_as, self.chat_template_sha256)}:
            way = self._way(any(as_ == self.sent_as and sha != self.chat_template_sha256 for as_, sha in ways))
        instruction = self._instruction() if instructions - {self.system_instruction_sha256} else []
        return [*([way] if way else []), *instruction]

    def _way(self, exactly: bool) -> str:
        template = f" {self.chat_template_sha256[:8]}" if exactly and self.chat_template_sha256 else ""
        return f"{self.sent_as}{template}" if self.sent_as else ""

    def _instruction(self) -> list[str]:
        sha256 = self.system_instruction_sha256
        return [f"system_instruction {sha256[:8]}"] if sha256 else []


UNSAID = Sending()
"""Values for older records, which lack these keys."""

KEYS = ("sent_as", "chat_template_sha256", "system_instruction_sha256")
"""The attributes, and their keys in records, profiles and submissions."""


def wrong_key(found: Mapping[str, Any]) -> str | None:
    """Return the key with which ``found``, read from JSON, is invalid; None if it is valid."""
    if found.get(KEYS[0]) not in (None, *SENT_AS):
        return KEYS[0]
    return next((key for key in KEYS[1:] if not isinstance(found.get(key), str | None)), None)


def sending_of(found: Mapping[str, Any]) -> Sending:
    """Return the sending recorded in ``found``; missing keys become None."""
    return Sending(*(found.get(key) for key in KEYS))


NO_RESPONSE = "<|roi_bench:no_response|>"
"""Stands in the samples file where a response is missing; lm_eval would write the text "None", as a model might."""


Costs = tuple[tuple[float | None, ...], ...]
"""USD by request and sample; None where unknown."""


@dataclass(frozen=True, slots=True)
class RecordedDocument:
    """The raw responses to one document of a task.

    Attributes:
        id: Id of the exam, or of the problem in a solo task.
        requests: K responses to each of its requests (see :class:`roi_bench.scoring.kinds.Kind`).
        usd: Cost of each in USD, where recorded.
    """

    id: str
    requests: tuple[tuple[Response, ...], ...]
    usd: Costs | None = None


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Identity of a task's run, in its record and in a submission.

    Attributes:
        form: Name of its kind, a key of :data:`roi_bench.scoring.kinds.KINDS`.
        exam_set: ``v1``, ``fresh`` or ``tiny``.
        exam_seed: Seed of a generated set, None for the frozen one.
        order: The task's order, None for problems asked alone.
        budget: Budget in tokens.
        repeats: Samples per request.
        prompt: Name of the prompt.
        prompt_sha256: Version of the prompt.
        tokenizer: Tokenizer that counted tokens, or None.
        tokenizer_revision: Its revision on the hub, or None.
        text_is_whole: False where the backend stripped hidden reasoning from the text.
        deviations: Labels for everything in which the run differs from what its task's name promises.
        paraphrase: Number of the paraphrase in which the prompt was asked, 0 for its canonical text.
        reading_rule: Rule by which its recorded numbers were read (SPEC section 5); records of rule 1 do not say it.
        starts_in_reasoning: The prompt as sent ended inside a block of reasoning.
        think_tags: Reasoning tags specific to the run.
        sent_as: How prompts were sent (:class:`Sending`), with the next two; older records do not say.
        chat_template_sha256: Identity of the chat template.
        system_instruction_sha256: SHA-256 of the run's own system instruction.
    """

    form: str
    exam_set: str
    exam_seed: int | None
    order: str | None
    budget: int
    repeats: int
    prompt: str
    prompt_sha256: str
    tokenizer: str | None
    tokenizer_revision: str | None
    text_is_whole: bool
    deviations: tuple[str, ...]
    paraphrase: int = 0
    reading_rule: int = READING_RULE
    starts_in_reasoning: bool = False
    think_tags: ThinkTags = ()
    sent_as: str | None = None
    chat_template_sha256: str | None = None
    system_instruction_sha256: str | None = None

    @property
    def kind(self) -> Kind:
        """Its kind of asking."""
        return KINDS[self.form]

    @property
    def sending(self) -> Sending:
        """How its prompts were sent."""
        return Sending(self.sent_as, self.chat_template_sha256, self.system_instruction_sha256)

    @property
    def texts(self) -> TextFacts:
        """Facts about its texts that are needed to read them."""
        return TextFacts(self.text_is_whole, self.starts_in_reasoning, self.think_tags)


@dataclass(frozen=True, slots=True)
class RunRecord(RunIdentity):
    """What a results file says of a run (``metadata.roi_bench`` of its configuration, see the task's ``record``).

    Attributes:
        decoding: ``neutral``, or ``model`` where the model's own configuration shaped it; older records do not say.
    """

    decoding: str | None = None


def identity_of(run: RunIdentity) -> dict[str, Any]:
    """Return what identifies ``run``, by name of the field, to say the same of it elsewhere."""
    return {field.name: getattr(run, field.name) for field in fields(RunIdentity)}


@dataclass(frozen=True, slots=True)
class Setup:
    """What generated the responses of a run, as far as its results file says; empty texts where it does not.

    Attributes:
        engine: ``hf``, ``vllm``, ``api``, …
        version: Version of the engine.
        dtype: Data type of the weights.
        quantization: Their quantisation, ``none`` where there is none.
        batch_size: Requests at once.
        journal: Digest of the run that its journal's name holds: model, arguments, weights, seed.
        command: Model, arguments and seeds as canonical JSON, which tell runs without a journal apart.
    """

    engine: str = ""
    version: str = ""
    dtype: str = ""
    quantization: str = ""
    batch_size: str = ""
    journal: str = ""
    command: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What is known of engine, weights and batches, in words for people, by the name of the attribute."""
        said = {
            "engine": self.engine,
            "version": f"{self.engine} {self.version}" if self.version else "",
            "dtype": self.dtype,
            "quantization": "not quantised" if self.quantization == "none" else self.quantization,
            "batch_size": f"batch size {self.batch_size}" if self.batch_size else "",
        }
        return {name: text for name, text in said.items() if text}


UNKNOWN_SETUP = Setup()
"""Of what was not recorded by lm_eval, such as submissions."""


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """One task of one run, as recorded.

    Attributes:
        name: Task name.
        results_path: The results file.
        samples_path: The samples file.
        record: The identity of the task's run.
        model: The model's name or folder, as recorded.
        decoding: Generation arguments besides the budget, as recorded.
        values: Recorded numbers by name, ``score`` or ``score_stderr``; "N/A" where undefined.
        documents: Raw responses in file order.
        setup: What generated them.
    """

    name: str
    results_path: Path
    samples_path: Path
    record: RunRecord
    model: str
    decoding: dict[str, Any]
    values: dict[str, float | str]
    documents: tuple[RecordedDocument, ...]
    setup: Setup = UNKNOWN_SETUP

    @property
    def responses(self) -> int:
        """Number of its responses that are there."""
        texts = (one.text for document in self.documents for request in document.requests for one in request)
        return sum(text is not None for text in texts)


def one_run_each(tasks: Sequence[RecordedTask]) -> tuple[list[RecordedTask], list[str]]:
    """Return ``tasks`` with each task of a run once, the most complete and of equals the latest, and a line on others.

    A run that was tried with few exams, or started again after a kill, leaves a results file each time. They are of one
    run if they have one journal; without one, if everything that was asked is the same and so are the responses to what
    both asked.
    """
    found: list[list[RecordedTask]] = []
    for task in sorted(tasks, key=lambda task: (task.responses, task.results_path.name), reverse=True):
        home = next((members for members in found if _is_one_run(members[0], task)), None)
        if home is None:
            found.append([task])
        else:
            home.append(task)
    kept = {id(members[0]) for members in found}
    lines: dict[tuple[Path, tuple[Path, ...]], list[RecordedTask]] = {}
    for first, *others in found:
        if others:
            lines.setdefault((first.results_path, tuple(one.results_path for one in others)), []).append(first)
    return [task for task in tasks if id(task) in kept], [
        f"{path.parent}: {', '.join(sorted(task.name for task in taken))} "
        f"{'was' if len(taken) == 1 else 'were'} run {1 + len(others)} times; the most complete counts, {path.name} "
        f"({', '.join(sorted({f'{len(task.documents)} {task.record.kind.noun}s' for task in taken}))}), not "
        f"{', '.join(other.name for other in others)}"
        for (path, others), taken in lines.items()
    ]


def _is_one_run(a: RecordedTask, b: RecordedTask) -> bool:
    """Whether two tasks are of one run that was started twice."""
    if (a.name, a.results_path.parent, a.record, a.decoding) != (b.name, b.results_path.parent, b.record, b.decoding):
        return False
    if a.setup.journal or b.setup.journal or not a.setup.command:
        return a.setup.journal == b.setup.journal != ""
    texts = [{one.id: [[r.text for r in request] for request in one.requests] for one in t.documents} for t in (a, b)]
    return a.setup.command == b.setup.command and all(
        texts[0][name] == texts[1][name] for name in texts[0].keys() & texts[1].keys()
    )


PART = ".roi-bench-part-"
"""Beginning of the name of a folder in which results are being written; what a kill leaves there is no result."""

DATED = re.compile(r"_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?\.json$")
"""End of the name of each results file; it begins with ``results`` unless ``--output_path`` named a file."""


def find_results(path: Path) -> list[Path]:
    """Return the results files that ``path`` names: itself, those in and below a folder, or those that lm_eval called
    after it, which ``--output_path FOLDER/NAME.json`` asks for.

    Raises:
        UsageError: There are none.
    """
    if path.is_dir():
        files = (file for file in path.rglob("*.json") if not any(part.startswith(PART) for part in file.parts))
        found = sorted(file for file in files if file.match("results_*.json") or DATED.search(file.name))
    else:
        found = [path] if path.exists() else sorted(path.parent.glob(f"{path.stem}_*.json"))
    if not found and path.is_dir() and any(path.rglob("journal-*.jsonl")):
        raise UsageError(
            f"{path}: has the journal of an unfinished run but no results_*.json; run the same command again to "
            "finish it, or look at what is there with roi-bench view"
        )
    if not found:
        raise UsageError(f"{path}: no results_*.json there; name the folder given to --output_path")
    return found


@dataclass(frozen=True, slots=True)
class ResultsFile:
    """A results file, read once.

    Attributes:
        path: Its path.
        document: Its content.
        tasks: The tasks of this benchmark in it, with their raw responses.
    """

    path: Path
    document: dict[str, Any]
    tasks: tuple[RecordedTask, ...]


def read_results(path: Path) -> list[RecordedTask]:
    """Return the tasks of :func:`read_results_file`."""
    return list(read_results_file(path).tasks)


def read_results_file(path: Path) -> ResultsFile:
    """Return the results file ``path`` with the tasks of this benchmark in it and their raw responses.

    Raises:
        RecordError: A file is damaged or incomplete, has no task of this benchmark, or is of another exam version.
    """
    try:
        results = parse_object(path.read_bytes())
        ours = {
            str(name): record
            for name, config in results.get("configs", {}).items()
            if (record := (config.get("metadata") or {}).get("roi_bench")) is not None
        }
    except (OSError, ValueError, AttributeError) as error:
        raise RecordError(
            f"{path}: not a results file of lm_eval, or a damaged one ({error}); if it was cut off while it was "
            "written, delete it and run the same command again"
        ) from error
    if not ours:
        raise RecordError(f"{path}: has no task of roi-bench; was it written by `lm_eval --tasks roi_…`?")
    return ResultsFile(path, results, tuple(_read_task(path, results, name, record) for name, record in ours.items()))


def _read_task(path: Path, results: dict[str, Any], name: str, found: Any) -> RecordedTask:
    record = _run_record(path, name, found)
    samples_path = path.with_name(f"samples_{Path(name).name}_{path.stem.rpartition('_')[2]}.jsonl")
    if not samples_path.exists():
        raise RecordError(f"{path}: {samples_path.name} is missing beside it; run with --log_samples")
    documents = tuple(_read_samples(samples_path, record))
    try:
        values = {
            key.removesuffix(",none"): value
            for key, value in results["results"][name].items()
            if key.endswith(",none") and isinstance(value, int | float | str)
        }
        expected = int(results["n-samples"][name]["effective"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: the numbers of {name} are damaged ({type(error).__name__}: {error})") from error
    if len(documents) != expected:
        raise RecordError(
            f"{samples_path}: has {len(documents)} documents, the run had {expected}; the file is cut off or altered"
        )
    model, decoding = _model_name(results), _decoding(results, name)
    return RecordedTask(name, path, samples_path, record, model, decoding, values, documents, _setup(results))


def _setup(results: dict[str, Any]) -> Setup:
    config, run = _object(results.get("config")), _object(results.get("roi_bench"))
    facts = _object(run.get("engine"))
    is_hf = config.get("model") == "hf"
    journal = JOURNAL_NAME.match(str(run.get("journal")))
    asked = ("model", "model_args", "random_seed", "numpy_seed", "torch_seed", "fewshot_seed", "gen_kwargs")

    def said(name: str, otherwise: object = None) -> str:
        value = facts.get(name, otherwise)
        return "" if value is None else str(value).removeprefix("torch.")

    return Setup(
        engine=said("name", config.get("model")),
        version=said("version", results.get("transformers_version") if is_hf else None),
        dtype=said("dtype", config.get("model_dtype")),
        quantization="none" if "quantization" in facts and facts["quantization"] is None else said("quantization"),
        batch_size=said("batch_size", config.get("batch_size")),
        journal="" if journal is None else journal[1],
        command=canonical_json({name: config.get(name) for name in asked}) if config else "",
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


JOURNAL_NAME = re.compile(r"journal-([0-9a-f]{8})\.")


def _model_name(results: dict[str, Any]) -> str:
    """Return the name under which lm_eval filed the results; where it made one up, the kind of model."""
    config = _object(results.get("config"))
    kind, given = config.get("model"), config.get("model_args")
    invented = kind == "roi-playback" and "model" not in (given or ())
    return str((None if invented else results.get("model_name")) or kind or "unknown model")


def _decoding(results: dict[str, Any], name: str) -> dict[str, Any]:
    generation = results["configs"][name].get("generation_kwargs")
    known = generation if isinstance(generation, dict) else {}
    return {key: known[key] for key in sorted(known) if key not in ("max_gen_toks", "until")}


def _run_record(path: Path, name: str, found: Any) -> RunRecord:
    if isinstance(found, dict):
        found = {**_NOT_SAID, **found}
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("form", "exam_set", "prompt", "prompt_sha256"), str),
        "order": (str, type(None)),
        **dict.fromkeys(("budget", "repeats", "paraphrase"), int),
        "exam_seed": (int, type(None)),
        **dict.fromkeys(("tokenizer", "tokenizer_revision", "decoding"), (str, type(None))),
        "text_is_whole": bool,
        **dict.fromkeys(("deviations", "think_tags"), list),
        "reading_rule": int,
        "starts_in_reasoning": bool,
    }
    exams = str(found.get("exam_set")) if isinstance(found, dict) else ""
    version = found.get("exam_version") if isinstance(found, dict) else None
    if exams in EXAM_VERSIONS and version != EXAM_VERSIONS[exams]:
        raise RecordError(
            f"{path}: {name} was run on exam version {version!r} of {exams}, this package has version "
            f"{EXAM_VERSIONS[exams]}; results of two versions are never mixed, use the roi-bench release of that run"
        )
    rule = found.get("reading_rule") if isinstance(found, dict) else None
    if type(rule) is int and rule > READING_RULE:
        raise RecordError(
            f"{path}: {name} was read by rule {rule}, this package knows rule {READING_RULE} and older ones; use the "
            "roi-bench release of that run"
        )
    wrong = [key for key, kind in kinds.items() if not isinstance(found, dict) or not isinstance(found.get(key), kind)]
    tags = None if wrong else parse_tags(found["think_tags"])
    if not wrong:
        least = {"budget": 1, "repeats": 1, "reading_rule": 1, "paraphrase": 0}
        wrong = [key for key, value in least.items() if found[key] < value]
        kind = KINDS.get(found["form"])
        wrong += [] if kind is not None and (found["order"] is not None) == kind.has_order else ["form"]
        wrong += [] if found["order"] in (None, *ORDERS) else ["order"]
        wrong += [] if tags is not None else ["think_tags"]
        wrong += [] if found["decoding"] in (None, "neutral", "model") else ["decoding"]
        wrong += [] if (key := wrong_key(found)) is None else [key]
    if wrong:
        raise RecordError(f"{path}: the record of {name} is damaged at {wrong[0]!r}")
    deviations = tuple(str(label) for label in found["deviations"])
    known = {key: found[key] for key in (*kinds, *KEYS)}
    return RunRecord(**{**known, "deviations": deviations, "think_tags": tags or ()})


_NOT_SAID: dict[str, Any] = {
    "form": "exam",
    "deviations": [],
    "paraphrase": 0,
    "reading_rule": 1,
    "starts_in_reasoning": False,
    "think_tags": [],
    **dict.fromkeys((*KEYS, "decoding")),
}
"""What older records mean by what they do not say."""


def _read_samples(path: Path, record: RunRecord) -> Iterator[RecordedDocument]:
    what, name = record.kind.noun, record.kind.identifier
    requests, repeats = record.kind.requests, record.repeats
    seen: set[str] = set()
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            sample = parse_object(line)
            found = str(sample["doc"][name])
            usage = sample.get("usage") or sample["doc"].get("usage") or [[None] * repeats] * requests
            responses = tuple(
                tuple(_response(text, spent) for text, spent in zip(texts, spents, strict=True))
                for texts, spents in zip(sample["resps"], usage, strict=True)
            )
            usd = sample.get("usd") or sample["doc"].get("usd")
            costs = tuple(tuple(None if one is None else float(one) for one in each) for each in usd) if usd else None
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{path}:{number}: incomplete or damaged sample ({type(error).__name__}: {error}); the file is cut "
                "off or altered; run the task again (roi-bench run resumes from its journal)"
            ) from error
        if found in seen:
            raise RecordError(f"{path}:{number}: {what} {found} occurs twice; the file mixes two runs")
        if [len(of_one) for of_one in responses] != [repeats] * requests:
            raise RecordError(
                f"{path}:{number}: {what} {found} does not have the expected number of responses (samples per request: "
                f"{repeats}, requests: {requests})"
            )
        seen.add(found)
        yield RecordedDocument(found, responses, costs)


def _response(text: Any, usage: Any) -> Response:
    if not isinstance(text, str):
        raise TypeError(f"a response is {type(text).__name__}, not text")
    return Response(None if text == NO_RESPONSE else text, parse_usage(usage))
