"""Hooks of MkDocs: pages of the repository that lie outside ``docs/``, the reference of the Python API, links.

Links to files that are no page lead to the project's own address, which the settings of the shipped board hold; without
one they are plain text. A built board, named by ``ROI_BENCH_BOARD``, becomes a folder of the site.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from posixpath import normpath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "baselines/README.md": "baselines.md",
    "findings/README.md": "findings.md",
    "leaderboard/README.md": "shipped-board.md",
    "reference_training/README.md": "recipes.md",
}
"""Files of the repository, and the pages of the site that show them."""

SOURCES = {page: source for source, page in PAGES.items()}
REFERENCE = "api-reference.md"
SETTINGS = ROOT / "leaderboard" / "submissions" / "board.json"
BOARD = "board"
"""Folder of the site that holds a built board."""

LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):<code>(?:~[\w.]*\.(?=\w+<))?")
"""A role of Sphinx in a docstring, up to the name that it marks; ``~`` asks for the last part of the name."""

CODE = re.compile(r"<code\b.*?</code>", re.DOTALL)
OPTION = re.compile(r"(?<=[\s>])--[a-z][\w-]*")
"""An option of a command; browsers would break the line after its dashes."""

ESTIMATE = re.compile(r"[−-]?[\d.]+ ± [\d.]+")
"""A number with its standard error."""

CELL = re.compile(r"(<td\b[^>]*>)(.*?)(?=</td>)", re.DOTALL)

NESTED = re.compile(r"^ {2,3}(?=- )", re.MULTILINE)
"""A list within a list as CommonMark wants it; MkDocs wants four spaces."""

NAMES = {
    "Functions": (
        *("load_exams", "find_exam", "training_exams", "exam_prompt", "read_response", "score", "grade"),
        *("load_runs", "report", "compare", "solo_profile", "value_curves"),
    ),
    "Classes and values": ("Exam", "Problem", "Usage", "OUTCOMES", "RoiBenchError"),
}
"""Public names in the order of the reference; a test compares them with ``roi_bench.__all__``."""

OTHERS = {
    "What they return": (
        *("scoring.metrics.ScoredResponse", "scoring.outcomes.ProblemOutcome", "reading.responses.Reading"),
        *(
            "reading.responses.ProblemReading",
            "grading.grader.Verdict",
            "analysis.load.Runs",
            "analysis.reports.report.Report",
        ),
    ),
    "Rewards for other trainers": ("rewards.exam_reward", "rewards.reward_responses", "rewards.Reward"),
}
"""Further names, by module: what the public functions return, and what [other trainers](other-trainers.md) use."""


def reference_page() -> str:
    """Return the page of the Python API: an instruction for mkdocstrings for each public name, at its home."""
    sys.path.insert(0, str(ROOT))
    import roi_bench

    lines = ["# API reference", "", "The names of `import roi_bench`; [Python](python.md) shows them at work."]
    for heading, names in NAMES.items():
        lines += ["", f"## {heading}"]
        lines += [f"\n::: roi_bench.{roi_bench._HOMES[name]}.{name}" for name in names]
    for heading, names in OTHERS.items():
        lines += ["", f"## {heading}", *(f"\n::: roi_bench.{name}" for name in names)]
    return "\n".join(lines) + "\n"


def from_root(source: str, target: str) -> str:
    """Return the path, from the root of the repository, of a relative link in the file ``source``."""
    return normpath(f"{source.rpartition('/')[0] or '.'}/{target}")


def site_target(source: str, target: str) -> str | None:
    """Return where a link leads on the site, from the page that shows ``source``; None where that is no page or file.

    Args:
        source: Path of a Markdown file from the root of the repository.
        target: A relative link in it.
    """
    path = from_root(source, target)
    if path in PAGES:
        return PAGES[path]
    inside = path.removeprefix("docs/")
    return inside if inside != path and (ROOT / path).is_file() else None


def with_site_links(text: str, source: str, address: str) -> str:
    """Return the Markdown of ``source`` with links that work on the site.

    Args:
        text: The page.
        source: Its path from the root of the repository.
        address: The project's own address with a slash at the end, or an empty text.
    """

    def link(found: re.Match[str]) -> str:
        anchor = found["anchor"] or ""
        target = site_target(source, found["target"])
        if target is not None:
            return f"{found['mark']}[{found['text']}]({target}{anchor})"
        path = from_root(source, found["target"])
        return f"[{found['text']}]({address}blob/HEAD/{path}{anchor})" if address else found["text"]

    blocks = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in blocks)


def own_address() -> str:
    """Return the project's own address with a slash at the end, or an empty text."""
    text = json.loads(SETTINGS.read_text(encoding="utf-8")).get("project_url", "") if SETTINGS.is_file() else ""
    return f"{text.rstrip('/')}/" if text else ""


def on_config(config: Any) -> Any:
    """Show the board in the navigation if there is one; link the project's own address if there is one."""
    if os.environ.get("ROI_BENCH_BOARD"):
        (section,) = (part["Leaderboard"] for part in config.nav if "Leaderboard" in part)
        section.insert(0, {"The shipped board": f"{BOARD}/index.html"})
    config.repo_url = own_address() or None
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the repository, the reference and the files of the board."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, REFERENCE, content=reference_page()))
    if board := os.environ.get("ROI_BENCH_BOARD"):
        for path in sorted(path for path in Path(board).rglob("*") if path.is_file()):
            place = f"{BOARD}/{path.relative_to(board).as_posix()}"
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make the links and lists of a page those of the site."""
    del config, files
    place = page.file.src_uri
    return with_site_links(NESTED.sub("    ", markdown), SOURCES.get(place, f"docs/{place}"), own_address())


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Leave out the roles of Sphinx in docstrings; keep options, and estimates in tables, on one line."""
    del page, config, files
    html = ROLE.sub("<code>", html)
    html = CODE.sub(lambda code: OPTION.sub(r'<span class="option">\g<0></span>', code[0]), html)
    return CELL.sub(lambda cell: cell[1] + ESTIMATE.sub(r'<span class="estimate">\g<0></span>', cell[2]), html)
