"""Pages as files: the Jinja environment, how numbers are written, what runs are called, and what every page knows."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.board import DESCRIPTION, Standing
from roi_bench.leaderboard.board.graded import GradedRun, PromptSpread
from roi_bench.leaderboard.site.plots import Plot, svg
from roi_bench.leaderboard.site.shown_text import visible
from roi_bench.scoring.statistics import is_small

# Pages as files: the Jinja environment, how numbers are written, and what every page knows.

FOLDER = Path(__file__).resolve().parent
TEMPLATES, STATIC = FOLDER / "templates", FOLDER / "static"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Of every page: nothing from elsewhere, no script or style in the page itself."""

_IDS = re.compile(r"([a-z0-9][a-z0-9-]*-[0-9a-f]{12})", re.ASCII)

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

    Templates also know ``root`` (relative way to the site's folder, empty or ``../``…), ``policy`` and ``release``;
    ``layout`` names the frame of pages that boards and local views share, a board's unless ``context`` has another.
    """
    root = "../" * path.count("/")
    text = _environment().get_template(template).render({"root": root, "path": path, "board": None, **context})
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

    def linked(text: str, names: Container[str], way: str) -> Markup:
        """Return ``text`` escaped, ids of submissions among ``names`` as links to their pages."""
        parts = _IDS.split(visible(text))
        link = Markup('<a href="{}models/{}/index.html">{}</a>')
        return Markup().join(link.format(way, part, part) if part in names else part for part in parts)

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_readable,
    )
    environment.globals |= {
        "policy": CONTENT_SECURITY_POLICY,
        "release": __version__,
        "layout": "base.html",
        "DESCRIPTION": DESCRIPTION,
    }
    environment.filters |= {
        "number": number,
        "interval": interval,
        "percent": percent,
        "draw": draw,
        "breaking": breaking,
        "linked": linked,
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


def interval(found: Interval | None, digits: int = 2) -> str:
    """Return ``low–high`` of a number, an empty text where there is no interval."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def percent(value: float | None) -> str:
    """Return a share from 0 to 1 as a percentage."""
    return UNDEFINED if value is None else f"{100 * value:z.0f} %".replace("-", "−")


# What tables and pages say of a run, in words: size, money, labels, ranks, outcomes.

BAR_WIDTH = 72
"""Width of the bar of outcomes in a table, in units of its picture."""

BAR_OUTCOMES = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty")
"""Outcomes in the order of bars."""

NUMBER_OF_OUTCOME = {"skipped": "skip_rate"}
"""Names of metrics where they differ from the outcome's."""


OUTCOME_MEANINGS = {
    "correct": "a final answer was given and is right",
    "wrong": "a final answer was given and is not",
    "skipped": "answered NA, in a box or in words (or, problems asked alone, not among those that fit the budget)",
    "truncated": "the budget ended the response in the problem or before it, and the model had not left it",
    "unanswered": "the model left the problem, or ended the response, without an answer",
    "empty": "nothing visible: the tokens went into reasoning, or the budget ended the response",
    "error": "no response could be had, or the provider failed in the middle of it",
}
"""What each outcome (:data:`roi_bench.scoring.outcomes.OUTCOMES`) means, for readers of pages."""

TOKEN_SOURCES = {
    "generated": "counted while generating",
    "provider": "as the provider counts",
    "retokenized": "counted again from the text",
    "unknown": "unknown",
}
"""Where token counts come from (:class:`roi_bench.scoring.tokens.Usage`), in words."""


def size_text(parameters: int | None) -> str:
    """Return a number of parameters in millions or billions: ``0.8M``, ``1.5B``."""
    if parameters is None:
        return UNDEFINED
    unit, name = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    digits = f"{parameters / unit:.1f}" if parameters < 100 * unit else f"{parameters / unit:.0f}"
    return digits.removesuffix(".0") + name


def money_text(usd: float | None) -> str:
    """Return USD with two significant digits, never in powers of ten: ``0.0012``, ``0.42``, ``13``."""
    if usd is None:
        return UNDEFINED
    if usd == 0:
        return "0"
    text = f"{usd:.2g}"
    return f"{float(text):.12f}".rstrip("0").rstrip(".")


def labels_of(run: GradedRun) -> str:
    """Return how a run was decoded and what sets it apart from what its task's name promises."""
    parts = [run.decoding or "greedy"]
    if run.repeats > 1:
        parts.append(f"{run.repeats} samples")
    few = [f"for trying only: {run.exams} exams"] if is_small(run.exams, run.clusters) else []
    return "; ".join([", ".join(parts), *run.deviations, *few])


def outcome_bar(run: GradedRun) -> tuple[tuple[int, int], ...]:
    """Return start and length of each outcome of :data:`BAR_OUTCOMES`, whole units that add up to the bar's width."""
    total, ends = 0.0, [0]
    for outcome in BAR_OUTCOMES:
        total += run.number(NUMBER_OF_OUTCOME.get(outcome, outcome)).value or 0.0
        ends.append(round(BAR_WIDTH * min(total, 1.0)))
    return tuple((start, end - start) for start, end in pairwise(ends))


def ranks_text(standing: Standing | None) -> str:
    """Return best and worst rank: ``2``, ``1–3``; :data:`UNDEFINED` without any."""
    if standing is None or standing.ranks is None:
        return UNDEFINED
    best, worst = standing.ranks
    return str(best) if best == worst else f"{best}–{worst}"


def spread_lines(found: PromptSpread | None) -> tuple[tuple[str, str], ...]:
    """Return the spread over prompts, ``("4 prompts", "0.93 to 1.05")``, and likewise the interval with prompt noise.

    Nothing without paraphrases.
    """
    if found is None:
        return ()
    spread = f"{found.prompts} prompts", f"{number(found.low)} to {number(found.high)}"
    return (spread, ("with noise", wide)) if (wide := interval(found.noisy)) else (spread,)


def open_text(value: bool | None) -> str:
    """Return ``yes`` or ``no``; :data:`UNDEFINED` where it was not said."""
    if value is None:
        return UNDEFINED
    return "yes" if value else "no"
