"""What a message has to show: names, numbers, paths and options. Its sentence may change, and no test with it."""

from __future__ import annotations

import re
from collections.abc import Iterable


def shows(*facts: object) -> str:
    """Return a pattern that a text matches if each of ``facts`` stands in it, in any order, as a whole name or number.

    For ``pytest.raises(…, match=shows("--limit", 0))``: 0 is found in ``not 0;`` and neither in ``10`` nor in ``0.5``.
    """
    if not all(str(fact).strip() for fact in facts) or not facts:
        raise ValueError("a message that has to show nothing cannot be wrong")
    return "(?s)^" + "".join(f"(?=.*{_whole(str(fact))})" for fact in facts)


def shown_in(text: str, *facts: object) -> bool:
    """Whether each of ``facts`` stands in ``text``, in any order, as a whole name or number."""
    return re.search(shows(*facts), text) is not None


def missing(facts: Iterable[object], message: str) -> list[str]:
    """Return those of ``facts`` that ``message`` does not show as whole names or numbers."""
    return [fact for fact in map(str, facts) if not re.search(_whole(fact), message)]


def _whole(fact: str) -> str:
    before = r"(?<!\w)(?<!\d[.,])" if fact[0].isalnum() else ""
    after = r"(?!\w)(?![.,]\d)" if fact[-1].isalnum() else ""
    return f"{before}{re.escape(fact)}{after}"
