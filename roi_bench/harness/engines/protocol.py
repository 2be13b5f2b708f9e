"""What a run needs of an engine, whatever generates behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from roi_bench.harness.batches import Question
from roi_bench.records.journal import Entry, Journal, RequestKey


@dataclass(frozen=True, slots=True)
class Asking:
    """What a run asks of an engine, and where the responses go.

    Attributes:
        questions: All distinct questions of the run, those that are answered already among them: a plan made from all
            of them is the same at every start.
        missing: Those to be asked now.
        record: Puts finished responses on the disk, and returns when they are there.
        journal: Where they go.
        tell: Counts responses that the engine put into the journal itself.
    """

    questions: Sequence[Question]
    missing: Sequence[Question]
    record: Callable[[Sequence[Entry]], None]
    journal: Journal
    tell: Callable[[Sequence[Entry]], None]

    def is_missing(self) -> Callable[[RequestKey], bool]:
        """Return whether a question of this key is still to be asked."""
        return frozenset(question.key for question in self.missing).__contains__


class Engine(Protocol):
    """An lm_eval model as a run sees it: asks each question once, counts exactly, says what it is.

    A response is handed to :attr:`Asking.record` as soon as it is finished, so at most what was in flight is lost.
    """

    @property
    def lm(self) -> Any:
        """The lm_eval model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is, as JSON values: ``name``, ``version``, ``dtype``, ``quantization``, ``batch_size``, …"""

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """What shapes its responses, if it knows better than its arguments say; else None."""

    @property
    def takes_messages(self) -> bool:
        """Whether it takes conversations only, no text."""

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return why it cannot answer under these generation arguments at all, or None.

        Raises:
            RoiBenchError: It could, but not as it was set up.
        """

    def preview(self, questions: Sequence[Question]) -> str:
        """Show what would be sent, and return what it may cost as one line.

        Raises:
            UsageError: Nothing is sent anywhere by this engine.
        """

    def advice(self, questions: int) -> str | None:
        """Return one line on how the user could make a run of so many ``questions`` faster, or None."""

    def keep_batch_size(self, size: int) -> None:
        """Use the batch size that an earlier start of the run found by itself, if this start leaves it open too."""

    def ask(self, asking: Asking) -> None:
        """Ask what is missing.

        Raises:
            ModelError: The engine failed; what was finished before is recorded.
            EndedEarlyError: Nothing is to be waited for.
        """

    def close(self) -> None:
        """End the processes that the engine started, if any; nothing is asked of it afterwards."""
