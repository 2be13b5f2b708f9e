"""The provider server of the tests: what it answers, what it breaks, and that its books are exact."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.provider_server import (
    DEFAULT_FAULTS,
    Fault,
    ProviderServer,
    Reply,
    echo_reply,
    prompt_of,
    prompt_sha256,
    random_faults,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}


def client_of(server: ProviderServer, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=server.url, trust_env=False, timeout=5, **options)


def finish_batch(client: httpx.Client, count: int) -> dict[str, Any]:
    """Run a batch of ``count`` lines to its end; custom ids are line-0, line-1, …"""
    lines = [
        {"custom_id": f"line-{i}", "method": "POST", "url": "/v1/chat/completions", "body": chat(f"prompt {i}")}
        for i in range(count)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    uploaded = client.post("/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", content)}).json()
    assert (uploaded["purpose"], uploaded["filename"], uploaded["bytes"]) == ("batch", "in.jsonl", len(content))
    assert client.get(f"/files/{uploaded['id']}").json() == uploaded
    assert client.get(f"/files/{uploaded['id']}/content").content == content
    wanted = {"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = client.post("/batches", json={**wanted, "metadata": {"a": "b"}}).json()
    assert (batch["status"], batch["metadata"]) == ("validating", {"a": "b"})
    assert client.get(f"/batches/{batch['id']}").json()["status"] == "in_progress"
    return client.get(f"/batches/{batch['id']}").json()


def results(client: httpx.Client, file_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(f"/files/{file_id}/content").text.splitlines()]


def test_replies_and_books() -> None:
    def respond(body: dict[str, Any]) -> Reply:
        if prompt_of(body) == "think":
            return Reply(None, 9, "length", reasoning="hm", reasoning_tokens=8, model="other")
        return Reply("plain", 2, usage=False)

    threads = threading.active_count()
    with ProviderServer(respond) as server, client_of(server) as client:
        thought = client.post("/chat/completions", json=chat("think", seed=3), headers={"X-Trace": "t"}).json()
        text = client.post("/completions", json={"model": "m", "prompt": "on"}).json()
        assert thought["choices"][0]["message"]["reasoning_content"] == "hm"
        assert thought["choices"][0]["message"]["content"] is None
        assert (thought["choices"][0]["finish_reason"], thought["model"]) == ("length", "other")
        assert thought["usage"]["completion_tokens"] == 9
        assert thought["usage"]["completion_tokens_details"] == {"reasoning_tokens": 8}
        assert (text["object"], text["choices"][0]["text"], text["model"]) == ("text_completion", "plain", "m")
        assert "usage" not in text
        assert client.get("/models/some/name").json()["id"] == "some/name"
        assert client.get("/models").json()["object"] == "list"
        assert server.bodies == [chat("think", seed=3)]
        assert server.headers[0]["x-trace"] == "t"
        first, second = server.books
        assert (first.number, first.path, first.sample_seed, first.status) == (0, "/v1/chat/completions", 3, 200)
        assert (second.number, second.path, second.fault, second.finished) == (1, "/v1/completions", None, True)
        assert first.started <= first.ended <= second.started
    assert server.finished_per_prompt() == {prompt_sha256(chat("think")): 1, prompt_sha256(chat("on")): 1}
    assert threading.active_count() == threads
    gc.collect()  # an unclosed socket would warn here


def test_refusals() -> None:
    server = ProviderServer(key="k", most_stop_sequences=4, rejected_parameters=("top_k",))
    with server, client_of(server, headers={"Authorization": "Bearer k"}) as client:
        for path in ("/chat/completions", "/files"):
            refused = client.post(path, json=chat("a"), headers={"Authorization": "Bearer x"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert client.get("/nowhere").json()["error"]["type"] == "invalid_request_error"
        assert client.post("/chat/completions", content=b"{").status_code == 400  # no request: not in the books
        missing = client.post("/chat/completions", json=chat("a") | {"model": "missing-model"})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
        for name, value in (("stop", list("abcde")), ("top_k", 1)):
            refused = client.post("/chat/completions", json=chat("a", **{name: value}))
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
            assert refused.json()["error"]["type"] == "invalid_request_error"
        assert client.post("/chat/completions", json=chat("a", stop=list("abcd"))).status_code == 200
    assert [(served.status, served.finished) for served in server.books] == [
        *((status, False) for status in (401, 404, 400, 400)),
        (200, True),
    ]


def test_faults_break_what_they_say() -> None:
    limit = Fault("status", 429, retry_after="0.2", code="insufficient_quota", message="no money")
    kinds = ("drop", "drop_mid_body", "truncated_json", "empty_body", "hang", "duplicate")
    faults = [Fault("duplicate"), limit, *(Fault(kind) for kind in kinds)]
    with ProviderServer(faults=lambda number, body: faults[number]) as server, client_of(server) as client:
        healthy = client.post("/chat/completions", json=chat("0"))  # nothing to duplicate yet
        limited = client.post("/chat/completions", json=chat("1"))
        assert (limited.status_code, limited.headers["Retry-After"]) == (429, "0.2")
        assert (limited.json()["error"]["code"], limited.json()["error"]["message"]) == (
            "insufficient_quota",
            "no money",
        )
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            client.post("/chat/completions", json=chat("2"))
        with pytest.raises(httpx.RemoteProtocolError, match=r"\d+ bytes"):
            client.post("/chat/completions", json=chat("3"))
        truncated = client.post("/chat/completions", json=chat("4"))
        assert truncated.status_code == 200
        assert 0 < len(truncated.content) == int(truncated.headers["Content-Length"])
        with pytest.raises(ValueError):
            truncated.json()
        assert client.post("/chat/completions", json=chat("5")).content == b""
        with pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=chat("6"), timeout=0.1)
        assert client.post("/chat/completions", json=chat("7")).content == healthy.content
        assert client.get("/models").status_code == 200
    books = sorted(server.books, key=lambda served: served.number)
    assert [served.fault for served in books] == [None, "status", *kinds]
    assert [served.status for served in books] == [200, 429, 0, 200, 200, 200, 0, 200]
    assert [served.number for served in books if served.finished] == [0]
    assert len(server.bodies) == 8


def test_requests_run_side_by_side_and_hanging_ones_do_not_hold_up_the_end() -> None:
    with ProviderServer(delay=lambda number: 0.2 * (number < 8)) as server, client_of(server) as client:
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            ids = {
                answer.json()["id"]
                for answer in pool.map(lambda i: client.post("/chat/completions", json=chat(f"{i}")), range(8))
            }
        assert time.monotonic() - started < 1
        assert len(ids) == server.most_in_flight == 8
    hanging = ProviderServer(faults=lambda number, body: Fault("hang"))
    with ThreadPoolExecutor(1) as pool, client_of(server) as client:
        with hanging:
            asked = pool.submit(client.post, f"{hanging.url}/chat/completions", json=chat("a"))
            while hanging.most_in_flight == 0:
                time.sleep(0.01)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        with pytest.raises(httpx.RemoteProtocolError):
            asked.result()
    assert [(served.fault, served.finished) for served in hanging.books] == [("hang", False)]


def test_random_faults_depend_on_seed_and_number_alone() -> None:
    decide, again, other = random_faults(0.3, 1), random_faults(0.3, 1), random_faults(0.3, 2)
    decided = [decide(number, {}) for number in range(1000)]
    assert decided == [again(number, {}) for number in reversed(range(1000))][::-1]
    assert decided != [other(number, {}) for number in range(1000)]
    assert 240 < sum(fault is not None for fault in decided) < 360
    assert set(decided) == {None, *DEFAULT_FAULTS}


def test_upstream_answers_where_no_fault_does() -> None:
    first_is_drowned = {"faults": lambda number, body: Fault("status", 503) if number == 0 else None}
    with (
        ProviderServer(rejected_parameters=("bad",)) as real,
        ProviderServer(upstream=real.url, **first_is_drowned) as front,
        client_of(front) as client,
    ):
        assert client.post("/chat/completions", json=chat("a")).status_code == 503
        answer = client.post("/chat/completions", json=chat("a"))
        assert answer.json()["choices"][0]["message"]["content"] == echo_reply(chat("a")).content
        assert client.post("/completions", json={"prompt": "a", "bad": 1}).status_code == 400
        assert client.get("/models/x").json()["id"] == "x"
        assert [(served.status, served.finished) for served in real.books] == [(200, True), (400, False)]
        assert [served.status for served in front.books] == [503, 200, 400]


def test_batches() -> None:
    with ProviderServer(batch_line_error=lambda name: name == "line-1") as server, client_of(server) as client:
        batch = finish_batch(client, 3)
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
        outputs, (error,) = results(client, batch["output_file_id"]), results(client, batch["error_file_id"])
        assert [output["custom_id"] for output in outputs] == ["line-2", "line-0"]
        assert outputs[0]["response"]["status_code"] == 200
        message = outputs[0]["response"]["body"]["choices"][0]["message"]
        assert message["content"] == echo_reply(chat("prompt 2")).content
        assert (error["custom_id"], error["response"]["status_code"], error["error"]) == ("line-1", 500, None)
        assert [(served.path, served.status, served.finished) for served in server.books] == [
            ("/v1/batches", status, status == 200) for status in (200, 500, 200)
        ]
        assert client.get(f"/batches/{batch['id']}").json() == batch  # not answered twice
        later = finish_batch(client, 1)
        listed = client.get("/batches").json()
        assert [listed["has_more"], *(entry["id"] for entry in listed["data"])] == [False, later["id"], batch["id"]]
        assert later["error_file_id"] is None
        assert client.post(f"/batches/{later['id']}/cancel").status_code == 409
        wanted = {"input_file_id": later["input_file_id"], "endpoint": "/v1/chat/completions"}
        cancelled = client.post("/batches", json=wanted).json()["id"]
        assert client.post(f"/batches/{cancelled}/cancel").json()["status"] == "cancelling"
        assert client.get(f"/batches/{cancelled}").json()["status"] == "cancelled"
        assert len(server.books) == 4


def test_batches_that_do_not_complete() -> None:
    with ProviderServer(batch_final_status="expired") as server, client_of(server) as client:
        batch = finish_batch(client, 4)
        assert (batch["status"], batch["request_counts"]["completed"]) == ("expired", 2)
        assert [line["custom_id"] for line in results(client, batch["output_file_id"])] == ["line-1", "line-0"]
        unanswered = results(client, batch["error_file_id"])
        assert [(line["custom_id"], line["response"]) for line in unanswered] == [("line-3", None), ("line-2", None)]
        assert len(server.books) == 2
    with ProviderServer(batch_final_status="failed") as server, client_of(server) as client:
        batch = finish_batch(client, 4)
        assert (batch["status"], batch["output_file_id"], len(batch["errors"]["data"])) == ("failed", None, 1)
        assert server.books == []


def test_in_the_foreground() -> None:
    command = [sys.executable, "-m", "tests.api.provider_server", "--delay", "0.01"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        answer = httpx.post(f"{url}/chat/completions", json=chat("a"), trust_env=False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    assert answer.json()["usage"]["completion_tokens"] == 7
