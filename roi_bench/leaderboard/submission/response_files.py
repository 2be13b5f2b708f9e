"""Files of raw responses in a submission: gzipped JSON, one line per document, with tokens and cost of each text."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

from roi_bench.errors import RecordError
from roi_bench.leaderboard.submission.untrusted_files import (
    LINE_BYTES,
    LINE_DEPTH,
    MEAN_TOKEN_CHARACTERS,
    SHOWN_OF_MESSAGE,
    TEXT_CHARACTERS,
    TOKEN_CHARACTERS,
    UNPACKED_BYTES,
    UNUSUAL_FREE,
    UNUSUAL_OF_ONE,
    parse_strict,
    shown,
    unpacked_lines,
)
from roi_bench.records.journal import parse_usage
from roi_bench.records.results import Costs, RecordedDocument
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage, retokenization_slack

# Token counts as a submission records them, in the place of a tokenizer; and whether they can be true. Pure.

_RUN = re.compile(r"(.)\1{8,}", re.DOTALL)

Lengths = Sequence[int]
"""Characters from the start of the token before to the start of each token; the first: from the text's beginning."""


class RecordedTokenCounter:
    """A :class:`roi_bench.scoring.tokens.TokenCounter` that knows the tokens of recorded texts and of no other.

    Args:
        known: Token lengths by text.
    """

    def __init__(self, known: Mapping[str, Lengths]) -> None:
        self._known = known

    def token_starts(self, text: str) -> list[int]:
        """Return the character offset at which each token of ``text`` starts, ascending.

        Raises:
            RecordError: The text is none of the recorded ones.
        """
        if text not in self._known:
            raise RecordError(f"the tokens of a text of {len(text)} characters were not recorded")
        return list(accumulate(self._known[text]))


def lengths_of(starts: Sequence[int]) -> array[int]:
    """Return the lengths whose running sums are ``starts``."""
    return array("L", [after - before for before, after in pairwise([0, *starts])])


def packed_lengths(values: Sequence[Any]) -> array[int]:
    """Return lengths read from JSON, two bytes each.

    Raises:
        ValueError: One is no length of a token.
    """
    try:
        if not set(map(type, values)) <= {int}:
            raise TypeError
        found = array("H", values)
    except (TypeError, OverflowError):
        raise ValueError(f"token_lengths must be whole numbers from 0 to {TOKEN_CHARACTERS}") from None
    if found and max(found) > TOKEN_CHARACTERS:
        raise ValueError(f"a token of {max(found)} characters; none has more than {TOKEN_CHARACTERS}")
    return found


def implausible(text: str, lengths: Lengths | None, usage: Usage | None, budget: int) -> str | None:
    """Return why the recorded tokens of a response contradict text, usage or budget, or None.

    Args:
        text: The response.
        lengths: Its token lengths, None where no tokenizer was known.
        usage: Its usage, None where none was metered.
        budget: Budget in tokens.
    """
    if lengths is None:
        return None
    if sum(lengths) > len(text):
        return f"token_lengths go beyond the end of its {len(text)} characters"
    if len(lengths) > budget + retokenization_slack(budget):
        return f"shows {len(lengths)} tokens, the budget is {budget}"
    # A single count only has to be possible; least_tokens says why, and what holds for all of a task.
    if usage is not None and usage.tokens < len(lengths) // 2 - retokenization_slack(len(lengths)):
        return f"shows {len(lengths)} tokens and claims to have taken {usage.tokens}"
    if len(text) - sum(lengths) > TOKEN_CHARACTERS:
        return f"its last token would have {len(text) - sum(lengths)} characters"
    return None


def least_tokens(shown: int) -> int:
    """Return how many tokens a response has to claim on average whose text shows so many: 2 % + 8 less.

    A single one may claim less: sampled tokens need not be those that the tokenizer makes of their text. 17 of 2,880
    sampled responses of a shipped model took fewer (one 102 for 139); together they took 1 % more than they show.
    """
    return shown - retokenization_slack(shown)


def miscounted(shown: int, usage: Usage) -> bool:
    """Return whether ``usage``, counted from the text, is not that of a text of ``shown`` tokens.

    A text that ended by itself has one token more at most, the end of the sequence. One that was cut at the budget was
    counted before, and what is left of it may have a few tokens more or less.
    """
    if usage.source != "retokenized":
        return False
    if usage.finish_reason == "length":
        return abs(usage.tokens - shown) > retokenization_slack(shown)
    return not shown <= usage.tokens <= shown + 1


def is_unusual(text: str, tokens: int) -> bool:
    """Return whether ``text`` is far longer than so many tokens of most tokenizers are."""
    most = UNUSUAL_OF_ONE * tokens + UNUSUAL_FREE
    return len(text) > most and len(shortened(text)) > most


def too_few(text: str, tokens: int) -> str | None:
    """Return why ``text`` cannot be so few tokens, or None; a bound for counts that are somebody's word.

    Real tokenizers can pass it: the shipped ones have whole lines as tokens, and a model may repeat one of them. So it
    says nothing against what was counted again.
    """
    most = MEAN_TOKEN_CHARACTERS * tokens + TOKEN_CHARACTERS
    whole = len(text) <= TOKEN_CHARACTERS * max(tokens, 1)  # a tokenizer may see nothing in a few characters
    if whole and (len(text) <= most or len(shortened(text)) <= most):
        return None
    return f"{len(text)} characters cannot be {tokens} tokens"


def shortened(text: str) -> str:
    """Return ``text`` with runs of one character cut to eight, since models have tokens for long ones."""
    return _RUN.sub(lambda run: run[0][:8], text)


LEAST_USD, MOST_USD = 1e-12, 1e4
"""No single response costs less, if it costs anything, or more, in USD."""

_RESPONSE_KEYS = {"text", "usage", "token_lengths", "usd"}


@dataclass(frozen=True, slots=True)
class Responses:
    """The content of a file of responses.

    Attributes:
        documents: Raw responses in file order.
        token_lengths: Lengths of the tokens of every text, by text; None where no tokenizer was known.
        usd: Costs by document.
        unpacked: Bytes of the file's lines, line ends left out; 0 for what was not read from a file.
        lines_sha256: Hash of the lines (:func:`lines_digest`); empty for what was not read from a file.
    """

    documents: tuple[RecordedDocument, ...]
    token_lengths: Mapping[str, array[int]] | None
    usd: Mapping[str, Costs]
    unpacked: int = 0
    lines_sha256: str = ""


def write_responses(responses: Responses) -> bytes:
    """Return ``responses`` as the bytes of their file; the same responses give the same bytes."""
    lines = []
    for document in responses.documents:
        costs = responses.usd.get(document.id)
        requests = [
            [
                {
                    "text": response.text,
                    "usage": None if response.usage is None else asdict(response.usage),
                    "token_lengths": _lengths(responses, response),
                    "usd": None if costs is None else costs[request][sample],
                }
                for sample, response in enumerate(samples)
            ]
            for request, samples in enumerate(document.requests)
        ]
        row = {"id": document.id, "requests": requests}
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    return gzip.compress("".join(lines).encode("utf-8"), compresslevel=9, mtime=0)


def _lengths(responses: Responses, response: Response) -> list[int] | None:
    if responses.token_lengths is None or not isinstance(response.text, str):
        return None
    return list(responses.token_lengths[response.text])


def read_responses(
    packed: bytes,
    form: str,
    repeats: int,
    documents: int,
    where: str,
    *,
    longest: int = TEXT_CHARACTERS,
    most: int = UNPACKED_BYTES,
) -> Responses:
    """Return the responses in an untrusted file.

    Args:
        packed: Content of the file.
        form: ``exam``, ``knapsack`` or ``solo``.
        repeats: Samples per request.
        documents: How many lines it must have.
        where: Name of the file in messages.
        longest: Characters of a response at most.
        most: Bytes to which the file may unpack at most.

    Raises:
        RecordError: It is damaged, has another number of lines or responses, or values that no run writes.
    """
    reader, digest = _Reader(form, repeats, longest), hashlib.sha256()
    number = unpacked = 0
    try:
        for number, line in enumerate(unpacked_lines(packed, most), start=1):
            unpacked += len(line)
            digest.update(line + b"\n")
            if number > documents:
                raise ValueError(f"has more lines than the {documents} in submission.json")
            reader.read(parse_strict(line, largest=LINE_BYTES, deepest=LINE_DEPTH))
    except ValueError as error:
        raise RecordError(f"{where}:{number or 1}: {shown(error, SHOWN_OF_MESSAGE)}") from None
    if number != documents:
        raise RecordError(f"{where}: has {number} lines, submission.json says {documents}; a document is missing")
    lengths = reader.lengths if reader.counted is True else None
    return Responses(tuple(reader.documents), lengths, reader.usd, unpacked, digest.hexdigest())


def lines_digest(packed: bytes) -> str:
    """Return the SHA-256 over the lines of a file of responses, each with a line feed, however they are packed."""
    digest = hashlib.sha256()
    for line in unpacked_lines(packed):
        digest.update(line + b"\n")
    return digest.hexdigest()


def responses_sha256(documents: Sequence[RecordedDocument]) -> str:
    """Return the SHA-256 over the ids of ``documents`` and the texts of their responses.

    It is the same for the same responses, however their file is ordered or compressed, and whatever stands beside the
    texts.
    """
    digest = hashlib.sha256()
    for document in sorted(documents, key=lambda one: one.id):
        texts = [[response.text for response in samples] for samples in document.requests]
        digest.update(json.dumps([document.id, texts], separators=(",", ":")).encode("ascii") + b"\n")
    return digest.hexdigest()


class _Reader:
    """Reads lines one by one; what has to hold between them is kept here."""

    def __init__(self, form: str, repeats: int, longest: int) -> None:
        self.requests, self.repeats, self.longest = KINDS[form].requests, repeats, longest
        self.documents: list[RecordedDocument] = []
        self.seen: set[str] = set()
        self.lengths: dict[str, array[int]] = {}
        self.counted: bool | None = None
        self.usd: dict[str, Costs] = {}

    def read(self, row: Any) -> None:
        """Take in one line.

        Raises:
            ValueError: It is no line of responses.
        """
        if not isinstance(row, dict) or set(row) != {"id", "requests"} or not isinstance(row["id"], str):
            raise ValueError("not an object of id and requests")
        name, requests = row["id"], row["requests"]
        if name in self.seen:
            raise ValueError(f"{shown(name)} occurs twice")
        self.seen.add(name)
        if (
            not isinstance(requests, list)
            or [len(samples) if isinstance(samples, list) else -1 for samples in requests]
            != [self.repeats] * self.requests
        ):
            expected = f"samples per request: {self.repeats}, requests: {self.requests}"
            raise ValueError(f"{shown(name)} does not have the expected number of responses ({expected})")
        read = [[self._response(response) for response in samples] for samples in requests]
        self.documents.append(RecordedDocument(name, tuple(tuple(found for found, _ in samples) for samples in read)))
        costs = tuple(tuple(usd for _, usd in samples) for samples in read)
        if any(usd is not None for samples in costs for usd in samples):
            self.usd[name] = costs

    def _response(self, found: Any) -> tuple[Response, float | None]:
        if not isinstance(found, dict) or set(found) != _RESPONSE_KEYS:
            raise ValueError(f"a response is not an object of {', '.join(sorted(_RESPONSE_KEYS))}")
        text, lengths, usd = found["text"], found["token_lengths"], found["usd"]
        if not isinstance(text, str | None):
            raise ValueError("a response's text is neither text nor null")
        if text is not None and len(text) > self.longest:
            raise ValueError(f"a response of {len(text)} characters; none has more than {self.longest}")
        if not (usd is None or (type(usd) in (int, float) and (usd == 0 or LEAST_USD <= usd <= MOST_USD))):
            raise ValueError(f"usd must be null or an amount, not {shown(usd)}")
        self._take_lengths(text, lengths)
        return Response(text, parse_usage(found["usage"])), None if usd is None else float(usd)

    def _take_lengths(self, text: str | None, lengths: Any) -> None:
        if text is None:
            if lengths is not None:
                raise ValueError("token_lengths without a text")
            return
        if self.counted is None:
            self.counted = lengths is not None
        if (lengths is not None) != self.counted:
            raise ValueError("some texts of the file have token_lengths and others do not")
        if lengths is None:
            return
        if not isinstance(lengths, list):
            raise ValueError("token_lengths is neither a list nor null")
        known = packed_lengths(lengths)
        if self.lengths.setdefault(text, known) != known:
            raise ValueError("the same text has other token_lengths than before")


def usd_of(costs: Iterable[Costs]) -> float | None:
    """Return the sum of all known costs, None where none is known."""
    known = [usd for of_one in costs for samples in of_one for usd in samples if usd is not None]
    return sum(known) if known else None
