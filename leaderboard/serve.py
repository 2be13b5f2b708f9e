"""Looking at a site on this machine: a small server of its files, with the headers that a site should be sent with."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.leaderboard.page import CONTENT_SECURITY_POLICY
from roi_bench.leaderboard.site_files import MARKER

HEADERS = {
    "Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Headers of every answer."""


def make_server(site: Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the files in ``site``, bound and not yet running.

    Args:
        site: The site's folder, as written by ``roi-bench leaderboard build``.
        host: Address to listen at.
        port: Port; 0 for any free one.

    Raises:
        UsageError: The folder is no site, or the address cannot be had.
    """
    if not (site / MARKER).is_file():
        raise UsageError(f"{site}: not a site; build one first: roi-bench leaderboard build SUBMISSIONS --out {site}")
    try:
        server = _Server6 if ":" in host else _Server
        return server((host, port), partial(_Handler, directory=str(site.resolve())))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen at {host}:{port} ({reason}); name another --port or --host") from error


def address(server: ThreadingHTTPServer) -> str:
    """Return the address under which ``server`` can be reached."""
    host, port = str(server.server_address[0]), server.server_port
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(site: Path, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve ``site`` until Ctrl-C.

    Raises:
        UsageError: See :func:`make_server`.
    """
    try:
        with make_server(site, host, port) as server:
            tell(f"{site} is at {address(server)} (Ctrl-C ends it)")
            server.serve_forever()
    except KeyboardInterrupt:
        return


class _Server(ThreadingHTTPServer):
    """Says nothing about readers that went away in the middle of a page."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what is no lost connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    """The same at an IPv6 address."""

    address_family = socket.AF_INET6


class _Handler(SimpleHTTPRequestHandler):
    """Sends files of one folder, lists nothing, follows no link out of it, and logs nothing."""

    server_version, sys_version = "roi-bench", ""
    extensions_map = {  # noqa: RUF012 - the base class has it this way
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".csv": "text/csv; charset=utf-8",
        ".xml": "application/xml; charset=utf-8",
        ".parquet": "application/octet-stream",
    }

    def translate_path(self, path: str) -> str:
        """Return the file that ``path`` asks for; one that does not exist if it is hidden or lies outside the site."""
        site, asked = Path(self.directory), super().translate_path(path)
        nothing = str(site / MARKER / "none")
        if any(part.startswith(".") for part in Path(asked).relative_to(site).parts) or "\0" in asked:
            return nothing
        wanted = Path(asked, "index.html") if asked.endswith("/") else Path(asked)
        try:
            inside = wanted.resolve(strict=True).is_relative_to(site)
        except (OSError, RuntimeError):  # a circle of links is the latter before Python 3.13
            return nothing
        return str(wanted) if inside else nothing

    def list_directory(self, path: Any) -> None:
        """List nothing."""
        self.send_error(HTTPStatus.NOT_FOUND, "no such page")

    def end_headers(self) -> None:
        """Send the headers of every answer too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the base class
        """Log nothing: the address is all there is to say."""
