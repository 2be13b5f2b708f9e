"""A run that ends well before it has results: a dry run, or a batch that was submitted and not waited for."""

from __future__ import annotations


class EndedEarlyError(Exception):
    """Not a failure: what was asked for is done. The message says what, and how to go on."""
