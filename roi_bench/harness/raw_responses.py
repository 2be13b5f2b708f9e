"""Raw responses as lm_eval carries them, and how the samples file shows one that could not be had."""

from __future__ import annotations

from roi_bench.records.results import NO_RESPONSE
from roi_bench.scoring.outcomes import Response


def logged(raw: object) -> object:
    """Return a raw response as the samples file shows it: a mark where there is none, which no model can forge."""
    if not isinstance(raw, str):
        return NO_RESPONSE
    return f"{raw} " if raw == NO_RESPONSE else raw


def response_of(raw: object) -> Response:
    """Return one raw response of the model with its usage, where the model object metered it."""
    return Response(None if raw == NO_RESPONSE else raw, getattr(raw, "usage", None))
