"""Which server answers, and what it is sent so that it adds nothing to the decoding: known by its own word only."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from roi_bench.api import settings as servers
from roi_bench.api.gateway import Gateway
from roi_bench.api.settings import (
    ABSENT,
    ALWAYS,
    MAKES,
    OTHER,
    SAMPLING,
    SELF_NAMED,
    api_settings,
    make_of_server,
    neutral_parameters,
    with_neutral,
)
from roi_bench.errors import UsageError
from tests.support.messages import shows

GREEDY, DRAWN = {"max_tokens": 8, "temperature": 0.0}, {"max_tokens": 8, "temperature": 0.7}


@contextmanager
def listing(body: bytes, status: int = 200, location: str | None = None) -> Iterator[tuple[str, list[str | None]]]:
    """Serve ``body`` at every path; yields the address and the keys that came."""
    keys: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization"))
            self.send_response(status if self.path == "/v1/models" else 404)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
        server.shutdown()
        thread.join()


def models(*lines: tuple[str, str]) -> bytes:
    return json.dumps({"data": [{"id": name, "owned_by": owner} for name, owner in lines]}).encode()


@pytest.mark.parametrize("make", SELF_NAMED)
def test_a_server_is_what_it_says_of_itself(make: str) -> None:
    with listing(models(("m", make), ("m-lora", make))) as (url, keys):
        assert make_of_server(url, "m", "secret") == make
        assert make_of_server(f"{url}/", "other-name", None) == make
    assert keys == ["Bearer secret", None]


def test_the_line_of_the_model_counts_where_many_makes_stand_behind_one_address() -> None:
    with listing(models(("m", "openai"), ("n", "vllm"))) as (url, _):
        assert make_of_server(url, "n", None) == "vllm"
        assert make_of_server(url, "m", None) == OTHER
        assert make_of_server(url, "not listed", None) == OTHER


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"<html>", 200),
        (b"[1]", 200),
        (b'{"data": [1, {"id": "m", "owned_by": ["vllm"]}]}', 200),
        (b'{"data": []}', 200),
        (models(("m", "library")), 200),
        (models(("m", "transformers")), 200),  # the owner of a model, and no server's name
        (models(("m", "vllm")), 401),
    ],
)
def test_whatever_else_it_says_it_is_sent_nothing(body: bytes, status: int) -> None:
    with listing(body, status) as (url, _):
        assert make_of_server(url, "m", None) == OTHER


def test_a_key_follows_no_redirection() -> None:
    with listing(models(("m", "vllm"))) as (target, keys):
        with listing(b"", 302, f"{target}/models") as (url, _):
            assert make_of_server(url, "m", "secret") == OTHER
        assert keys == []


def test_a_server_that_is_not_there_or_still_loading_is_not_one_of_unknown_make() -> None:
    """Its make is not known yet: one that started later would be asked without what switches its own decoding off."""
    assert make_of_server("http://127.0.0.1:9/v1", "m", None) == ABSENT
    with listing(b'{"error": {"code": 503, "message": "Loading model"}}', 503) as (url, _):
        assert make_of_server(url, "m", None) == ABSENT
    assert with_neutral(DRAWN, ABSENT) == DRAWN


def test_a_server_that_is_late_is_of_unknown_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LOOK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert make_of_server(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "m", None) == OTHER


@pytest.mark.parametrize("make", MAKES)
def test_greedy_decoding_is_sent_what_could_change_it_and_sampling_all(make: str) -> None:
    assert with_neutral(GREEDY, make) == {**GREEDY, "extra_body": ALWAYS[make]}
    assert with_neutral(DRAWN, make) == {**DRAWN, "extra_body": {**ALWAYS[make], **SAMPLING[make]}}
    assert with_neutral({"max_tokens": 8}, make)["extra_body"] == neutral_parameters(make)  # omit=temperature
    assert with_neutral(DRAWN, OTHER) == DRAWN


def test_what_is_given_stands() -> None:
    given = {**DRAWN, "top_p": 0.9, "extra_body": {"repetition_penalty": 1.2, "guided_regex": "a"}}
    sent = with_neutral(given, "vllm", omitted=("presence_penalty",))
    assert sent["top_p"] == 0.9
    assert sent["extra_body"] == {
        "repetition_penalty": 1.2,
        "guided_regex": "a",
        "frequency_penalty": 0.0,
        "top_k": -1,
        "min_p": 0.0,
    }


def test_a_providers_own_api_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roi_bench.api.gateway.make_of_server", lambda *_: pytest.fail("asked"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    for model, more in (
        ("openai/gpt-4o-mini", {}),
        ("openai/gpt-4o-mini", {"base_url": "https://api.openai.com/v1"}),
        ("anthropic/claude-haiku-4-5", {"base_url": "http://127.0.0.1:9"}),
        ("gemini/gemini-2.5-flash", {}),
    ):
        assert Gateway(api_settings({"model": model, **more})).make() == OTHER


def test_a_make_can_be_named_and_is_then_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roi_bench.api.gateway.make_of_server", lambda *_: pytest.fail("asked"))
    for make in (*MAKES, OTHER):
        named = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "server": make}
        assert Gateway(api_settings(named)).make() == make
    with pytest.raises(UsageError, match=shows("server", "'vlm'", "'vllm'")):
        api_settings({"model": "m", "server": "vlm"})
