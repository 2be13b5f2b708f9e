"""Fixtures of the leaderboard's tests: one browser, and one server of the sites that tests write."""

import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from roi_bench.leaderboard.site.page import STATIC
from roi_bench.leaderboard.site.site import MARKER, address, make_server

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path():
    """Return the browser to use: $ROI_BENCH_CHROMIUM, else the system's, else None for Playwright's own."""
    wanted = os.environ.get("ROI_BENCH_CHROMIUM")
    return wanted or next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; where there is none its tests fail, they are never skipped."""
    from playwright.sync_api import Error, sync_playwright

    path = chromium_path()
    with sync_playwright() as playwright:
        try:
            # Containers rarely allow the sandbox, and every page here is of our own making.
            found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.fail(
                "the browser tests need Chromium: install the system's (apt-get install chromium), or Playwright's "
                f"(playwright install chromium), or name one by ROI_BENCH_CHROMIUM; tried {path}: {error}"
            )
        yield found
        found.close()


@dataclass(frozen=True)
class Served:
    """Folders that are served: `folder` under `url`."""

    folder: Path
    url: str

    def write(self, name, pages):
        """Write the files of a site below `name`, the static files with them, and return its address."""
        for page in pages:
            path = self.folder / name / page.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(page.content)
        shutil.copytree(STATIC, self.folder / name / "static", dirs_exist_ok=True)
        return f"{self.url}{name}/"


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A running server, with the headers that a site is sent with."""
    folder = tmp_path_factory.mktemp("sites")
    (folder / MARKER).write_text("", encoding="utf-8")
    server = make_server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Served(folder, address(server))
    server.shutdown()
    server.server_close()
    thread.join()
