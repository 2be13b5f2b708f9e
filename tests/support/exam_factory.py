"""Invented exams and responses for tests; no problem text of any real pool."""

from __future__ import annotations

from collections.abc import Sequence

from roi_bench.exams.exam import Exam, Problem


def make_exam(index: int = 0, *, answers: Sequence[str] = ("1", "2", "3"), cluster: str | None = None) -> Exam:
    """Return an exam over invented gsm8k, math and aime problems with the given answers in tier order."""
    pools = ("gsm8k", "math", "aime")
    easy, middle, hard = (
        Problem(f"{pool}/made-up/{index}", pool, f"Invented question {index} of {pool}?", answer)
        for pool, answer in zip(pools, answers, strict=True)
    )
    return Exam(f"made-up/{index:03d}", (easy, middle, hard), ("EHM", "MEH", "MHE")[index % 3], cluster or hard.id)


def respond(answers: Sequence[str | None], *, work: str = "some work", level: Sequence[int] | None = None) -> str:
    """Return a canonical response; None leaves a problem without a box."""
    parts = []
    for position, answer in enumerate(answers, start=1):
        lines = [f"### Problem {position}"]
        if level is not None:
            lines.append(f"<predicted_level>Level-{level[position - 1]}</predicted_level>")
        lines.append(work)
        if answer is not None:
            lines.append(f"\\boxed{{{answer}}}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


class WordCounter:
    """Counts words as tokens."""

    def token_starts(self, text: str) -> list[int]:
        starts, inside = [], False
        for offset, character in enumerate(text):
            if character.isspace():
                inside = False
            elif not inside:
                starts.append(offset)
                inside = True
        return starts
