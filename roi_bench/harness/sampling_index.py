"""Which sample a request asks for, when the same request is made several times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def sample_indices(requests: Sequence[Any]) -> list[int]:
    """Return the sample index of each lm_eval request: its ``sample`` attribute, else from its repetition.

    lm_eval makes K copies of a request by listing the same ``Instance`` K times (``repeats``); they ask for samples
    0 … K−1. Copies beyond K pad the list of an accelerate process and ask for the same samples again. Equal requests
    of different tasks are different instances, so sample i of the one is sample i of the other.
    """
    seen: Counter[int] = Counter()
    indices = []
    for request in requests:
        repetition = seen[id(request)] % (request.repeats or 1)
        seen[id(request)] += 1
        indices.append(getattr(request, "sample", repetition))
    return indices
