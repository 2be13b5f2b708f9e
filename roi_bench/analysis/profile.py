"""Solo profile: what each problem costs a model alone, and whether it gets it right (SPEC section 11).

K samples of a problem under a cap C give the model's joint distribution of (cost, correct). A generation capped at
k ≤ C is a prefix of the longer one, so one profile tells the success at every cap up to C.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.solo_skill import SoloSkill
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import EXAM_VERSION, Exam
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import parse_object
from roi_bench.records.results import RecordedTask
from roi_bench.records.sending import UNSAID, Sending, sending_of, wrong_key
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.prompts import prompt_sha256, version_text

FORMAT = "roi-bench solo profile"
VERSION = 1

UNCOUNTED_SKIP_COST = 12
"""Tokens that a skip is taken to cost where no tokenizer is known: a header line and a box with NA."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A solo profile.

    Attributes:
        model: What was asked.
        exam_set: Exam set whose problems these are.
        exam_seed: Seed of a generated set, None for the frozen one.
        cap: Most tokens of a sample.
        skip_cost: Tokens of writing a skip (header line and NA).
        prompt_sha256: Version of the solo prompt.
        decoding: Generation arguments besides the cap.
        skills: Samples by problem id; the same number of samples for every problem.
        sending: How the prompts were sent; older profiles do not say.
    """

    model: str
    exam_set: str
    exam_seed: int | None
    cap: int
    skip_cost: int
    prompt_sha256: str
    decoding: Mapping[str, Any]
    skills: Mapping[str, SoloSkill]
    sending: Sending = UNSAID

    @property
    def samples(self) -> int:
        """Samples of each problem."""
        return len(next(iter(self.skills.values())).costs)

    @property
    def set_title(self) -> str:
        """Name of the exam set: ``v1``, or ``fresh/7`` with the seed of a generated one other than 0."""
        return f"{self.exam_set}/{self.exam_seed}" if self.exam_seed else self.exam_set

    def covers(self, exam: Exam) -> bool:
        """Whether every problem of ``exam`` is in the profile."""
        return all(problem.id in self.skills for problem in exam.problems)

    def arrays(self, exams: Sequence[Exam], order: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return costs in tokens and correctness of ``exams`` in ``order``, each of shape (exams, positions, samples).

        Raises:
            UsageError: A problem is not in the profile.
        """
        if missing := [exam.id for exam in exams if not self.covers(exam)]:
            raise UsageError(f"the profile has not all problems of {missing[0]} ({len(missing)} such exams)")
        skills = [[self.skills[problem.id] for problem in exam.ordered(order)] for exam in exams]
        shape = (len(exams), 3, self.samples)
        costs = np.array([[skill.costs for skill in row] for row in skills], dtype=np.int64).reshape(shape)
        correct = np.array([[skill.correct for skill in row] for row in skills], dtype=np.bool_).reshape(shape)
        return costs, correct


def make_profile(
    task: RecordedTask, scored: Mapping[str, tuple[ScoredResponse, ...]], skip_cost: int = UNCOUNTED_SKIP_COST
) -> Profile:
    """Return the profile of a recorded solo task.

    Args:
        task: The task.
        scored: Its scored responses by problem id (:func:`roi_bench.records.regrade.score_recorded_solo`).
        skip_cost: Tokens of writing a skip.

    Raises:
        RecordError: A response is missing, or its tokens are unknown.
    """
    skills = {}
    for problem, responses in scored.items():
        costs = [response.tokens for response in responses]
        if any(response.failed for response in responses):
            raise RecordError(
                f"{task.samples_path}: a response to {problem} could not be had; run the same command again (it asks "
                "for the missing ones only), then make the profile"
            )
        # Text counted again may lie a little above the cap; what was generated did not.
        known = tuple(min(cost, task.record.budget) for cost in costs if cost is not None)
        if len(known) != len(costs):
            raise RecordError(
                f"{task.samples_path}: how many tokens the responses to {problem} took is unknown; name the model's "
                "tokenizer (--tokenizer …)"
            )
        skills[problem] = SoloSkill(known, tuple(response.score == 1 for response in responses))
    record = task.record
    return Profile(
        task.model,
        record.exam_set,
        record.exam_seed,
        record.budget,
        skip_cost,
        record.prompt_sha256,
        task.decoding,
        skills,
        record.sending,
    )


def profile_text(profile: Profile) -> str:
    """Return the profile as the text of its file: JSON, one problem a line; the same profile gives the same text."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "exam_version": EXAM_VERSION,
        "reading_rule": READING_RULE,
        **{name: getattr(profile, name) for name in _FIELDS},
        "decoding": dict(profile.decoding),
        **asdict(profile.sending),
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value, sort_keys=True)}," for name, value in head.items()]
    rows = [
        f"  {json.dumps(name)}: {json.dumps([list(skill.costs), [int(right) for right in skill.correct]])}"
        for name, skill in profile.skills.items()
    ]
    return "\n".join(["{", *lines, ' "problems": {', ",\n".join(rows), " }", "}", ""])


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "exam_set": str,
    "exam_seed": (int, type(None)),
    "cap": int,
    "skip_cost": int,
    "prompt_sha256": str,
}


def parse_profile(content: bytes, where: str) -> Profile:
    """Return the profile that the file ``content`` holds.

    Args:
        content: The file.
        where: Its name, for messages.

    Raises:
        RecordError: It is damaged, of another version or reading rule, or was asked with another prompt.
    """
    try:
        value = parse_object(content)
        if value.get("format") != FORMAT:
            raise ValueError(f"no format {FORMAT!r}")
        if (value.get("version"), value.get("exam_version")) != (VERSION, EXAM_VERSION):
            raise ValueError(
                f"version {value.get('version')!r} for exam version {value.get('exam_version')!r}; this package reads "
                f"{VERSION} for {EXAM_VERSION}"
            )
        wrong = [name for name, kind in _FIELDS.items() if not isinstance(value.get(name), kind)]
        wrong += [name for name in ("cap", "skip_cost") if name not in wrong and not 0 <= value[name] < 10**9]
        wrong += [] if (key := wrong_key(value)) is None else [key]
        if wrong or not isinstance(value.get("decoding"), dict):
            raise ValueError(f"damaged at {(wrong or ['decoding'])[0]!r}")
        skills = {str(name): _skill(name, row, value["cap"]) for name, row in value["problems"].items()}
        if len({len(skill.costs) for skill in skills.values()}) != 1:
            raise ValueError("no problems, or not as many samples of each")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = str(error) if isinstance(error, ValueError) else "a part has another form than expected"
        raise RecordError(
            f"{where}: not a solo profile, or a damaged one ({what}); make it with roi-bench profile"
        ) from error
    if (rule := value.get("reading_rule", 1)) != READING_RULE:
        raise RecordError(
            f"{where}: a profile of reading rule {rule}, this package reads by rule {READING_RULE}, and the two are "
            "never mixed; run the solo task again and make the profile of that"
        )
    if value["prompt_sha256"] != prompt_sha256("solo"):
        raise RecordError(
            f"{where}: asked with solo prompt {version_text(str(value['prompt_sha256']))}; this package's is "
            f"{version_text(prompt_sha256('solo'))}; use the roi-bench release of that run"
        )
    known = {name: value[name] for name in _FIELDS}
    return Profile(**known, decoding=value["decoding"], skills=skills, sending=sending_of(value))


def _skill(name: str, row: Any, cap: int) -> SoloSkill:
    costs, correct = row
    if len(costs) != len(correct) or not costs:
        raise ValueError(f"problem {name!r} has {len(costs)} costs and {len(correct)} verdicts")
    if any(type(cost) is not int or not 0 <= cost <= cap for cost in costs):
        raise ValueError(f"problem {name!r} has a cost that is no number of tokens up to the cap")
    if any(verdict not in (0, 1) for verdict in correct):
        raise ValueError(f"problem {name!r} has a verdict other than 0 and 1")
    return SoloSkill(tuple(costs), tuple(bool(verdict) for verdict in correct))
