"""Pages as files: the Jinja environment, how numbers are written, and what every page knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.leaderboard.graded import Number
from roi_bench.leaderboard.plots import Plot, svg
from roi_bench.leaderboard.shown_text import visible

FOLDER = Path(__file__).resolve().parent
TEMPLATES, STATIC = FOLDER / "templates", FOLDER / "static"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Of every page: nothing from elsewhere, no script or style in the page itself."""

UNDEFINED = "–"
"""How pages show a number that is undefined or unknown."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the site.

    Attributes:
        path: Path below the site's folder, with slashes.
        content: Its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What a site shows.

    Attributes:
        with_problems: Show problem texts and answers of the licensed pools too (for local use).
        exam_pages: How many exams of each submission get a page of responses, the first ones of the set; None: all.
    """

    with_problems: bool = False
    exam_pages: int | None = 30


def render(template: str, path: str, context: Mapping[str, Any]) -> PageFile:
    """Return the page at ``path`` made by ``template``; everything in ``context`` is escaped.

    Templates also know ``root`` (relative way to the site's folder, empty or ``../``…), ``policy`` and ``release``.
    """
    root = "../" * path.count("/")
    text = _environment().get_template(template).render(root=root, path=path, **context)
    return PageFile(path, text.encode("utf-8"))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def draw(plot: Plot) -> Markup:
        return Markup(svg(plot))  # noqa: S704 (svg escapes every text)

    def breaking(text: str) -> Markup:
        """Return ``text`` escaped, with a place for the end of a line behind each underscore."""
        return escape(visible(text)).replace("_", Markup("_<wbr>"))

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_readable,
    )
    environment.globals |= {"policy": CONTENT_SECURITY_POLICY, "release": __version__}
    environment.filters |= {
        "number": number,
        "interval": interval,
        "percent": percent,
        "draw": draw,
        "breaking": breaking,
    }
    return environment


def _readable(value: object) -> object:
    """Return foreign text with hidden characters written out: no page can be made that a browser reads otherwise."""
    if type(value) is str and not (value.isascii() and value.isprintable()):
        return visible(value)
    return value


def number(value: float | None, digits: int = 2) -> str:
    """Return ``value`` with ``digits`` decimals and a true minus sign, none before zero; :data:`UNDEFINED` for None."""
    return UNDEFINED if value is None else f"{value:z.{digits}f}".replace("-", "−")


def interval(found: Number | None, digits: int = 2) -> str:
    """Return ``low–high`` of a number, an empty text where there is no interval."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share from 0 to 1 as a percentage."""
    return UNDEFINED if value is None else f"{100 * value:z.{digits}f} %".replace("-", "−")
