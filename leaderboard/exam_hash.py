"""One hash for all exams of a set: whoever sat other exams has another one."""

from __future__ import annotations

from functools import lru_cache

from roi_bench.exams.exam import EXAM_VERSION, Exam, sha256_text
from roi_bench.exams.sets import load_exams
from roi_bench.records.journal import canonical_json


def load_set(exam_set: str, seed: int | None) -> tuple[Exam, ...]:
    """Return the exams of a set.

    Raises:
        DataError: A problem is missing or altered.
    """
    return load_exams(exam_set, seed=seed or 0)


@lru_cache(maxsize=8)
def exams_sha256(exam_set: str, seed: int | None) -> str:
    """Return the SHA-256 over the exams of a set: ids, medium orders, clusters, and questions and answers by hash.

    Raises:
        DataError: A problem is missing or altered.
    """

    def row(exam: Exam) -> list[object]:
        problems = [[p.id, p.sha256, sha256_text("\0".join(p.answers))] for p in exam.problems]
        return [exam.id, exam.medium, exam.cluster, problems]

    return sha256_text(canonical_json([EXAM_VERSION, [row(exam) for exam in load_set(exam_set, seed)]]))
