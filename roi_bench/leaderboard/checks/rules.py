"""The rules that a submission must pass: the same for `submit check`, for CI, and for building a board."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSIONS
from roi_bench.leaderboard.board.graded import Remark
from roi_bench.leaderboard.checks.response_rules import (
    TOO_FEW,
    UNUSUAL,
    check_budget,
    check_responses,
    prompt_remarks,
    recorded_counter,
)
from roi_bench.leaderboard.submission.response_files import Responses, read_responses, usd_of
from roi_bench.leaderboard.submission.schema import (
    Submission,
    SubmittedTask,
    exams_sha256,
    load_set,
    outdated,
    parse_submission,
    task_name,
)
from roi_bench.leaderboard.submission.untrusted_files import (
    BUDGET_CHARACTERS,
    FOLDER_UNPACKED_BYTES,
    FREE_CHARACTERS,
    METADATA_FILE,
    RESPONSES,
    TEXT_CHARACTERS,
    UNPACKED_BYTES,
    content_of,
    read_folder,
    shown,
)
from roi_bench.records.regrade import check_recorded
from roi_bench.records.results import KEYS, Costs, RecordedTask, RunRecord, identity_of
from roi_bench.scoring.prompts import PROMPTS, find_prompt, prompt_sha256, prompt_version, version_text
from roi_bench.scoring.task_settings import TaskSettings, deviations
from roi_bench.scoring.tokens import TokenCounter

# Rules on what a task of a submission says of itself: its name, exams, prompt, decoding. Nothing is graded here.


def check_task(task: SubmittedTask, where: str) -> None:
    """Check that a task is one of this package, under its right name, and asked its exams with its prompt.

    Args:
        task: What ``submission.json`` says.
        where: Its file in messages.

    Raises:
        RecordError: It is not.
        DataError: Its exams cannot be loaded.
    """
    for rule in (_wrong_kind, _wrong_exams, _wrong_labels, _wrong_tokenizer):  # each relies on those before it
        if (why := rule(task)) is not None:
            raise RecordError(f"{where}: {why}")


def check_paraphrases(tasks: Sequence[SubmittedTask], where: str) -> None:
    """Check that each paraphrase comes with the same task in the canonical words.

    It is no result of its own: what it says, it says about that task.

    Args:
        tasks: All tasks of a submission.
        where: The submission in messages.

    Raises:
        RecordError: One does not.
    """
    canonical = {canonical_name(task): task for task in tasks if not task.paraphrase}
    for task in tasks:
        if not task.paraphrase:
            continue
        own = canonical.get(canonical_name(task))
        if own is None:
            raise RecordError(
                f"{where}: {task.name} is a paraphrase of {canonical_name(task)}, which is not in the submission; a "
                "paraphrase is only shown as the spread of the canonical prompt, so submit both"
            )
        for name in SAME_OF_PARAPHRASES:
            if getattr(task, name) != getattr(own, name):
                raise RecordError(
                    f"{where}: {task.name} has other {name} than {own.name}; a paraphrase differs from it in nothing "
                    "but the words of the prompt"
                )
        if outdated(task) != outdated(own):
            raise RecordError(f"{where}: {task.name} is of another version than {own.name}; run both by one release")


SAME_OF_PARAPHRASES = (
    *("repeats", "decoding", "deviations", "tokenizer", "tokenizer_revision"),
    *("text_is_whole", "starts_in_reasoning", "think_tags", *KEYS),
)
"""What a task in other words has in common with the canonical one, besides what its name says."""


def canonical_name(task: SubmittedTask) -> str:
    """Return the name of the task that asked the same in the canonical words."""
    return task_name(task.exam_set, task.exam_seed, task.order, task.budget, task.prompt)


def expected_deviations(task: SubmittedTask) -> tuple[str, ...]:
    """Return the labels that the decoding of a task calls for."""
    settings = TaskSettings(task.exam_set, task.order, task.prompt, task.budget, task.exam_seed, task.repeats)
    named = {"budget": task.budget, "exam_seed": task.exam_seed}
    return deviations(named, settings, task.decoding, None)


def _wrong_kind(task: SubmittedTask) -> str | None:
    if task.prompt not in PROMPTS or PROMPTS[task.prompt].kind != task.form:
        return f"there is no prompt {shown(task.prompt)} of form {task.form}"
    if (task.order is not None) != task.kind.has_order:
        return f"order {task.order} does not go with form {task.form}"
    if (task.exam_seed is None) != (task.exam_set == "v1"):
        return f"seed {task.exam_seed} does not go with exam set {task.exam_set}"
    try:
        find_prompt(task.prompt, task.paraphrase)
    except UsageError as error:
        return str(error)
    expected = task_name(task.exam_set, task.exam_seed, task.order, task.budget, task.prompt, task.paraphrase)
    if task.name != expected:
        return f"what was run is submitted as {expected}, not as {task.name}"
    return None if task.file == f"{task.name}.jsonl.gz" else f"the file of {task.name} is called {task.name}.jsonl.gz"


def _wrong_exams(task: SubmittedTask) -> str | None:
    if task.exam_version != (version := EXAM_VERSIONS[task.exam_set]):
        return (
            f"exam version {task.exam_version} of {task.exam_set}; this board has version {version}, and versions are "
            "never mixed"
        )
    if prompt_version(task.prompt_sha256, task.prompt, task.paraphrase) is None:
        expected = prompt_sha256(task.prompt, task.paraphrase)
        words = f", paraphrase {task.paraphrase}," if task.paraphrase else ""
        return (
            f"prompt {task.prompt}{words} is {version_text(task.prompt_sha256)}; this board's is "
            f"{version_text(expected)}, and versions are never mixed"
        )
    if task.exams_sha256 != (expected := exams_sha256(task.exam_set, task.exam_seed)):
        return f"the exams of set {task.exam_set} are {task.exams_sha256[:12]}…; this board's are {expected[:12]}…"
    return None


OTHER_LABELS = re.compile(
    r"system_instruction|decoding=model|omit=[a-z_]{1,30}(\+[a-z_]{1,30}){0,9}|(paraphrase|budget|exam_seed)=[0-9]{1,18}"
    r"|until=\[('[ -&(-~]{1,16}'(, '[ -&(-~]{1,16}'){0,3})?\]",
    re.ASCII,
)
"""Labels that do not follow from the decoding of a task (:func:`roi_bench.scoring.task_settings.deviations`)."""


def _wrong_labels(task: SubmittedTask) -> str | None:
    expected = expected_deviations(task)
    if missing := [label for label in expected if label not in task.deviations]:
        return f"decoding has {shown(missing[0])}, and deviations do not say so"
    strange = [one for one in task.deviations if one not in expected and not OTHER_LABELS.fullmatch(one)]
    if strange:
        return (
            f"deviations have {shown(strange[0])!r}, which is no label of a run; what you want to say belongs in notes"
        )
    return None


def _wrong_tokenizer(task: SubmittedTask) -> str | None:
    if (task.tokenizer is None) != (task.skip_token_lengths is None):
        return "skip_token_lengths and tokenizer come together"
    return None


# The rules that a submission must pass: the same for ``submit check``, for CI, and for building a board.
#
# What passes is returned as the recorded tasks that grading works on; claimed numbers are not among them.

NEEDLESS_DRAFT = "complete; pack without --draft to publish it"
"""Remark on a draft that would pass as a submission too."""

SAME_USD = 1e-6
"""Relative difference, and USD, up to which two sums of costs are the same."""


@dataclass(frozen=True, slots=True)
class CheckedSubmission:
    """A submission that passed all rules and is ready to be graded.

    Attributes:
        submission: As submitted.
        content: SHA-256 over all files of its folder.
        bytes: Size of its folder.
        tasks: Its tasks with raw responses.
        counters: What knows the tokens of a task's texts, and of a written skip, by task; None where no tokenizer was.
        usd: Costs of responses by task and document, where known.
        remarks: What was found that refuses nothing.
        recounted: The tokens of every text were counted again and are the recorded ones.
        token_checks: How far the tokens of each task were verified (:func:`.response_rules.check_budget`).
    """

    submission: Submission
    content: str
    bytes: int
    tasks: tuple[RecordedTask, ...]
    counters: Mapping[str, TokenCounter | None]
    usd: Mapping[str, Mapping[str, Costs]]
    remarks: tuple[Remark, ...]
    recounted: bool
    token_checks: Mapping[str, str]


def content_hash(folder: Path) -> str:
    """Return the SHA-256 over all files of a submission's folder.

    Raises:
        RecordError: It is no folder of plain files, or is too large.
    """
    return content_of(read_folder(folder))


def check_submission(
    folder: Path, *, recount: bool = False, archive: bool = False, today: date | None = None
) -> CheckedSubmission:
    """Return the submission in ``folder`` if it passes every rule.

    Args:
        folder: Its folder, which bears its id.
        recount: Count tokens again with tokenizers from the hub too; shipped ones always are.
        archive: Let runs of older rules and prompts pass too, for the archive of a board that has them already.
        today: Day against which its date is held; by default today's.

    Raises:
        RecordError: It is refused; the message says why.
        DataError: Its exams cannot be loaded.
        DependencyError: jsonschema, tokenizers or transformers is not installed.
    """
    files = read_folder(folder)
    if METADATA_FILE not in files:
        raise RecordError(f"{folder}: has no {METADATA_FILE}; make a submission with roi-bench submit pack")
    submission = parse_submission(files[METADATA_FILE], f"{folder}: {METADATA_FILE}", today=today)
    _check_folder(folder, submission, files)
    check_paraphrases(submission.tasks, str(folder))
    content, size = content_of(files), sum(map(len, files.values()))
    tasks, counters, usd, token_checks, left = [], {}, {}, {}, FOLDER_UNPACKED_BYTES
    recounted = True
    remarks: list[Remark] = []
    whole = True
    for task in submission.tasks:
        where = f"{folder}: {task.file}"
        check_task(task, where)
        if not archive:
            _check_current(task, where)
        found = submitted_responses(task, files.pop(task.file), where, most=left)
        left -= found.unpacked
        if task.lines_sha256 not in (None, found.lines_sha256):
            raise RecordError(
                f"{where} has lines of SHA-256 {found.lines_sha256[:12]}…, {METADATA_FILE} says "
                f"{str(task.lines_sha256)[:12]}…; it was altered"
            )
        recorded = recorded_task(folder, submission, task, found)
        _check_documents(recorded, where, draft=submission.draft)
        noticed = check_responses(task, found, where, draft=submission.draft)
        whole = whole and (not submission.draft or _is_whole(recorded, task, found))
        counters[task.name], not_counted = recorded_counter(task, found, where, recount=recount)
        if not_counted is not None and (few := next((one for one in noticed if one.rule == TOO_FEW), None)):
            raise RecordError(few.text)
        remarks += [one for one in noticed if not_counted is not None or one.rule not in (UNUSUAL, TOO_FEW)]
        remarks += [] if not_counted is None else [not_counted]
        token_checks[task.name], bounded = check_budget(task, found, where, counted=not_counted is None)
        remarks += bounded
        remarks += prompt_remarks(task, found)
        recounted = recounted and not_counted is None
        usd[task.name] = found.usd
        tasks.append(recorded)
    if submission.draft:
        remarks.insert(0, Remark("draft", NEEDLESS_DRAFT if whole else "not whole, and never published"))
    remarks += _cost_remarks(submission.usd, [costs for task in usd.values() for costs in task.values()])
    return CheckedSubmission(
        submission, content, size, tuple(tasks), counters, usd, tuple(remarks), recounted, token_checks
    )


def _check_current(task: SubmittedTask, where: str) -> None:
    if (why := outdated(task)) is not None:
        raise RecordError(
            f"{where}: {task.name} is of {why}, and versions are never mixed; run again, and pack the new results"
        )


def submitted_responses(task: SubmittedTask, packed: bytes, where: str, most: int = UNPACKED_BYTES) -> Responses:
    """Return the responses in a task's file.

    Args:
        task: The task.
        packed: Content of the file.
        where: Its name in messages.
        most: Bytes to which it may unpack at most.

    Raises:
        RecordError: It is damaged, or not what the task says of it.
    """
    longest = min(TEXT_CHARACTERS, BUDGET_CHARACTERS * task.budget + FREE_CHARACTERS)
    most = min(most, UNPACKED_BYTES)
    return read_responses(packed, task.form, task.repeats, task.documents, where, longest=longest, most=most)


def recorded_task(folder: Path, submission: Submission, task: SubmittedTask, found: Responses) -> RecordedTask:
    """Return a task in the form of one read from a results file, without recorded numbers."""
    model, decoding = submission.metadata.model, dict(task.decoding)
    paths = folder / METADATA_FILE, folder / task.file
    return RecordedTask(task.name, *paths, RunRecord(**identity_of(task)), model, decoding, {}, found.documents)


def _check_folder(folder: Path, submission: Submission, files: Mapping[str, bytes]) -> None:
    """Compare the folder with what its ``submission.json`` says of it."""
    name = folder.resolve().name  # it is no link, read_folder saw to that
    if name != submission.id:
        raise RecordError(f"{folder}: the submission in it is called {submission.id}; give the folder that name")
    names = [task.name for task in submission.tasks]
    if twice := {task for task in names if names.count(task) > 1}:
        raise RecordError(f"{folder}: task {min(twice)} occurs twice; a submission has one run of each")
    expected = {METADATA_FILE, *(task.file for task in submission.tasks)}
    if missing := sorted(expected - set(files)):
        raise RecordError(f"{folder}: {missing[0]} is missing")
    if unexpected := sorted(set(files) - expected):
        raise RecordError(f"{folder}: {shown(unexpected[0])} does not belong to a submission")
    for task in submission.tasks:
        if (found := hashlib.sha256(files[task.file]).hexdigest()) != task.sha256:
            raise RecordError(
                f"{folder}: {task.file} has SHA-256 {found[:12]}…, submission.json says {task.sha256[:12]}…; it was "
                "altered or cut off"
            )
    count = sum(task.documents * task.repeats * task.kind.requests for task in submission.tasks)
    if count > RESPONSES:
        raise RecordError(f"{folder}: {count} responses; a submission has at most {RESPONSES}, so submit in parts")
    asked = {task.name for task in submission.tasks if task.kind.has_order}
    if strange := sorted(set(submission.claimed) - asked):
        raise RecordError(f"{folder}: claims numbers of {strange[0]}, which is not an exam task of the submission")


def _is_whole(recorded: RecordedTask, task: SubmittedTask, found: Responses) -> bool:
    """Return whether a task of a draft would pass in a submission that is none."""
    try:
        _check_documents(recorded, "", draft=False)
        check_responses(task, found, "", draft=False)
    except RecordError:
        return False
    return True


def _check_documents(task: RecordedTask, where: str, *, draft: bool) -> None:
    """Compare the documents of a task with the exams of its set."""
    exams = load_set(task.record.exam_set, task.record.exam_seed)
    known = task.record.kind.documents({exam.id: exam for exam in exams})
    check_recorded(task, known, older_prompts=True)  # whether they may be older was decided before
    asked = {document.id for document in task.documents}
    missing = [name for name in known if name not in asked]
    if missing and not draft:
        what = f"{task.record.kind.noun}s"
        raise RecordError(
            f"{where}: lacks {len(missing)} of {len(known)} {what}, the first {missing[0]}; only whole sets are "
            "ranked (a draft may be incomplete)"
        )


def _cost_remarks(total: float | None, costs: Sequence[Costs]) -> list[Remark]:
    """Return a remark where the cost of all responses is not the sum of those beside the responses."""
    found = usd_of(costs)
    if total is None or found is None or math.isclose(total, found, rel_tol=SAME_USD, abs_tol=SAME_USD):
        return []
    text = f"submission.json says {total:.6g} USD for all responses; those beside the responses add up to {found:.6g}"
    return [Remark("cost", text)]
