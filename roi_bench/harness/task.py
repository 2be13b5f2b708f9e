"""The lm_eval task: an exam asked in the task's order and in easy order, scored by the pure core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from roi_bench import __version__
from roi_bench.errors import ModelError, UsageError
from roi_bench.exam_sets import load_exams
from roi_bench.exams import EXAM_VERSION, Exam
from roi_bench.grading import Grader, is_numeric_pool
from roi_bench.harness import one_line_errors
from roi_bench.harness.context_window import check_context, context_length
from roi_bench.harness.metering import metered
from roi_bench.harness.raw_responses import logged, response_of
from roi_bench.harness.settings import (
    BUDGET_ALIASES,
    GREEDY,
    TaskSettings,
    budget_of,
    deviations,
    task_settings,
    temperature_of,
)
from roi_bench.harness.tokenizer import load_token_counter
from roi_bench.harness.values import ExamValue, exam_value
from roi_bench.metrics import Metric, exam_term, metrics_of
from roi_bench.outcomes import answers_to_grade, read_sheet
from roi_bench.prompts import exam_prompt, prompt_sha256
from roi_bench.regrade import FIXED_STDERR, UNDEFINED
from roi_bench.scoring import Sitting, score_sittings
from roi_bench.statistics import Estimate, estimate_ratio
from roi_bench.tokens import TokenCounter

logger = logging.getLogger(__name__)


@cache
def shared_grader() -> Grader:
    """Return this process's grader; its workers start with the first symbolic check."""
    return Grader()


class ExamTask(ConfigurableTask):
    """One task name of the benchmark, e.g. ``roi_exam_hard_512``.

    The YAML's ``dataset_kwargs`` say what the task is (exam set, order, budget, prompt); ``--metadata`` may override
    ``budget``, ``repeats`` and ``exam_seed``. Each document is one exam and makes two requests: index 0 in the task's
    order, index 1 in easy order.

    Raises:
        UsageError: A setting cannot be meant.
        DataError: A problem is missing or is not the one that was frozen.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        one_line_errors.install()
        config = dict(config or {})
        config.pop("class", None)
        self.named: dict[str, Any] = dict(config.get("dataset_kwargs") or {})
        self.settings = task_settings(self.named, config.get("metadata") or {})
        self.system_instruction: str | None = None
        self.estimates: dict[str, Estimate] = {}
        config["generation_kwargs"] = {**GREEDY, "max_gen_toks": self.settings.budget}
        config["repeats"] = self.settings.repeats
        config["test_split"] = "test"
        super().__init__(config=config)
        self.metrics = metrics_of([problem.pool for problem in next(iter(self.exams.values())).problems])

    # ------------------------------------------------------------------------------------------------ documents
    def download(self, *_: Any, **__: Any) -> None:
        """Load the exams and make one document of each; nothing is written to disk."""
        exams = load_exams(self.settings.exam_set, seed=self.settings.exam_seed or 0)
        self.exams: dict[str, Exam] = {exam.id: exam for exam in exams}
        self._build_documents()

    def _build_documents(self) -> None:
        settings = self.settings
        documents = [
            {
                "exam_id": exam.id,
                "order": settings.order,
                "budget": settings.budget,
                "problem_ids": [problem.id for problem in exam.ordered(settings.order)],
            }
            for exam in self.exams.values()
        ]
        self.dataset = {"test": datasets.Dataset.from_list(documents)}

    def doc_to_text(self, doc: Mapping[str, Any], *_: Any) -> str:
        """Return the prompt of ``doc`` in the order it names."""
        questions = [problem.question for problem in self.exams[doc["exam_id"]].ordered(doc["order"])]
        return exam_prompt(questions, self.settings.budget, self.settings.prompt)

    def doc_to_target(self, doc: Mapping[str, Any], *_: Any) -> str:
        """Return the gold answers by position, for the samples file only."""
        return " | ".join(problem.answer for problem in self.exams[doc["exam_id"]].ordered(doc["order"]))

    # ------------------------------------------------------------------------------------------------ requests
    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Take a setting from the command line; a changed budget changes the prompt as well.

        Raises:
            UsageError: Few-shot examples are asked for, or the budget cannot be meant.
        """
        if key == "num_fewshot" and value:
            raise UsageError(
                f"{self.config.task}: --num_fewshot {value} is refused: an exam is one prompt under one budget, and "
                "worked examples would give the costs away that the model has to foresee; leave --num_fewshot out"
            )
        super().set_config(key, value, update)
        if key == "generation_kwargs":
            generation = self.config.generation_kwargs
            if "do_sample" not in value and temperature_of(generation) > 0:
                generation["do_sample"] = True  # else lm_eval would silently set the temperature back to 0
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
            # lm_eval keys that cache by task name alone: prompts of another budget or seed would come back from it
            logger.warning("%s: --cache_requests is ignored; prompts are built in milliseconds", self.config.task)
            kwargs = {**kwargs, "cache_requests": False, "rewrite_requests_cache": False}
        super().build_all_requests(**kwargs)
        counter = self.counter()
        if counter is None or not self.text_is_whole:
            logger.warning(
                "%s: %s, so tokens by position are N/A; unless the backend is metered (roi-bench run, roi-api) all "
                "token numbers are, and a response without an answer counts as unanswered, not truncated",
                self.config.task,
                "no tokenizer=… is known" if counter is None else "lm_eval strips the reasoning before think_end_token",
            )
        length = context_length(self.config.metadata or {})
        if length is not None and counter is not None:
            prompts = {str(instance.args[0]) for instance in self.instances}
            check_context(sorted(prompts), self.settings.budget, length, counter, str(self.config.task))

    def fewshot_context(self, doc: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[str, str]:
        """Return the prompt in the task's order and the one in easy order.

        Raises:
            ModelError: A chat template is asked for and the tokenizer has none.
        """
        try:
            main, easy = (
                super(ExamTask, self).fewshot_context({**doc, "order": order}, *args, **kwargs)
                for order in (doc["order"], "easy")
            )
        except ValueError as error:
            if "chat_template" not in str(error) and "chat template" not in str(error):
                raise
            raise ModelError(
                "--apply_chat_template was given, but the model's tokenizer has no chat template; leave the option out "
                "or use a tokenizer that has one"
            ) from error
        return main, easy

    def construct_requests(self, doc: dict[str, Any], ctx: tuple[str, str], **kwargs: Any) -> list[Instance]:
        """Return two requests: index 0 in the task's order, index 1 in easy order."""
        metadata = kwargs["metadata"]
        return [
            Instance(
                request_type="generate_until",
                doc={**doc, "order": order},
                arguments=(prompt, dict(self.config.generation_kwargs)),
                idx=index,
                metadata=metadata,
            )
            for index, (prompt, order) in enumerate(zip(ctx, (doc["order"], "easy"), strict=True))
        ]

    # ------------------------------------------------------------------------------------------------ results
    def apply_filters(self) -> None:
        """Hand all K samples of every request on; symbolic checks of this process start here, all in parallel."""
        answers = []
        symbolic = self.has_symbolic_answers
        for instance in self.instances:
            # accelerate's padding may have asked the last request more often than it should
            raws = instance.resps[: self.settings.repeats]
            instance.resps = [logged(raw) for raw in raws]
            instance.filtered_resps["none"] = instance.resps
            if not symbolic:
                continue
            exam, order = self.exams[instance.doc["exam_id"]], instance.doc["order"]
            for raw in instance.filtered_resps["none"]:
                answers += answers_to_grade(read_sheet(exam, order, self.settings.budget, response_of(raw)))
        shared_grader().grade_many(answers)

    def process_results(self, doc: dict[str, Any], results: list[list[Any]]) -> dict[str, ExamValue | None]:
        """Return every metric of one exam; ``X_stderr`` follows ``X`` empty and is filled in by aggregation."""
        if "bypass" in self._metric_fn_list:
            return {"bypass": None}
        main, easy = (tuple(response_of(raw) for raw in raws) for raws in results)
        if any(response.usage is not None for response in (*main, *easy)) and isinstance(doc, dict):
            doc |= metered(results)  # the samples file of plain lm_eval shows the document: no count is lost
        exam = self.exams[doc["exam_id"]]
        sitting = Sitting(exam, doc["order"], self.settings.budget, main, easy, self.text_is_whole)
        (samples,) = score_sittings([sitting], shared_grader(), self.counter())
        values: dict[str, ExamValue | None] = {}
        for metric in self.metrics:
            values[metric.name] = exam_value(metric, exam_term(metric, samples, exam.cluster))
            values[f"{metric.name}_stderr"] = None
        values.update({f"{name}_fixed_stderr": None for name in FIXED_STDERR})
        return values

    def aggregation(self) -> dict[str, Callable[[list[Any]], Any]]:
        """Return one aggregation per metric, and one that hands out the standard error found by it."""
        if "bypass" in self._metric_fn_list:
            return dict(super().aggregation())
        found: dict[str, Callable[[list[Any]], Any]] = {}
        for metric in self.metrics:
            found[metric.name] = partial(self._aggregate, metric)
            found[f"{metric.name}_stderr"] = partial(self._stderr, metric.name, "stderr_general")
        for name in FIXED_STDERR:
            found[f"{name}_fixed_stderr"] = partial(self._stderr, name, "stderr_fixed")
        return found

    def higher_is_better(self) -> dict[str, bool]:
        """Return the direction of every metric that has one."""
        return {m.name: m.higher_is_better for m in self.metrics if m.higher_is_better is not None}

    def dump_config(self) -> dict[str, Any]:
        """Return lm_eval's configuration with everything needed to identify and re-compute the run."""
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
            "exam_set": settings.exam_set,
            "exam_version": EXAM_VERSION,
            "exam_seed": settings.exam_seed,
            "order": settings.order,
            "budget": settings.budget,
            "repeats": settings.repeats,
            "prompt": settings.prompt,
            "prompt_sha256": prompt_sha256(settings.prompt),
            "tokenizer": self.tokenizer_name(),
            "tokenizer_revision": (self.config.metadata or {}).get("revision"),
            "text_is_whole": self.text_is_whole,
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
        return any(not is_numeric_pool(problem.pool) for exam in self.exams.values() for problem in exam.problems)

    @property
    def text_is_whole(self) -> bool:
        """Whether responses show all that was generated; with ``think_end_token`` lm_eval strips the reasoning."""
        return (self.config.metadata or {}).get("think_end_token") is None

    def counter(self) -> TokenCounter | None:
        """Return the token counter, or None where no tokenizer is known."""
        name, metadata = self.tokenizer_name(), self.config.metadata or {}
        if name is None:
            return None
        return load_token_counter(
            name,
            revision=metadata.get("revision"),
            trust_remote_code=bool(metadata.get("trust_remote_code", False)),
        )

    def _aggregate(self, metric: Metric, values: list[ExamValue | None]) -> float | str:
        estimate = estimate_ratio([value.term for value in values if value is not None])
        self.estimates[metric.name] = estimate
        return UNDEFINED if estimate.value is None else estimate.value

    def _stderr(self, name: str, kind: str, _: list[None]) -> float | str:
        stderr: float | None = getattr(self.estimates[name], kind)
        return UNDEFINED if stderr is None else stderr
