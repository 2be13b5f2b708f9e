"""Serving a site: its files with the right headers, nothing else, and a quiet end."""

import gzip
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

TEXTS = {f"large.{kind}": kind.encode() * 5000 for kind in ("html", "csv", "json", "svg", "js", "css", "xml")}
PACKED = {"large.parquet": b"PAR1" * 5000, "large.jsonl.gz": gzip.compress(b"{}" * 5000)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of a site with something beside it and a link that leads there."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("secret")
    made = SiteFolder(folder / "site")
    pages = {"index.html": b"<p>board</p>", "models/a/index.html": b"a", "static/app.js": b"1", "data/x.csv": b"a,b"}
    made.write(PageFile(path, content) for path, content in (pages | TEXTS | PACKED).items())
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


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
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


@pytest.mark.parametrize("path", TEXTS)
def test_texts_are_compressed_for_clients_that_take_it(server, path):
    status, headers, body = get(server, f"/{path}", Accept_Encoding="br;q=1.0, gzip;q=0.8")
    assert (status, headers["Content-Encoding"], gzip.decompress(body)) == (200, "gzip", TEXTS[path])
    assert int(headers["Content-Length"]) == len(body) < len(TEXTS[path]) / 50
    assert headers["Vary"] == "Accept-Encoding"
    plain = get(server, f"/{path}")
    assert (plain[1]["Content-Encoding"], plain[2], plain[1]["Vary"]) == (None, TEXTS[path], "Accept-Encoding")
    assert int(plain[1]["Content-Length"]) == len(TEXTS[path])
    assert plain[1]["Content-Type"] == headers["Content-Type"]


@pytest.mark.parametrize("path", PACKED)
def test_what_is_packed_already_is_sent_as_it_is(server, path):
    _, headers, body = get(server, f"/{path}", Accept_Encoding="gzip")
    assert (headers["Content-Encoding"], body) == (None, PACKED[path])


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        *((text, True) for text in ("gzip", "GZIP", "deflate, gzip;q=0.1", "*", "br, *;q=0.5")),
        *((text, False) for text in ("", "br", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "identity", "gzip;q=much")),
    ],
)
def test_the_client_says_whether_it_takes_gzip(server, accepted, packed):
    headers = get(server, "/large.csv", Accept_Encoding=accepted)[1]
    assert (headers["Content-Encoding"] == "gzip") is packed


def test_headers_alone_and_unchanged_files_have_no_body(server):
    status, headers, body = get(server, "/large.csv", "HEAD", Accept_Encoding="gzip")
    whole = get(server, "/large.csv", Accept_Encoding="gzip")
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == whole[1]["Content-Length"] == str(len(whole[2]))
    again = {"Accept_Encoding": "gzip", "If_Modified_Since": whole[1]["Last-Modified"]}
    status, headers, body = get(server, "/large.csv", **again)
    assert (status, headers["Content-Encoding"], headers["Content-Length"], body) == (304, None, None, b"")


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
        packed = get(server, "/nothing.html", Accept_Encoding="gzip")
    finally:
        (site / "404.html").unlink()
    assert (packed[0], packed[1]["Content-Encoding"], gzip.decompress(packed[2])) == (404, "gzip", body)
    assert packed[1]["Content-Length"] == str(len(packed[2]))
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
