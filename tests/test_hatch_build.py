"""What an index shows of a build: a page without dead links, and no address that nobody gave."""

import json
import re
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

import hatch_build
from tests.harness.test_installation import built  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[1]
PAGE = """[docs](docs/a.md#b), [here](#below), [paper](https://arxiv.org/abs/1)

![A picture](docs/board.png)

`[not](a.link` end"""
OWN = "https://example.org/roi/"


def test_without_an_address_links_into_the_repository_become_text() -> None:
    shown = hatch_build.absolute_links(PAGE, "")
    assert shown == "docs, [here](#below), [paper](https://arxiv.org/abs/1)\n\n`[not](a.link` end"


def test_with_an_address_they_lead_there() -> None:
    shown = hatch_build.absolute_links(PAGE, OWN)
    assert f"[docs]({OWN}blob/HEAD/docs/a.md#b), [here](#below), [paper](https://arxiv.org/abs/1)" in shown
    assert f"![A picture]({OWN}raw/HEAD/docs/board.png)" in shown


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (None, ""),
        ({}, ""),
        ({"project_url": ""}, ""),
        ({"project_url": OWN}, OWN),
        ({"project_url": OWN.rstrip("/")}, OWN),
    ],
)
def test_the_address_is_that_of_the_shipped_board(tmp_path: Path, settings: object, address: str) -> None:
    if settings is not None:
        (tmp_path / hatch_build.SETTINGS).parent.mkdir(parents=True)
        (tmp_path / hatch_build.SETTINGS).write_text(json.dumps(settings))
    assert hatch_build.own_address(tmp_path) == address
    urls = hatch_build.project_urls(address)
    assert urls["Paper"] == hatch_build.PAPER
    own = {name: url for name, url in urls.items() if name != "Paper"}
    assert (sorted(own) == ["Changelog", "Documentation", "Homepage", "Issues", "Source"]) is bool(address)
    assert all(url.startswith(address) for url in own.values())


@pytest.mark.slow
def test_the_page_of_the_wheel_has_no_dead_link(built: Path) -> None:  # noqa: F811
    (path,) = (built / "direct").glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(wheel.read(name))
    page = str(metadata.get_payload())
    assert "# roi-bench" in page
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert metadata["Description-Content-Type"] == "text/markdown"
