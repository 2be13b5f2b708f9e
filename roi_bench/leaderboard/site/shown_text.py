"""Foreign text made safe to look at: characters that hide, reorder or cut text are written out."""

from __future__ import annotations

import re
import unicodedata

_SUSPECT = re.compile(r"[^\t\n\x20-\x7e\xa0-\u02ff\u0370-\u058f]")
"""Everything outside a few plain ranges is looked up, so that ordinary text costs one pass."""

_JOINERS = frozenset("\u200c\u200d")
"""Invisible, yet needed to write Persian, Hindi and many emoji."""

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories written out: controls, formats (bidi overrides, tags, zero widths), lone surrogates, separators."""


def visible(text: str) -> str:
    r"""Return ``text`` with every character that cannot be seen, or that reorders others, written as ``⟦U+202E⟧``.

    Line feeds, tabs and joiners stay, CR LF becomes LF. The result can be encoded as UTF-8 whatever ``text`` holds. It
    is still to be escaped for HTML.
    """
    return _SUSPECT.sub(_written_out, text.replace("\r\n", "\n").replace("\xad", "⟦U+00AD⟧"))


def visible_line(text: str) -> str:
    """Return ``text`` as :func:`visible` does, on one line: line feeds and tabs written out too."""
    return visible(text).replace("\n", "⟦U+000A⟧").replace("\t", "⟦U+0009⟧")


def _written_out(match: re.Match[str]) -> str:
    character = match.group()
    hidden = unicodedata.category(character) in _HIDDEN and character not in _JOINERS
    return f"⟦U+{ord(character):04X}⟧" if hidden else character
