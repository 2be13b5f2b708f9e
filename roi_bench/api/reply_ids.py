"""Telling a reply that was another request's from one's own, by the ids that providers give to replies."""

from __future__ import annotations

from collections.abc import Mapping

from roi_bench.api.replies import ApiReply, UnusableReplyError
from roi_bench.exams.exam import sha256_text


class ReplyIds:
    """Remembers the ids of replies with what they said.

    A proxy or connection that is out of step can give one request the reply to another: same id, same text. Servers
    whose ids say nothing (one id for all, or drawn from a small range) betray themselves by giving one id to two texts;
    from then on nothing is refused.

    Args:
        known: Text by id, of the replies that earlier starts of the run have recorded.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._said = {identifier: sha256_text(text) for identifier, text in known.items()}
        self._are_unique = True

    def check(self, reply: ApiReply, refused_before: bool) -> None:
        """Note the id of ``reply``.

        Args:
            reply: A reply just come.
            refused_before: This request was given somebody else's reply before; then a server that has given only one
                id so far is taken to have no others.

        Raises:
            UnusableReplyError: It was the reply to another request.
        """
        identifier = reply.record.get("provider_id")
        if not isinstance(identifier, str) or not self._are_unique:
            return
        said = sha256_text(reply.text)
        before = self._said.get(identifier)
        if before is None:
            self._said[identifier] = said
        elif before != said:
            self._are_unique = False
        elif len(self._said) > 1 or not refused_before:
            raise UnusableReplyError(f"the reply {identifier} had answered another request already")
