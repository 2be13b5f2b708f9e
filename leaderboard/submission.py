"""A submission: who ran what on which exams, and the raw responses; nothing in it is believed until it is graded again.

A submission is a folder: ``submission.json`` (this module, :data:`SCHEMA_FILE`) and one gzipped JSONL file of raw
responses a task (:mod:`roi_bench.leaderboard.response_files`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from roi_bench.reading.responses import READING_RULE
from roi_bench.scoring.text_facts import ThinkTags

FORMAT = "roi-bench-submission"
FORMAT_VERSION = 1

SCHEMA_FILE = "submission.schema.json"
"""JSON Schema of ``submission.json``, in the package beside this module."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who and what, as the submitter says it; shown on pages, never used in a computation.

    Attributes:
        model: Name of the model, ``Qwen/Qwen2.5-1.5B-Instruct``.
        version: Version, revision or snapshot of the model, or None.
        provider: Who served it (``openai``, ``local``), or None.
        organisation: Who made the model, or None.
        licence: Licence of its weights, or None.
        open_weights: Whether anybody can have the weights; None: not said.
        parameters: Number of parameters, or None.
        hardware: What it ran on, or None.
        date: Day of the run, ``2026-11-24``.
        contamination: Statement on what of the exams the model may have seen in training.
        contact: Who answers questions about this submission.
        notes: Anything else, or an empty text.
    """

    model: str
    date: str
    contamination: str
    contact: str
    version: str | None = None
    provider: str | None = None
    organisation: str | None = None
    licence: str | None = None
    open_weights: bool | None = None
    parameters: int | None = None
    hardware: str | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedTask:
    """One task of a submission: what was asked, and where its raw responses are.

    Attributes:
        name: lm_eval's name of the task.
        form: ``exam``, ``knapsack`` or ``solo``.
        exam_set: ``v1``, ``fresh`` or ``tiny``.
        exam_seed: Seed of a generated set, None for the frozen one.
        exam_version: Version of the exams.
        exams_sha256: Hash of all exams of the set (:func:`roi_bench.leaderboard.exam_hash.exams_sha256`).
        order: The task's order, None for problems asked alone.
        budget: Budget in tokens.
        repeats: Samples per request.
        prompt: Name of the prompt.
        prompt_sha256: Version of the prompt.
        tokenizer: Tokenizer that counted tokens (``roi-bench:tiny_rarl`` for a shipped one), or None.
        tokenizer_revision: Its revision on the hub, or None.
        text_is_whole: False where the backend stripped hidden reasoning from the text.
        decoding: Generation arguments besides the budget: scalars by name.
        deviations: Labels of what makes the run other than what its task's name promises.
        documents: Number of lines in the file of responses.
        file: Its name in the folder.
        sha256: Hash of its bytes.
        skip_token_lengths: Tokens of a written skip (:func:`scoring.prompts.skipped_problem`), which a solo profile
            needs, in the form of the response files; None where no tokenizer was known.
        paraphrase: Number of the paraphrase in which the prompt was asked, 0 for its canonical text. Such a task is
            attached to the one of the canonical text and is its spread, never a row of its own.
        reading_rule: Rule by which its responses are read (SPEC section 5).
        starts_in_reasoning: The prompt as sent ended inside a block of reasoning.
        think_tags: Tags of reasoning that are the run's own.
        sent_as: How prompts were sent (:class:`records.sending.Sending`), as the next two; older submissions do not
            say.
        chat_template_sha256: What tells their chat template from others.
        system_instruction_sha256: SHA-256 of the run's own system instruction.
    """

    name: str
    form: str
    exam_set: str
    exam_seed: int | None
    exam_version: int
    exams_sha256: str
    order: str | None
    budget: int
    repeats: int
    prompt: str
    prompt_sha256: str
    tokenizer: str | None
    tokenizer_revision: str | None
    text_is_whole: bool
    decoding: Mapping[str, str | int | float | bool | None]
    deviations: tuple[str, ...]
    documents: int
    file: str
    sha256: str
    skip_token_lengths: tuple[int, ...] | None = None
    paraphrase: int = 0
    reading_rule: int = READING_RULE
    starts_in_reasoning: bool = False
    think_tags: ThinkTags = ()
    sent_as: str | None = None
    chat_template_sha256: str | None = None
    system_instruction_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """The content of ``submission.json``.

    Attributes:
        id: Name of the folder: a slug of the model and a hash of all the rest; an altered submission has another.
        metadata: Who and what.
        software: Versions of what produced the responses, by package.
        tasks: The tasks, by name.
        usd: What all responses cost in USD, or None.
        replaces: Id of the submission that this one corrects, or None.
        reason: Why it was corrected, or None.
        draft: Not whole (some exams only); can be looked at, never published.
        claimed: Numbers that the submitter's own run gave, by task and metric; compared with ours and never shown as
            results.
    """

    id: str
    metadata: Metadata
    software: Mapping[str, str]
    tasks: tuple[SubmittedTask, ...]
    usd: float | None = None
    replaces: str | None = None
    reason: str | None = None
    draft: bool = False
    claimed: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
