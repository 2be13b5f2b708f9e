"""What engines that generate or replay on this machine have in common: no money, no opinion, no conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.harness.batches import Question


class LocalEngine:
    """The answers of an engine to which a part of the protocol does not apply."""

    takes_messages = False
    identity: Mapping[str, Any] | None = None

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return None: what does not fit is said by the task, which knows its prompts."""
        del generation
        return None

    def preview(self, questions: Sequence[Question]) -> str:
        """Show nothing: nothing is sent anywhere.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"--dry-run is for API models; {len(questions)} requests would be asked of this one")

    def advice(self, questions: int) -> str | None:
        """Return None: nothing would make it faster."""
        del questions
        return None

    def keep_batch_size(self, size: int) -> None:
        """Nothing to keep: no size was found automatically."""

    def close(self) -> None:
        """Nothing to end: it generates in this process."""
