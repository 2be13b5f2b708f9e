"""Serving a site: its files with the right headers, nothing else, and a quiet end."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from roi_bench.errors import UsageError
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.site import MARKER, SiteFolder, address, make_server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of a site with something beside it and a link that leads there."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("secret")
    made = SiteFolder(folder / "site")
    pages = {"index.html": b"<p>board</p>", "models/a/index.html": b"a", "static/app.js": b"1", "data/x.csv": b"a,b"}
    made.write(PageFile(path, content) for path, content in pages.items())
    made.finish()
    (folder / "site/link.txt").symlink_to(folder / "secret.txt")
    (folder / "site/round").symlink_to(folder / "site/round")
    return folder / "site"


@pytest.fixture(scope="module")
def server(site):
    with make_server(site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path, method="GET"):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/", b"<p>board</p>", "text/html; charset=utf-8"),
        ("/models/a/", b"a", "text/html; charset=utf-8"),
        ("/index.html?sort=score#top", b"<p>board</p>", "text/html; charset=utf-8"),
        ("/static/app.js", b"1", "text/javascript; charset=utf-8"),
        ("/data/x.csv", b"a,b", "text/csv; charset=utf-8"),
    ],
)
def test_files_are_sent_with_the_headers_of_a_safe_site(server, path, body, kind):
    status, headers, found = get(server, path)
    assert (status, found, headers["Content-Type"]) == (200, body, kind)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        *("/models/", "/nothing.html", "/../secret.txt", "/%2e%2e/secret.txt", "/models/..%2f..%2fsecret.txt"),
        *(
            "/link.txt",
            "/round",
            f"/{MARKER}",
            "/index.html/",
            "/%00",
            "/index.html%00",
            "/models/%2e%2e/.roi-bench-site",
        ),
    ],
)
def test_nothing_but_pages_is_sent(server, path):
    status, headers, body = get(server, path)
    assert status == 404
    assert b"secret" not in body.replace(path.encode(), b"")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_site_says_itself_that_there_is_no_such_page(site, server):
    (site / "404.html").write_text("<h1>No such page</h1>", encoding="utf-8")
    try:
        status, headers, body = get(server, "/nothing.html")
    finally:
        (site / "404.html").unlink()
    assert (status, body, headers["Content-Type"]) == (404, b"<h1>No such page</h1>", "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_way_to_a_folder_is_shown(server):
    status, headers, _ = get(server, "/models/a")
    assert (status, headers["Location"]) == (301, "/models/a/")


def test_pages_cannot_be_changed(server):
    assert get(server, "/index.html", "PUT")[0] == 501


def test_a_folder_without_a_site_is_told(tmp_path):
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        make_server(tmp_path)


def test_a_taken_port_is_told(site, server):
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{server.server_port}"):
        make_server(site, port=server.server_port)


def test_it_ends_quietly(site):
    # Ctrl-C works also where the tests themselves were started in the background by a shell that ignores it.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; from roi_bench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "leaderboard", "serve", str(site), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert "http://127.0.0.1:" in line
    assert (process.returncode, out) == (0, "")
    assert [line for line in err.splitlines() if ": loading " not in line] == []


def test_the_address_says_where(server):
    assert address(server) == f"http://127.0.0.1:{server.server_port}/"
