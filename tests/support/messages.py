"""What a message must show, whatever its sentence is: the names, values, paths and options that are its facts."""

from __future__ import annotations

import re
from collections.abc import Iterable


def missing(facts: Iterable[object], message: str) -> list[str]:
    """Return those of ``facts`` that ``message`` does not show as whole words."""
    return [fact for fact in map(str, facts) if not re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", message)]
