"""The documentation site: every page is in its navigation, links are those of the site, the reference has every name.

``scripts/docs_site.sh`` builds it with warnings as errors, in an environment of its own; the workflow runs that.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import roi_bench
from scripts import docs_hooks
from scripts.docs_hooks import NAMES, OTHERS, PAGES, REFERENCE, on_page_content, reference_page, with_site_links

ROOT = Path(__file__).parents[1]


class Settings(yaml.SafeLoader):
    """Reads ``mkdocs.yml``, whose tags call functions of packages that are not installed here."""


Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def navigation() -> list[str]:
    found: list[str] = []

    def walk(part: Any) -> None:
        if isinstance(part, str):
            found.append(part)
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            walk(inner)

    walk(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Settings)["nav"])  # noqa: S506 - our own file
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert sorted(navigation()) == sorted([*pages, *PAGES.values(), REFERENCE])
    assert all((ROOT / source).is_file() for source in PAGES)


def test_the_reference_has_every_public_name() -> None:
    names = [name for group in NAMES.values() for name in group]
    assert sorted([*names, "__version__"]) == sorted(roi_bench.__all__)
    page = reference_page()
    assert "::: roi_bench.exams.sets.load_exams\n" in page
    shown = [line.removeprefix("::: ") for line in page.splitlines() if line.startswith("::: ")]
    assert len(shown) == len(names) + sum(map(len, OTHERS.values()))
    for name in shown:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize(
    ("source", "text", "shown"),
    [
        ("README.md", "[a](docs/scale.md#servers)", "[a](scale.md#servers)"),
        ("README.md", "![b](docs/board.png)", "![b](board.png)"),
        ("docs/quickstart.md", "[a](../README.md#install)", "[a](index.md#install)"),
        ("docs/quickstart.md", "[a](python.md)", "[a](python.md)"),
        ("docs/benchmark.md", "[a](../baselines/README.md)", "[a](baselines.md)"),
        ("baselines/README.md", "[a](../docs/metrics.md)", "[a](metrics.md)"),
        ("docs/real-models.md", "[a](real-models.csv)", "[a](real-models.csv)"),
        ("docs/scale.md", "[a](https://example.org/x.md) [b](#servers)", "[a](https://example.org/x.md) [b](#servers)"),
        ("README.md", "```\n[a](docs/scale.md)\n```", "```\n[a](docs/scale.md)\n```"),
        ("docs/scale.md", "[no page](../LICENSE)", "no page"),
    ],
)
def test_links_are_those_of_the_site(source: str, text: str, shown: str) -> None:
    assert with_site_links(text, source, "") == shown


def test_files_that_are_no_page_are_linked_where_the_project_has_an_address() -> None:
    shown = with_site_links("[no page](../LICENSE)", "docs/scale.md", "https://example.org/roi/")
    assert shown == "[no page](https://example.org/roi/blob/HEAD/LICENSE)"


def test_roles_of_sphinx_are_left_out() -> None:
    html = "see :func:<code>compare</code> and :class:<code>~roi_bench.scoring.tokens.Usage</code>"
    assert on_page_content(html, None, None, None) == "see <code>compare</code> and <code>Usage</code>"


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ("<code>lm_eval --batch_size <span>16</span> --tasks a</code>", ["--batch_size", "--tasks"]),
        ("<code>--no-binary a</code>", ["--no-binary"]),
        ("<td>0.16 ± 0.02</td><td>0.55 [0.40, 0.70]</td>", ["0.16 ± 0.02"]),
        ("<p>--tasks 0.16 ± 0.02</p><code>a--b</code><td>[1](x.md)</td>", []),
    ],
)
def test_options_and_estimates_stay_on_one_line(html: str, kept: list[str]) -> None:
    shown = on_page_content(html, None, None, None)
    assert re.findall(r'<span class="(?:option|estimate)">([^<]*)</span>', shown) == kept
    assert re.sub(r'<span class="(?:option|estimate)">([^<]*)</span>', r"\1", shown) == html


def test_a_built_board_is_in_the_navigation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROI_BENCH_BOARD", "somewhere")
    config = SimpleNamespace(nav=[{"Leaderboard": ["leaderboard.md"]}], repo_url=None)
    docs_hooks.on_config(config)
    assert config.nav == [{"Leaderboard": [{"The shipped board": "board/index.html"}, "leaderboard.md"]}]


def test_nothing_is_loaded_from_elsewhere() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Settings)  # noqa: S506 - our own file
    assert settings["theme"]["font"] is False
    assert "extra_javascript" not in settings
    assert "http" not in (ROOT / "docs" / "site.css").read_text(encoding="utf-8")


def test_the_script_installs_the_extra_and_the_workflow_runs_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {requirement.partition(">")[0] for requirement in extras["docs"]} >= {
        "mkdocs-material",
        "mkdocstrings-python",
    }
    script = (ROOT / "scripts" / "docs_site.sh").read_text(encoding="utf-8")
    assert '["optional-dependencies"]["docs"]' in script
    assert "--strict" in script
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["steps"]
    assert "bash scripts/docs_site.sh" in [step.get("run") for step in steps]


def test_the_script_refuses_what_it_does_not_know() -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "docs_site.sh"), "--serve"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--serve" in done.stderr
