"""What ``roi-api`` sends to a server so that it adds nothing to the decoding, by its make; and the model's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from roi_bench.api.settings import ALWAYS, MAKES, SAMPLING, SELF_NAMED, neutral_parameters
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from roi_bench.records.results import find_results, read_results
from tests.api.exam_answers import answer_exam
from tests.api.provider_server import ProviderServer
from tests.harness.harness_runs import simple_evaluate
from tests.support.api_runs import command
from tests.support.messages import shown_in
from tests.support.roi_runs import HARD, journal_in, results_in

SOLO = "roi_tiny_solo_128"

EVERY_NAME = {name for make in MAKES for name in neutral_parameters(make)}


def parameters(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("model", "messages", "prompt", "seed")}


def ask(
    server: ProviderServer,
    output: Path,
    *more: str,
    tasks: str = HARD,
    model: str = "a-model",
    args: Sequence[str] = (),
) -> None:
    arguments = command(server, output, *more, tasks=tasks, limit=1, args=args)
    run([part.replace("model=a-model", f"model={model}") for part in arguments])


def naming(make: str) -> list[str]:
    """Model arguments that name a make of server which does not name itself."""
    return [] if make in SELF_NAMED else [f"server={make}"]


def header(output: Path) -> dict[str, Any]:
    found = read_journal(journal_in(output))[0]
    assert found is not None
    return dict(found.run["model_args"])


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("model", ["a-model", "hosted_vllm/a-model"])
def test_each_make_is_sent_its_own_names(make: str, model: str, tmp_path: Path) -> None:
    foreign = EVERY_NAME - set(neutral_parameters(make))
    with ProviderServer(owned_by=make, rejected_parameters=foreign) as server:
        ask(server, tmp_path / "exam", model=model, args=naming(make))
        ask(server, tmp_path / "solo", "--metadata", '{"repeats": 2}', tasks=SOLO, model=model, args=naming(make))
        sent = [parameters(body) for body in server.bodies]
    assert sent[:2] == [{"max_tokens": 128, "temperature": 0.0, **ALWAYS[make]}] * 2
    assert sent[2:] == [{"max_tokens": 128, "temperature": 0.7, **ALWAYS[make], **SAMPLING[make]}] * 2
    assert header(tmp_path / "exam")["neutral"] == {"server": make, **neutral_parameters(make)}
    for entry in read_journal(journal_in(tmp_path / "exam"))[1].values():
        recorded = entry.extra["sent"]
        assert {**recorded, **recorded.get("extra_body", {})}.items() >= ALWAYS[make].items()
    config = results_in(tmp_path / "exam")["configs"][HARD]
    assert config["metadata"]["roi_bench"]["deviations"] == []
    assert not EVERY_NAME & set(config["generation_kwargs"])


@pytest.mark.parametrize("make", MAKES)
def test_raw_text_is_sent_the_same(make: str, tmp_path: Path) -> None:
    with ProviderServer(answer_exam, owned_by=make) as server:
        arguments = command(server, tmp_path, limit=1, args=["endpoint=completions", *naming(make)])
        bodies = watch_texts(server)
        run(arguments)
    assert [parameters(body) for body in bodies] == [{"max_tokens": 128, "temperature": 0.0, **ALWAYS[make]}] * 2


def watch_texts(server: ProviderServer) -> list[dict[str, Any]]:
    """Return the list that gets the bodies of requests for raw text; the server's own holds conversations."""
    bodies: list[dict[str, Any]] = []
    respond = server._respond

    def watched(body: dict[str, Any]) -> Any:
        bodies.append(body)
        return respond(body)

    server._respond = watched
    return bodies


def test_a_server_that_refuses_unknown_names_and_says_nothing_of_itself_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProviderServer(answer_exam, rejected_parameters=EVERY_NAME) as server:
        ask(server, tmp_path)
        assert [parameters(body) for body in server.bodies] == [{"max_tokens": 128, "temperature": 0.0}] * 2
        assert shown_in(capsys.readouterr().err, server.url, "llama.cpp")
    assert "neutral" not in header(tmp_path)


def test_a_make_that_is_named_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path / "named", limit=1, args=["server=vllm"]))
        assert parameters(server.bodies[0]).items() >= ALWAYS["vllm"].items()
    with ProviderServer(answer_exam, owned_by="vllm") as server:
        run(command(server, tmp_path / "other", limit=1, args=["server=other"]))
        assert parameters(server.bodies[0]) == {"max_tokens": 128, "temperature": 0.0}
    assert "llama.cpp" not in capsys.readouterr().err


def test_the_models_own_decoding_is_left_to_the_server_and_labelled(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, owned_by="vllm", rejected_parameters=[*EVERY_NAME, "temperature"]) as server:
        ask(server, tmp_path, "--metadata", '{"decoding": "model"}')
        assert [parameters(body) for body in server.bodies] == [{"max_tokens": 128}] * 2
    (task,) = read_results(find_results(tmp_path)[0])
    assert (task.decoding, task.record.decoding) == ({"decoding": "model"}, "model")
    assert task.record.deviations == ("decoding=model",)


def test_a_parameter_of_the_user_stands_beside_the_models_own_decoding(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, owned_by="vllm") as server:
        ask(server, tmp_path, "--metadata", '{"decoding": "model"}', "--gen_kwargs", "temperature=0.3")
        sent = [parameters(body) for body in server.bodies]
    assert sent == [{"max_tokens": 128, "temperature": 0.3}] * 2


def test_parameters_of_the_user_win(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, owned_by="vllm") as server:
        ask(server, tmp_path, "--gen_kwargs", "temperature=0.5,top_p=0.9,presence_penalty=0.3")
        sent = parameters(server.bodies[0])
    assert (sent["top_p"], sent["presence_penalty"], sent["top_k"]) == (0.9, 0.3, -1)


def test_a_dry_run_shows_what_this_server_would_be_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ProviderServer(answer_exam, owned_by="vllm") as server:
        ask(server, tmp_path / "out", "--dry-run")
        assert server.books == []
        shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        ask(server, tmp_path / "out")
        assert [parameters(body) for body in shown] == [parameters(body) for body in server.bodies]
        ask(server, tmp_path / "out", "--dry-run")
        assert "0 requests" in capsys.readouterr().err


def test_plain_lm_eval_is_neutral_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ProviderServer(answer_exam, owned_by="sglang") as server:
        arguments = {"model": "a-model", "base_url": server.url}
        options: dict[str, Any] = {"limit": 1, "apply_chat_template": True}
        simple_evaluate([HARD], model="roi-api", model_args=arguments, metadata=None, **options)
        own = {"decoding": "model"}
        results = simple_evaluate([HARD], model="roi-api", model_args=arguments, metadata=own, **options)
        sent = [parameters(body) for body in server.bodies]
    assert sent[:2] == [{"max_tokens": 128, "temperature": 0.0, **ALWAYS["sglang"]}] * 2
    assert sent[2:] == [{"max_tokens": 128}] * 2
    assert results["configs"][HARD]["task_alias"] == f"{HARD} [decoding=model]"


def test_the_providers_batch_mode_sends_the_same(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    def note(body: dict[str, Any]) -> Any:
        lines.append(body)
        return answer_exam(body)

    with ProviderServer(note, owned_by="vllm") as server:
        ask(server, tmp_path, "--provider-batch", model="openai/a-model,poll_seconds=0.05")
    assert [parameters(body) for body in lines] == [{"max_tokens": 128, "temperature": 0.0, **ALWAYS["vllm"]}] * 2
