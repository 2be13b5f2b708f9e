"""The lm_eval task of the benchmark: the requests of a kind under a budget, ratio metrics, the record of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, ItemsView, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from roi_bench import __version__
from roi_bench.errors import ModelError, UsageError
from roi_bench.exams.exam import EXAM_VERSIONS, Exam, Problem, pools_of, sha256_text
from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import TINY_CHAT_TEMPLATE
from roi_bench.grading.grader import is_numeric_pool, shared_grader
from roi_bench.harness.ending import install_one_line_errors
from roi_bench.harness.engines.metering import metered
from roi_bench.harness.engines.protocol import ASKED
from roi_bench.harness.releases import by_request, make_request, scores_nothing
from roi_bench.harness.sending import (
    arguments_for,
    check_context,
    context_length,
    evaluated_model,
    keep_the_budget,
    sending_through,
    shows_system_turn,
)
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.regrade import FIXED_STDERR, UNDEFINED
from roi_bench.records.results import NO_RESPONSE, TEXT, UNSAID, Sending
from roi_bench.records.tokenizer import lasting_name, load_token_counter
from roi_bench.scoring.kinds import Attempt, Kind, RequestContent, score_attempts
from roi_bench.scoring.metrics import Metric, answers_read, exam_term
from roi_bench.scoring.outcomes import (
    ParsedResponse,
    Response,
    TextFacts,
    answers_to_grade,
    level_bounds,
    parse_response,
    text_facts,
)
from roi_bench.scoring.prompts import RESPONSE_CUE, Message, exam_messages, folded, prompt_sha256
from roi_bench.scoring.statistics import Estimate, ExamTerm, estimate_ratio
from roi_bench.scoring.task_settings import (
    BUDGET_ALIASES,
    MARK,
    TaskSettings,
    budget_of,
    deviations,
    task_settings,
    temperature_of,
)
from roi_bench.scoring.tokens import TokenCounter

# Raw responses as lm_eval passes them on, and how the samples file shows a missing one.


def logged(raw: object) -> object:
    """Return a raw response as the samples file shows it; a missing one is a mark that no model can forge."""
    if not isinstance(raw, str):
        return NO_RESPONSE
    return f"{raw} " if raw == NO_RESPONSE else raw


def response_of(raw: object) -> Response:
    """Return one raw response of the model, with its usage if the model counted it."""
    return Response(None if raw == NO_RESPONSE else raw, getattr(raw, "usage", None))


# Per-exam metric values as lm_eval passes them on: a float with its numerator, denominator and cluster.


class ExamValue(float):
    """The value of a metric on one exam, logged as a plain number in the samples file.

    The number shown is numerator / denominator; for regret, which is not a mean of per-exam values, it is the numerator
    (correct answers lost against the easy order). Aggregation uses :attr:`term`.
    """

    term: ExamTerm

    def __new__(cls, shown: float, term: ExamTerm) -> ExamValue:
        """Return a number that shows as ``shown`` and aggregates as ``term``."""
        value = super().__new__(cls, shown)
        value.term = term
        return value

    def __reduce__(self) -> tuple[type[ExamValue], tuple[float, ExamTerm]]:
        """Keep the term when accelerate's processes exchange values."""
        return ExamValue, (float(self), self.term)


def exam_value(metric: Metric[Any], term: ExamTerm | None) -> ExamValue | None:
    """Return the value of ``metric`` on one exam, or None where the exam says nothing."""
    if term is None:
        return None
    if metric.name == "regret":
        return ExamValue(term.numerator, term)
    return ExamValue(term.numerator / term.denominator, term)


class DocumentValues(dict[str, ExamValue | None]):
    """The metrics of one document, of which :meth:`items` yields the standard errors too, always None.

    lm_eval aggregates what ``items`` yields; into the samples file it copies the keys, where standard errors of single
    documents would say nothing.
    """

    def __init__(self, values: Mapping[str, ExamValue | None]) -> None:
        super().__init__({name: value for name, value in values.items() if not name.endswith("_stderr")})
        self._all = dict(values)

    def items(self) -> ItemsView[str, ExamValue | None]:  # type: ignore[override]
        """Return metrics and standard errors."""
        return self._all.items()


logger = logging.getLogger(__name__)


class RoiTask(ConfigurableTask):
    """The class of every task of the benchmark, e.g. ``roi_exam_hard_512``.

    The kind of its prompt (:mod:`roi_bench.scoring.kinds`) decides what a document is, its requests, and the scoring.

    The YAML's ``dataset_kwargs`` say what the task is (exam set, order, budget, prompt); ``--metadata`` may override
    ``budget``, ``repeats``, ``exam_seed``, ``paraphrase`` and ``decoding``.

    Raises:
        UsageError: A setting is invalid.
        DataError: A problem is missing or differs from the frozen one.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        install_one_line_errors()
        RoiTask.warned_about_bare_text = False
        config = {key: value for key, value in (config or {}).items() if key != "class"}
        self.named: dict[str, Any] = dict(config.get("dataset_kwargs") or {})
        self.settings = task_settings(self.named, config.get("metadata") or {})
        self.system_instruction: str | None = None
        self.shows_system_turn = True  # of the run's chat template
        self.sending = UNSAID
        self.engine_context: int | None = None  # context length of the loaded engine, where known
        self.texts: TextFacts = text_facts(config.get("metadata") or {}, ())
        self.estimates: dict[str, Estimate] = {}
        config["generation_kwargs"] = {**self.settings.generation, "max_gen_toks": self.settings.budget}
        self.generation_sent: dict[str, Any] = {}
        config["repeats"] = self.settings.repeats
        config["test_split"] = "test"
        self._load_exams()
        super().__init__(config=config)
        if self.dataset_is_deferred:
            self._build_documents()
        self.metrics: tuple[Metric[Any], ...] = self.kind.metrics_of(pools_of(self.exams))

    warned_about_stray_tags = warned_about_bare_text = False  # for the current run of this process

    # ------------------------------------------------------------------------------------------------ documents
    def download(self, *_: Any, **__: Any) -> None:
        """Make the documents; nothing is written to disk. Releases of lm_eval call it early, late or not at all."""
        self._build_documents()

    def _load_exams(self) -> None:
        exams = load_exams(self.settings.exam_set, seed=self.settings.exam_seed or 0)
        self.exams: dict[str, Exam] = {exam.id: exam for exam in exams}
        self.dataset_is_deferred = True  # until the documents are made

    def _build_documents(self) -> None:
        order, budget = self.settings.order, self.settings.budget
        self.known = self.kind.documents(self.exams)
        fields = [self.kind.fields(document, order, budget) for document in self.known.values()]
        self.dataset = {"test": datasets.Dataset.from_list(fields)}
        self.dataset_is_deferred = False

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return self.settings.kind

    def asked(self, doc: Mapping[str, Any]) -> tuple[RequestContent, ...]:
        """Return the requests of a document."""
        return self.kind.asked(self.known[doc[self.kind.identifier]], self.settings.order)

    def requests_of(self, doc: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one document for each request of ``doc``, in the order of their indices."""
        return [{**doc, **asked.fields} for asked in self.asked(doc)]

    def messages(self, doc: Mapping[str, Any]) -> list[Message]:
        """Return one request (one of :meth:`requests_of`) as chat messages.

        lm_eval also renders whole documents when a task is made; one that is none of its requests asks all problems.
        """
        own = (one.problems for one in self.asked(doc) if all(doc.get(key) == one.fields[key] for key in one.fields))
        problems = next(own, None) or self._problems(doc)
        questions = [problem.question for problem in problems]
        settings, bounds = self.settings, level_bounds(problems[0].pool)
        return exam_messages(questions, settings.budget, settings.prompt, bounds, paraphrase=settings.paraphrase)

    def doc_to_text(self, doc: Mapping[str, Any], *_: Any) -> str:
        """Return the user's message of one request."""
        return self.messages(doc)[-1]["content"]

    def doc_to_target(self, doc: Mapping[str, Any], *_: Any) -> str:
        """Return the gold answers by position, for the samples file only."""
        return " | ".join(problem.answer for problem in self._problems(doc))

    def _problems(self, doc: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Return all problems of a document."""
        return self.kind.problems(self.known[doc[self.kind.identifier]], self.settings.order)

    # ------------------------------------------------------------------------------------------------ requests
    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Take a setting from the command line; a changed budget changes the prompt as well.

        Raises:
            UsageError: Few-shot examples are requested, or the budget or the decoding is invalid.
        """
        if key == "num_fewshot" and value:
            raise UsageError(
                f"{self.config.task}: --num_fewshot {value} is refused: few-shot examples would reveal the costs that "
                "the model has to predict under one budget; leave --num_fewshot out"
            )
        if key == "generation_kwargs" and MARK in value:
            raise UsageError(
                f"{self.config.task}: {MARK} is not a generation argument; use --metadata '{{\"{MARK}\": …}}'"
            )
        super().set_config(key, value, update)
        if key == "generation_kwargs":
            generation = self.config.generation_kwargs
            # else lm_eval sets a temperature back to 0, and transformers refuses one of 0
            if "do_sample" not in value and ("temperature" in value or MARK not in generation):
                generation["do_sample"] = temperature_of(generation) > 0
            budget = budget_of(generation, self.settings.budget)
            for alias in BUDGET_ALIASES:
                generation.pop(alias, None)
            generation["max_gen_toks"] = budget
            self.settings = replace(self.settings, budget=budget)
            self._build_documents()

    def build_all_requests(self, **kwargs: Any) -> None:
        """Build all requests, and check that prompt and budget fit the model where its context is known."""
        self.system_instruction = kwargs.get("system_instruction")
        if kwargs.get("cache_requests"):
            # lm_eval's cache is keyed by task name alone: it would return prompts of another budget or seed
            logger.warning("%s: --cache_requests is ignored; prompts are built in milliseconds", self.config.task)
            kwargs = {**kwargs, "cache_requests": False, "rewrite_requests_cache": False}
        if kwargs.get("apply_chat_template"):
            with _named_template_error():  # asked once: lm_eval's models warn each time a template refuses the turn
                self.shows_system_turn = shows_system_turn(kwargs["chat_template"])
        self.sending = self._how_sent(kwargs.get("chat_template") if kwargs.get("apply_chat_template") else None)
        self._settle_decoding()
        super().build_all_requests(**kwargs)
        sent = [str(instance.args[0]) for instance in self.instances]
        self.texts = text_facts(self.config.metadata or {}, sent)
        RoiTask.warned_about_stray_tags = False
        counter = self.counter()
        self._warn_about_bare_text(counter)
        if counter is None or not self.texts.whole:
            logger.warning(
                "%s: %s, so tokens by position are N/A; where the backend does not count tokens either (roi-bench run "
                "and roi-api do), all token numbers are, and %s%s",
                self.config.task,
                "no tokenizer=… is known" if counter is None else "lm_eval strips the reasoning before think_end_token",
                self.kind.if_uncounted,
                "; name one, or score the samples with roi-bench regrade --tokenizer …" if counter is None else "",
            )
        length = self.engine_context or context_length(self.config.metadata or {})
        if length is not None and counter is not None:
            check_context(sorted(set(sent)), self.settings.budget, length, counter, str(self.config.task))

    def _settle_decoding(self) -> None:
        """Set the arguments of all requests: the task's own, and those that make them mean the same to this model.

        They are not part of the configuration, where every argument would be a deviation.
        """
        lm, settings = evaluated_model(), self.settings
        if lm is None and (self.config.metadata or {}).get("pretrained"):
            logger.warning(
                "%s: this lm_eval does not show the model that it evaluates, so the model's generation_config.json may "
                "shape its responses; use roi-bench run",
                self.config.task,
            )
        keep_the_budget(lm)
        self.generation_sent = arguments_for(lm, settings.decoding, self.config.generation_kwargs)

    def fewshot_context(
        self, doc: dict[str, Any], *args: Any, system_instruction: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the prompt of every request of ``doc``.

        The run's system instruction comes before that of the prompt. Without a chat template the system turn is the
        first paragraph, and the cue the last line.

        Raises:
            ModelError: A chat template is asked for and the tokenizer has none.
        """
        template = kwargs.get("chat_template") if kwargs.get("apply_chat_template") else None
        if template is not None and not self.shows_system_turn:
            kwargs["chat_template"] = partial(_fold, template)
        contexts = []
        for request in self.requests_of(doc):
            own = [message["content"] for message in self.messages(request)[:-1]]
            system = "\n\n".join(filter(None, [system_instruction, *own]))
            if system and template is None:
                system += "\n\n"  # lm_eval puts nothing between a system text and the prompt
            with _named_template_error():
                context = super().fewshot_context(request, *args, system_instruction=system or None, **kwargs)
            contexts.append(context if template is not None else f"{context}\n\n{RESPONSE_CUE}")
        return contexts

    def construct_requests(self, doc: dict[str, Any], ctx: list[str], **kwargs: Any) -> list[Instance]:
        """Return the requests of ``doc``."""
        settings = self.settings
        asked = {"prompt": settings.prompt, **({"paraphrase": settings.paraphrase} if settings.paraphrase else {})}
        instances = []
        for index, (prompt, request) in enumerate(zip(ctx, self.requests_of(doc), strict=True)):
            instances.append(make_request(self, request, (prompt, dict(self.generation_sent)), index, kwargs))
            setattr(instances[-1], ASKED, asked)
        return instances

    # ------------------------------------------------------------------------------------------------ results
    def apply_filters(self) -> None:
        """Pass on all K samples of every request; symbolic checks of this process start here, all in parallel."""
        parsed = []
        for instance in self.instances:
            # accelerate's padding may repeat the last request too often
            raws = instance.resps[: self.settings.repeats]
            instance.resps = [logged(raw) for raw in raws]
            instance.filtered_resps["none"] = instance.resps
            asked = self.asked(instance.doc)[instance.idx]
            parsed += [self._parse(asked, response_of(raw)) for raw in instance.resps]
        if self.has_symbolic_answers:
            shared_grader().grade_many([answer for response in parsed for answer in answers_to_grade(response)])
        self._warn_about_stray_tags(sum(response.reading.stray_closing_tag for response in parsed))

    def _parse(self, asked: RequestContent, response: Response) -> ParsedResponse:
        """Read a response for grading ahead, without counting its tokens."""
        return parse_response(asked.problems, asked.tiers, self.settings.budget, response, texts=self.texts)

    def _warn_about_bare_text(self, counter: TokenCounter | None) -> None:
        """Warn once per run if a model with a chat template is sent bare text, unless that is intended."""
        template = getattr(getattr(counter, "tokenizer", None), "chat_template", None)
        meant = template == TINY_CHAT_TEMPLATE or (self.config.metadata or {}).get("endpoint") == "completions"
        if template and not meant and self.sending.sent_as == TEXT and not RoiTask.warned_about_bare_text:
            RoiTask.warned_about_bare_text = True
            logger.warning(
                "%s has a chat template and none is applied: the prompt goes as bare text; for a chat model add "
                "--apply_chat_template",
                self.tokenizer_name(),
            )

    def _warn_about_stray_tags(self, count: int) -> None:
        """Warn once per run about responses that close reasoning which was never opened: it is read as work."""
        if count and not RoiTask.warned_about_stray_tags:
            RoiTask.warned_about_stray_tags = True
            logger.warning(
                "%s: responses with a closing think tag but no opening one: %d; the text before the tag is read as "
                "part of the answer; if the model reasons there, run again with think_end_token=… in --model_args",
                self.config.task,
                count,
            )

    def process_results(self, doc: dict[str, Any], results: list[list[Any]]) -> dict[str, ExamValue | None]:
        """Return every metric of one document; its :meth:`~DocumentValues.items` name standard errors too."""
        if scores_nothing(self):
            return {"bypass": None}
        results = by_request(results, self.settings.repeats)
        responses = [tuple(response_of(raw) for raw in raws) for raws in results]
        if any(response.usage is not None for of_one in responses for response in of_one) and isinstance(doc, dict):
            doc |= metered(results)  # the samples file of plain lm_eval shows the document, so no count is lost
        document, samples = self._samples(doc, responses)
        if isinstance(doc, dict):
            doc["read"] = answers_read(samples)
        values: dict[str, ExamValue | None] = {}
        for metric in self.metrics:
            values[metric.name] = exam_value(metric, exam_term(metric, samples, self.kind.cluster(document)))
            values[f"{metric.name}_stderr"] = None
        values.update({f"{name}_fixed_stderr": None for name in FIXED_STDERR if name in values})
        return DocumentValues(values)

    def _samples(self, doc: Mapping[str, Any], responses: list[tuple[Response, ...]]) -> tuple[Any, tuple[Any, ...]]:
        """Return the document that ``doc`` names, and its samples made of the K ``responses`` to each request."""
        document, settings = self.known[doc[self.kind.identifier]], self.settings
        attempt = Attempt(document, settings.order, settings.budget, tuple(responses), self.texts)
        (samples,) = score_attempts(self.kind, [attempt], shared_grader(), self.counter())
        return document, samples

    def aggregation(self) -> dict[str, Callable[[list[Any]], Any]]:
        """Return one aggregation per metric, and one for the standard error that it computes."""
        if scores_nothing(self):
            return dict(super().aggregation())
        found: dict[str, Callable[[list[Any]], Any]] = {}
        for metric in self.metrics:
            found[metric.name] = partial(self._aggregate, metric)
            found[f"{metric.name}_stderr"] = partial(self._stderr, metric.name, "stderr_general")
        for name in [name for name in FIXED_STDERR if name in found]:
            found[f"{name}_fixed_stderr"] = partial(self._stderr, name, "stderr_fixed")
        return found

    def aggregate(self, bootstrap_iters: int | None = None) -> Any:
        """Aggregate without lm_eval's bootstrap, which only 0.5 applies here: the standard errors are our own."""
        return super().aggregate(bootstrap_iters=0)

    def higher_is_better(self) -> dict[str, bool]:
        """Return the direction of every metric that has one."""
        return {m.name: m.higher_is_better for m in self.metrics if m.higher_is_better is not None}

    def dump_config(self) -> dict[str, Any]:
        """Return lm_eval's configuration with everything needed to identify and recompute the run."""
        config: dict[str, Any] = super().dump_config()
        omitted = (self.config.metadata or {}).get("omit")
        labels = deviations(self.named, self.settings, self.config.generation_kwargs, self.system_instruction, omitted)
        if labels:
            config["task_alias"] = f"{self.config.task} [{', '.join(labels)}]"
        config["metadata"] = {**config.get("metadata", {}), "roi_bench": self.record(labels)}
        return config

    def record(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return what identifies this run of the task: settings, prompt and exam version, deviations, software."""
        settings: TaskSettings = self.settings
        return {
            "roi_bench_version": __version__,
            "form": settings.kind.name,
            "exam_set": settings.exam_set,
            "exam_version": EXAM_VERSIONS[settings.exam_set],
            "exam_seed": settings.exam_seed,
            "order": settings.order,
            "budget": settings.budget,
            "repeats": settings.repeats,
            "prompt": settings.prompt,
            "prompt_sha256": prompt_sha256(settings.prompt, settings.paraphrase),
            "paraphrase": settings.paraphrase,
            "decoding": settings.decoding,
            "tokenizer": lasting_name(self.tokenizer_name()),
            "tokenizer_revision": (self.config.metadata or {}).get("revision"),
            "text_is_whole": self.texts.whole,
            "reading_rule": READING_RULE,
            "starts_in_reasoning": self.texts.starts_in_reasoning,
            "think_tags": [list(pair) for pair in self.texts.think_tags],
            **asdict(self.sending),
            "deviations": list(labels),
        }

    # ------------------------------------------------------------------------------------------------ helpers
    def tokenizer_name(self) -> str | None:
        """Return the tokenizer that counts tokens: ``tokenizer=``, else ``pretrained=`` of the model arguments."""
        metadata = self.config.metadata or {}
        name = metadata.get("tokenizer") or metadata.get("pretrained")
        return name if isinstance(name, str) else None

    @property
    def has_symbolic_answers(self) -> bool:
        """Whether grading may need symbolic checks, which are worth doing in parallel."""
        return any(not is_numeric_pool(pool) for pool in pools_of(self.exams))

    def _how_sent(self, template: Callable[..., str] | None) -> Sending:
        way = Sending(TEXT)
        if template is not None:
            with _named_template_error():
                way = sending_through(template, with_system_turn=self.shows_system_turn)
        own = self.system_instruction
        return replace(way, system_instruction_sha256=sha256_text(own)) if own else way

    def counter(self) -> TokenCounter | None:
        """Return the token counter, or None where no tokenizer is known."""
        name, metadata = self.tokenizer_name(), self.config.metadata or {}
        trusted = bool(metadata.get("trust_remote_code", False))
        return load_token_counter(name, revision=metadata.get("revision"), trust_remote_code=trusted) if name else None

    def _aggregate(self, metric: Metric[Any], values: list[ExamValue | None]) -> float | str:
        estimate = estimate_ratio([value.term for value in values if value is not None])
        self.estimates[metric.name] = estimate
        return UNDEFINED if estimate.value is None else estimate.value

    def _stderr(self, name: str, kind: str, _: list[None]) -> float | str:
        return UNDEFINED if (stderr := getattr(self.estimates[name], kind)) is None else float(stderr)


@contextmanager
def _named_template_error() -> Iterator[None]:
    """Within the block, report a missing chat template in one line."""
    try:
        yield
    except ValueError as error:
        if "chat_template" not in str(error) and "chat template" not in str(error):
            raise
        raise ModelError(
            "--apply_chat_template was given, but the model's tokenizer has no chat template; leave the option out "
            "or use a tokenizer that has one"
        ) from error


def _fold(template: Callable[..., str], messages: list[Message], **options: Any) -> str:
    """Apply a chat template that shows no system turn to ``messages``, keeping the instructions."""
    return template(folded(messages), **options)
