"""How a run's prompts were sent: as messages, through a chat template, as bare text; each makes other prompts. Pure"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MESSAGES, CHAT_TEMPLATE, TEXT = "messages", "chat template", "text"

SENT_AS = (MESSAGES, CHAT_TEMPLATE, TEXT)
"""Messages to a chat endpoint, whose template nobody sees; one text that a chat template made; bare text."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How prompts were sent; all None where a record does not say it.

    Attributes:
        sent_as: One of :data:`SENT_AS`.
        chat_template_sha256: What tells chat templates apart
            (:func:`roi_bench.harness.chat_templates.template_sha256`), None where none was applied.
        system_instruction_sha256: SHA-256 of the run's own system instruction, None where it has none.
    """

    sent_as: str | None = None
    chat_template_sha256: str | None = None
    system_instruction_sha256: str | None = None

    @property
    def title(self) -> str:
        """The whole of it for people: ``chat template 1a2b3c4d, system_instruction 5e6f7a8b``."""
        return ", ".join([self._way(True) or "not recorded", *self._instruction()])

    def labels_beside(self, others: Iterable[Sending]) -> list[str]:
        """Return labels for what is not the same in all of ``others``, with which the prompts may be mixed up.

        What a record does not say has no label, and whether there is an instruction at all is a deviation of the run.
        """
        seen = list(others)
        ways = {(other.sent_as, other.chat_template_sha256) for other in seen}
        instructions = {other.system_instruction_sha256 for other in seen if other.system_instruction_sha256}
        way = ""
        if ways - {(self.sent_as, self.chat_template_sha256)}:
            way = self._way(any(as_ == self.sent_as and sha != self.chat_template_sha256 for as_, sha in ways))
        told = self._instruction() if instructions - {self.system_instruction_sha256} else []
        return [*([way] if way else []), *told]

    def _way(self, exactly: bool) -> str:
        template = f" {self.chat_template_sha256[:8]}" if exactly and self.chat_template_sha256 else ""
        return f"{self.sent_as}{template}" if self.sent_as else ""

    def _instruction(self) -> list[str]:
        sha256 = self.system_instruction_sha256
        return [f"system_instruction {sha256[:8]}"] if sha256 else []


UNSAID = Sending()
"""What a record that does not say it means."""

KEYS = ("sent_as", "chat_template_sha256", "system_instruction_sha256")
"""The attributes, and their keys in records, profiles and submissions."""


def wrong_key(found: Mapping[str, Any]) -> str | None:
    """Return the key at which ``found``, read from JSON, cannot say how prompts were sent; None: it can."""
    if found.get(KEYS[0]) not in (None, *SENT_AS):
        return KEYS[0]
    return next((key for key in KEYS[1:] if not isinstance(found.get(key), str | None)), None)


def sending_of(found: Mapping[str, Any]) -> Sending:
    """Return what ``found`` says; a key that is missing says nothing."""
    return Sending(*(found.get(key) for key in KEYS))
