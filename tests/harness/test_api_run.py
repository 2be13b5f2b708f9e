"""``roi-bench run --model roi-api`` against a real local server: right, resumable, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.api.settings import chat_prompt
from roi_bench.cli.regrade import regrade
from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.exams.sets import load_exams
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal, read_starts
from roi_bench.scoring.prompts import exam_messages
from tests.api.exam_answers import answer_exam, empty_for
from tests.api.provider_server import Fault, ProviderServer, Reply, prompt_sha256, random_faults
from tests.support.api_runs import PRICES, answers_in, command, entries_in
from tests.support.messages import shown_in, shows
from tests.support.roi_runs import HARD, MEDIUM, in_process, journal_in, results_in, samples_in
from tests.support.warm_process import run as run_process


def test_every_answer_stands_where_it_belongs_and_every_token_is_counted(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, delay=lambda number: 0.05 * (number * 7 % 5)) as server:  # out of order
        run(command(server, tmp_path, tasks=f"{HARD},{MEDIUM}"))
        assert len(server.books) == 3 * 6  # hard, medium and one shared easy order
    exams = {exam.id: exam for exam in load_exams("tiny")}
    for task, own in ((HARD, "hard"), (MEDIUM, "medium")):
        for sample in samples_in(tmp_path, task):
            for (text,), (usage,), order in zip(sample["resps"], sample["usage"], (own, "easy"), strict=True):
                questions = [problem.question for problem in exams[sample["doc"]["exam_id"]].ordered(order)]
                expected = answer_exam({"messages": exam_messages(questions, 128)})
                assert text == expected.content
                assert usage == {"tokens": expected.completion_tokens, "finish_reason": "stop", "source": "provider"}
            assert sample["doc"].keys() == {"exam_id", "order", "budget", "problem_ids"}
    assert 0 < results_in(tmp_path)["results"][HARD]["score,none"] < 3
    assert CliRunner().invoke(regrade, [str(tmp_path)]).exit_code == 0


def test_the_journal_holds_what_was_asked_sent_answered_and_paid(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> Reply:
        return Reply("\\boxed{1}", 40, reasoning="let me see", reasoning_tokens=30, model="a-model-2026-11-01")

    with ProviderServer(respond) as server:
        run(command(server, tmp_path, limit=1, args=(*PRICES, "reasoning_effort=low")))
        assert all(body["reasoning_effort"] == "low" for body in server.bodies)
    for entry in entries_in(tmp_path):
        extra = entry.extra
        assert entry.response == "\\boxed{1}"
        assert extra["reasoning"] == "let me see"
        assert (entry.usage.tokens, extra["reasoning_tokens"], extra["completion_tokens"]) == (40, 30, 40)
        assert extra["asked"] == {"max_tokens": 128, "temperature": 0.0, "reasoning_effort": "low"}
        assert extra["sent"] == {"model": "a-model", **extra["asked"]}
        assert extra["provider_model"] == "a-model-2026-11-01"
        assert (extra["finish_reason"], extra["attempts"]) == ("stop", 1)
        assert extra["usd"] == pytest.approx(extra["prompt_tokens"] * 1e-6 + 40 * 1e-5)
        assert extra["latency_s"] > 0
    engine = results_in(tmp_path)["roi_bench"]["engine"]
    assert (engine["server"], engine["endpoint"]) == ("other", "chat")  # the tests' server says nothing of itself


def test_empty_contents_are_outcome_empty_and_move_no_other_answer(tmp_path: Path) -> None:
    with ProviderServer(empty_for(3), delay=lambda number: 0.03 * (number % 4)) as server:
        run(command(server, tmp_path / "some", limit=20))
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path / "full", limit=20))
    empty = 0
    for sample, full in zip(samples_in(tmp_path / "some"), samples_in(tmp_path / "full"), strict=True):
        for (text,), (usage,), (whole,) in zip(sample["resps"], sample["usage"], full["resps"], strict=True):
            assert text == ("" if usage["tokens"] == 128 else whole)
            empty += text == ""
    assert 5 < empty < 35
    numbers = results_in(tmp_path / "some")["results"][HARD]
    assert numbers["empty,none"] > 0
    assert numbers["error,none"] == 0


def test_a_response_above_the_budget_is_flagged_and_worth_nothing(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> Reply:
        right = answer_exam(body)
        return Reply(right.content, 129, "stop")

    with ProviderServer(respond) as server:
        run(command(server, tmp_path))
    numbers = results_in(tmp_path)["results"][HARD]
    assert (numbers["score,none"], numbers["over_budget,none"], numbers["truncated,none"]) == (0, 1, 1)
    assert all(entry.extra["over_budget"] is True for entry in entries_in(tmp_path))


@pytest.mark.parametrize("fault", ["faulty", "duplicated"])
def test_faults_change_nothing_in_the_results(tmp_path: Path, fault: str) -> None:
    faults = random_faults(0.3, 5) if fault == "faulty" else random_faults(0.3, 5, [Fault("duplicate")])
    with ProviderServer(answer_exam, faults=faults) as server:
        run(command(server, tmp_path / "faulty", limit=20))
        assert sum(line.fault is not None for line in server.books) > 5
        assert set(server.finished_per_prompt().values()) == {1}
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path / "clean", limit=20))
    assert answers_in(tmp_path / "faulty") == answers_in(tmp_path / "clean")
    assert results_in(tmp_path / "faulty")["results"] == results_in(tmp_path / "clean")["results"]


def test_what_cannot_be_had_is_an_error_named_and_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"share": True}

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        tokens = answer_exam(body).completion_tokens
        return Fault("status", 400, message="content policy") if refused["share"] and tokens % 4 == 0 else None

    with ProviderServer(answer_exam, faults=faults) as server:
        with pytest.raises(ModelError) as raised:
            run(command(server, tmp_path, limit=10))
        lines = capsys.readouterr().err.splitlines()
        missing = [entry for entry in entries_in(tmp_path) if entry.response is None]
        assert 0 < len(missing) < 19
        assert shown_in(str(raised.value), len(missing))
        for entry in missing:
            facts = (entry.extra["exam"], entry.extra["order"], 0, "content policy")
            assert [line for line in lines if shown_in(line, *facts)]
        assert results_in(tmp_path)["results"][HARD]["error,none"] > 0
        assert results_in(tmp_path)["roi_bench"]["missing_responses"] == len(missing)
        before = len(server.books)
        refused["share"] = False
        run(command(server, tmp_path, limit=10))
        assert len(server.books) - before == len(missing)
    assert results_in(tmp_path)["results"][HARD]["error,none"] == 0


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"key": "right"}, (), r"a-model: Incorrect API key .*\bkey\b"),
        ({}, ("model=missing-model",), r"missing-model: .*does not exist.*base_url"),
        ({"path": "/v2"}, (), r"Invalid URL.*base_url.* /v1"),
        ({"path": "closed"}, ("server=other",), r"a-model: .*Connection error"),  # else it is looked for first
        ({"rejected_parameters": ("temperature",)}, (), r"\b10\b.*temperature"),
    ],
    ids=["wrong key", "unknown model", "wrong path", "unreachable", "refused parameter"],
)
def test_what_no_request_can_pass_ends_in_one_line_at_once(
    tmp_path: Path, settings: dict[str, Any], arguments: tuple[str, ...], message: str
) -> None:
    path = settings.pop("path", None)
    server = ProviderServer(answer_exam, **settings)
    with server:
        url = server.url.replace("/v1", path) if path == "/v2" else server.url
        if path != "closed":
            with pytest.raises(ModelError, match=message) as raised:
                run(command(url, tmp_path, args=arguments))
    if path == "closed":
        with pytest.raises(ModelError, match=message) as raised:
            run(command(url, tmp_path, args=arguments))
    assert "\n" not in str(raised.value)
    assert shown_in(str(raised.value), 0, journal_in(tmp_path))


def test_the_limit_of_money_is_never_passed_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, delay=0.01) as server:
        with pytest.raises(ModelError, match=shows("$0.0200")):
            run(command(server, tmp_path, "--max-usd", "0.02", limit=20, args=PRICES))
        paid = sum(entry.extra["usd"] for entry in entries_in(tmp_path))
        assert 0.01 < paid <= 0.02
        first = len(entries_in(tmp_path))
        run(command(server, tmp_path, "--max-usd", "1", limit=20, args=PRICES))
        assert len(server.books) == 40
        assert 5 < first < 40
    cost = results_in(tmp_path)["roi_bench"]["cost"]
    entries = entries_in(tmp_path)
    assert cost["total_usd"] == pytest.approx(sum(entry.extra["usd"] for entry in entries))
    own = sum(entry.extra["usd"] for entry in entries if entry.extra["order"] == "hard")
    correct = sum(sample["score"] for sample in samples_in(tmp_path))
    assert cost["tasks"][HARD]["usd"] == pytest.approx(own)
    assert cost["tasks"][HARD]["usd_per_correct"] == pytest.approx(own / correct)
    assert sum(usd for s in samples_in(tmp_path) for side in s["usd"] for usd in side) == pytest.approx(
        cost["total_usd"]
    )


def test_what_it_cost_is_said_at_the_end_and_an_unknown_price_is_said_to_be_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path / "priced", args=PRICES))
        said = capsys.readouterr()
        assert re.search(r"\b1,536\b.*\$0\.01", said.err)
        total, task = [line for line in said.out.splitlines() if "$" in line]
        assert "$0.0" in total
        assert re.search(rf"\b{HARD}\b.*\$0\.00.*\$0\.00", task)  # and for each correct answer
        run(command(server, tmp_path / "unknown"))
        said = capsys.readouterr()
        assert shown_in(said.err, "1,536")
        assert "$" not in said.err + said.out
        assert [line for line in said.out.splitlines() if shown_in(line, "cost", "a-model")]
    assert results_in(tmp_path / "unknown")["roi_bench"]["cost"] is None


def test_a_limit_without_a_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=shows("a-model", "input_cost_per_token")):
        run(command("http://127.0.0.1:9/v1", tmp_path, "--max-usd", "1"))


def test_a_dry_run_shows_requests_and_estimate_and_sends_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path / "out", "--dry-run", limit=3, args=PRICES))
        assert server.books == []
    said = capsys.readouterr()
    requests = [json.loads(line) for line in said.out.splitlines()]
    assert len(requests) == 6
    for request in requests:
        assert (request["model"], request["max_tokens"], request["temperature"]) == ("a-model", 128, 0.0)
        system, user = request["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        assert '"### Problem k"' in system["content"]
        assert user["content"].startswith("Problem 1.\nStart at ")
    assert re.search(r"\b6 requests\b.*\b768\b.*\$0\.00", said.err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "numbers"),
    [
        ("anthropic/claude-sonnet-4-5,reasoning_effort=low,omit=temperature", (1024, 128)),
        ("anthropic/claude-sonnet-4-5,thinking=100,omit=temperature", (100, 1024)),
        ("gemini/gemini-2.5-flash,reasoning_effort=low", (1024, 128)),
    ],
)
def test_an_exam_that_the_model_cannot_sit_is_not_applicable_and_never_zero(
    tmp_path: Path, model: str, numbers: tuple[int, int]
) -> None:
    with ProviderServer(answer_exam) as server:
        with pytest.raises(ModelError, match=shows(HARD, *numbers)):
            run(command(server, tmp_path, tasks=f"{HARD},{MEDIUM}", args=(f"model={model}",)))
        assert server.books == []


def test_only_the_tasks_that_a_model_can_sit_are_sat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ProviderServer(answer_exam) as server:
        arguments = command(server, tmp_path, tasks="roi_tiny", limit=2)
        from roi_bench.harness.engines.api_model import ApiLM

        original = ApiLM.why_not
        try:
            ApiLM.why_not = lambda self, generation: (  # type: ignore[method-assign]
                "it thinks for 200 tokens" if generation["max_gen_toks"] == 128 else original(self, generation)
            )
            run(arguments)
        finally:
            ApiLM.why_not = original  # type: ignore[method-assign]
        assert {body["max_tokens"] for body in server.bodies} == {256}
    recorded = results_in(tmp_path)
    assert set(recorded["results"]) == {"roi_tiny_hard_256", "roi_tiny_medium_256"}
    assert set(recorded["roi_bench"]["not_applicable"]) == {"roi_tiny_hard_128", "roi_tiny_medium_128"}
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if shown_in(line, "roi_tiny_hard_128", "it thinks for 200 tokens")]


def test_omitted_parameters_are_not_sent_and_label_the_results(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=1, args=("omit=temperature",)))
        assert all("temperature" not in body for body in server.bodies)
    assert results_in(tmp_path)["results"][HARD]["alias"] == f"{HARD} [omit=temperature]"


def test_repeats_stay_distinct_and_carry_their_own_seed(tmp_path: Path) -> None:
    counter = iter(range(1000))

    def respond(body: dict[str, Any]) -> Reply:
        return Reply(f"\\boxed{{{next(counter)}}}", 7)

    sampling = ("--gen_kwargs", "do_sample=true,temperature=0.7", "--metadata", "repeats=3")
    with ProviderServer(respond) as server:
        for _ in range(2):
            run(command(server, tmp_path, *sampling, limit=2))
        assert len(server.bodies) == 2 * 2 * 3
        assert len({body["seed"] for body in server.bodies}) == 12
    texts = [text for sample in samples_in(tmp_path) for side in sample["resps"] for text in side]
    assert len(set(texts)) == 12
    numbers = {entry.key.sample for entry in entries_in(tmp_path)}
    assert numbers == {0, 1, 2}


def test_how_fast_one_asks_is_no_part_of_the_run_but_the_model_is(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=1))
        run(command(server, tmp_path, limit=1, args=("num_concurrent=2", "timeout=9", "requests_per_minute=6000")))
        assert len(server.books) == 2
        run(command(server, tmp_path, limit=1, args=("reasoning_effort=high",)))
        assert len(server.books) == 4
    assert len(list(tmp_path.rglob("journal-*.jsonl"))) == 2


@pytest.mark.parametrize("options", [[], ["--apply_chat_template"]])
def test_a_chat_endpoint_is_sent_messages(tmp_path: Path, options: list[str]) -> None:
    with ProviderServer(lambda body: Reply("\\boxed{1}", 5)) as server:
        run(command(server, tmp_path, *options, limit=1))
        assert len(server.bodies) == 2
        for body in server.bodies:
            system, user = body["messages"]
            assert system["role"] == "system"
            assert system["content"].startswith("Answer the three problems below in one response of at most 128 tokens")
            assert user["content"].startswith("Problem 1.\nStart at ")
            assert "Response:" not in system["content"] + user["content"]


def test_a_system_instruction_comes_before_that_of_the_prompt(tmp_path: Path) -> None:
    with ProviderServer(lambda body: Reply("\\boxed{1}", 5)) as server:
        run(command(server, tmp_path, "--system_instruction", "Be brief.", limit=1))
        for body in server.bodies:
            assert [message["role"] for message in body["messages"]] == ["system", "user"]
            assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer the three problems")
            assert body["messages"][1]["content"].startswith("Problem 1.\n")


def wait_for_lines(child: subprocess.Popen[str], output: Path, lines: int) -> Path:
    while not (found := list(output.rglob("journal-*.jsonl"))) or found[0].read_bytes().count(b"\n") < lines:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_what_is_in_flight_finish(tmp_path: Path, number: signal.Signals) -> None:
    with ProviderServer(answer_exam, delay=0.3) as server:
        child = in_process(command(server, tmp_path, limit=200, args=("num_concurrent=8",)))
        wait_for_lines(child, tmp_path, 10)
        child.send_signal(number)
        _, stderr = child.communicate()
        assert child.returncode == 128 + number
        assert "Ctrl-C" in stderr
        last = stderr.strip().splitlines()[-1]
        assert shown_in(last, len(entries_in(tmp_path)), journal_in(tmp_path))
        assert len(server.books) == len(entries_in(tmp_path))  # nothing that was sent is lost
    assert "Traceback" not in stderr


def test_a_second_sigterm_does_not_wait_for_the_provider(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, delay=lambda number: 0.1 if number < 3 else 60.0) as server:
        child = in_process(command(server, tmp_path, limit=20, args=("num_concurrent=2",)))
        wait_for_lines(child, tmp_path, 4)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        _, stderr = child.communicate(timeout=60)
        assert child.returncode == 128 + signal.SIGTERM
        assert shown_in(stderr.strip().splitlines()[-1], 3, journal_in(tmp_path))
    assert "Traceback" not in stderr


def test_two_processes_on_one_journal_are_refused(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, delay=0.3) as server:
        child = in_process(command(server, tmp_path, limit=300))
        try:
            wait_for_lines(child, tmp_path, 2)
            with pytest.raises(RecordError, match=shows(journal_in(tmp_path), child.pid)):
                run(command(server, tmp_path, limit=300))
        finally:
            child.kill()
            child.communicate()


def test_a_full_disk_loses_nothing_that_was_paid_for(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from roi_bench.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); main()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TMPDIR": str(tmp_path)}
    with ProviderServer(answer_exam, delay=0.05) as server:
        arguments = command(server, tmp_path / "out", limit=40, args=("num_concurrent=4",))
        done = run_process(["-c", code, "run", *arguments], environment)
        assert done.returncode == RecordError.exit_code, done.stderr[-2000:]
        last = done.stderr.strip().splitlines()[-1]
        (rescued,) = tmp_path.glob("roi-bench-*/rescued-journal-*.jsonl")
        journal = journal_in(tmp_path / "out")
        assert shown_in(last, "File too large", rescued.read_bytes().count(b"\n"), f"cat {rescued} >> {journal}")
        kept = len(read_journal(journal)[1]) + rescued.read_bytes().count(b"\n")
        assert kept == len(server.books) < 80
        with journal.open("ab") as file:  # as the message says
            file.write(rescued.read_bytes())
        run(arguments)
        assert len(server.books) == 80


def test_a_damaged_journal_is_refused_and_names_the_line(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=2))
        journal = journal_in(tmp_path)
        lines = journal.read_bytes().split(b"\n")
        journal.write_bytes(b"\n".join([*lines[:2], lines[2][:50], *lines[3:]]))
        with pytest.raises(RecordError, match=r"\.jsonl\D+3\b"):
            run(command(server, tmp_path, limit=2))
        journal.write_bytes(b"\n".join(lines)[:-20])  # a torn last line is no damage
        run(command(server, tmp_path, limit=2))
        assert len(server.books) == 5


@pytest.mark.parametrize(
    ("more", "arguments", "facts"),
    [
        ((), ("api_key=sk-secret",), ("'api_key'", "api_key_env=NAME")),
        ((), ("num_concurent=4",), ("'num_concurent'", "'num_concurrent'")),
        (("--no-wait",), (), ("--no-wait", "--provider-batch")),
        (("--max-usd", "-1"), PRICES, ("max_usd", 0, -1.0)),
        (("--gen_kwargs", "min_p=0.1"), (), ("'min_p'", "extra_body")),
        ((), ("omit=tempratura",), ("omit", "'tempratura'", "'temperature'")),
    ],
)
def test_arguments_that_cannot_be_meant(
    tmp_path: Path, more: tuple[str, ...], arguments: tuple[str, ...], facts: tuple[object, ...]
) -> None:
    with pytest.raises(UsageError, match=shows(*facts)) as raised:
        run(command("http://127.0.0.1:9/v1", tmp_path, *more, args=arguments))
    assert "sk-secret" not in str(raised.value)


def test_options_about_money_are_refused_for_other_models(tmp_path: Path) -> None:
    arguments = ["--model", "hf", "--model_args", "pretrained=x", "--tasks", HARD, "--output_path", str(tmp_path)]
    with pytest.raises(UsageError, match=shows("--max-usd", "roi-api", "'hf'")):
        run([*arguments, "--max-usd", "1"])


def test_a_missing_extra_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "litellm.py").write_text("raise ImportError('No module named litellm')\n")
    code = "from roi_bench.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *command("http://127.0.0.1:9/v1", tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 6
    assert "pip install 'roi-bench[api]'" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_no_key_is_in_any_file_or_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_PROVIDER_KEY", "sk-very-secret-key-123456")
    with ProviderServer(answer_exam, key="sk-very-secret-key-123456") as server:
        run(command(server, tmp_path, limit=2, args=("api_key_env=MY_PROVIDER_KEY",)))
        assert all(headers["authorization"].endswith("123456") for headers in server.headers)
    with ProviderServer(
        answer_exam, faults=lambda *_: Fault("status", 401, message="bad key sk-very-secret-key-123456")
    ) as server:
        with pytest.raises(RoiBenchError) as raised:
            run(command(server, tmp_path / "refused", limit=2, args=("api_key_env=MY_PROVIDER_KEY",)))
        assert "bad key ***" in str(raised.value)
    said = capfd.readouterr()
    assert "very-secret" not in said.out + said.err
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"very-secret" not in path.read_bytes()


def test_a_key_meant_for_openai_never_reaches_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-only-0000")
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=1))
        assert all("sk-openai" not in value for headers in server.headers for value in headers.values())
    from roi_bench.harness.engines.api_model import ApiLM

    for url in ("http://192.0.2.7:8000/v1", "https://evilopenai.com/v1"):
        assert ApiLM(model="mine", base_url=url).gateway.access["api_key"] == "none"
    assert "api_key" not in ApiLM(model="gpt-4o-mini", base_url="https://eu.api.openai.com/v1").gateway.access


def test_a_server_named_by_the_environment_is_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-proxy")
    with ProviderServer(answer_exam) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        arguments = command(server, tmp_path, limit=1)
        arguments[3] = "model=openai/gpt-4o-mini"
        run(arguments)
        assert len(server.books) == 2
        header, _ = read_journal(journal_in(tmp_path))
        assert header is not None
        assert header.run["model_args"]["base_url"] == server.url
    assert results_in(tmp_path)["roi_bench"]["cost"] is None  # not at OpenAI's prices


def test_a_folder_named_like_an_argument_is_no_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ProviderServer(answer_exam) as server:
        for _ in range(2):
            run(command(server, tmp_path / "out", limit=1))
            (tmp_path / "chat").mkdir(exist_ok=True)
        assert len(server.books) == 2


@pytest.mark.parametrize("identifier", ["chatcmpl-1", "few"])
def test_servers_whose_ids_say_nothing_are_paid_about_once(tmp_path: Path, identifier: str) -> None:
    ids = iter(range(1000))

    class Odd(ProviderServer):
        def _own_answer(self, path: str, body: dict[str, Any], name: str) -> bytes:
            whole = json.loads(super()._own_answer(path, body, name))
            whole["id"] = identifier if identifier != "few" else f"chatcmpl-{next(ids) * 7 % 10}"
            return json.dumps(whole).encode()

    with Odd(answer_exam) as server:
        for limit in (20, 40):
            run(command(server, tmp_path, limit=limit))
        assert 80 <= len(server.books) <= 84
    assert all(entry.response is not None for entry in entries_in(tmp_path))


def test_what_stays_refused_leaves_the_results_of_the_rest(tmp_path: Path) -> None:
    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        return Fault("status", 400, message="content policy") if answer_exam(body).completion_tokens % 2 else None

    with ProviderServer(answer_exam, faults=faults) as server:
        for _ in range(2):  # the second time only refused ones are asked
            with pytest.raises(ModelError) as raised:
                run(command(server, tmp_path, limit=20))
            missing = [entry for entry in entries_in(tmp_path) if entry.response is None]
            assert missing
            assert shown_in(str(raised.value), len(missing))
    assert len(list(tmp_path.rglob("results_*.json"))) == 2


def test_an_empty_answer_without_usage_is_taken_and_not_paid_again(tmp_path: Path) -> None:
    with ProviderServer(lambda body: Reply(None, 0, "length", reasoning="hmm", usage=False)) as server:
        run(command(server, tmp_path, limit=2))
        assert len(server.books) == 4
    assert results_in(tmp_path)["results"][HARD]["unanswered,none"] == 1  # nothing tells that tokens went into it


def test_a_server_without_usage_costs_what_it_may_have_cost(tmp_path: Path) -> None:
    with ProviderServer(lambda body: Reply("\\boxed{1}", 5, usage=False)) as server:
        for _ in range(2):
            with pytest.raises(ModelError, match=shows("$0.0100")):
                run(command(server, tmp_path, "--max-usd", "0.01", limit=20, args=PRICES))
        assert 4 < len(server.books) < 8  # at up to 0.0015 each, both starts together
    assert all(entry.extra["usd"] is None for entry in entries_in(tmp_path))


def test_a_server_that_is_not_up_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=shows("http://127.0.0.1:9/v1")):
        run(command("http://127.0.0.1:9/v1", tmp_path))
    assert not list(tmp_path.rglob("journal*"))


def test_a_finished_run_needs_no_server_and_an_unfinished_one_says_so(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=1))
        url = server.url
    finished = answers_in(tmp_path)
    run(command(url, tmp_path, limit=1))
    with pytest.raises(ModelError, match=shows(url)):
        run(command(url, tmp_path, limit=2))
    assert answers_in(tmp_path) == finished


def test_plain_lm_eval_begins_no_journal_without_the_server(tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    from roi_bench.harness.engines.api_model import ApiLM

    lm = ApiLM(model="a-model", base_url="http://127.0.0.1:9/v1", endpoint="completions", journal=str(tmp_path))
    with pytest.raises(ModelError, match=shows("http://127.0.0.1:9/v1")):
        lm.generate_until([Instance("generate_until", {}, ("Question", {"max_gen_toks": 8}), 0)])
    assert not list(tmp_path.rglob("journal*"))


def test_a_dry_run_needs_no_server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(command("http://127.0.0.1:9/v1", tmp_path, "--dry-run"))
    assert json.loads(capfd.readouterr().out.splitlines()[0])["model"] == "a-model"


def test_raw_text_takes_no_chat_template(tmp_path: Path) -> None:
    arguments = ("server=other", "endpoint=completions")
    with pytest.raises(UsageError, match=shows("endpoint=completions", "--apply_chat_template")):
        run(command("http://127.0.0.1:9/v1", tmp_path, "--apply_chat_template", args=arguments))


def test_prompt_and_budget_must_fit_the_context_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=shows(128, "max_length=250")):
        run(command("http://127.0.0.1:9/v1", tmp_path, args=("server=other", "max_length=250")))


def test_the_prompt_is_what_the_harness_sends(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=1))
        shown = [sample["arguments"][name]["arg_0"] for sample in samples_in(tmp_path) for name in sample["arguments"]]
        assert sorted(shown) == sorted(chat_prompt(body["messages"]) for body in server.bodies)


# ------------------------------------------------------------------------------ runs that do not measure the exam
def test_a_server_with_too_small_a_context_is_named_while_the_run_goes_on_and_in_its_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def respond(body: dict[str, Any]) -> Reply:
        fits = "boxed" in str(answer_exam(body).content) and hash_of(body) % 4
        return answer_exam(body) if fits else Reply("### Problem 1", 60, "length")

    with ProviderServer(respond) as server:
        run(command(server, tmp_path, limit=20))
    shown = capfd.readouterr()
    assert shown.err.count("cut below the budget") == 1
    found = results_in(tmp_path)["roi_bench"]["doubts"][HARD]
    cut = sum(
        (used["tokens"], used["finish_reason"]) == (60, "length")
        for sample in samples_in(tmp_path, HARD)
        for (used,) in sample["usage"]
    )
    assert found == {"responses": 40, "cut_below_budget": cut}
    assert f"{cut} of 40" in shown.out


def hash_of(body: dict[str, Any]) -> int:
    return int(prompt_sha256(body)[:8], 16)


def test_a_server_that_never_keeps_to_the_budget_stops_the_run_early(tmp_path: Path) -> None:
    with ProviderServer(lambda _: Reply("\\boxed{1}", 20_000)) as server:
        with pytest.raises(ModelError, match=shows("20000", "128")):
            run(command(server, tmp_path, limit=100))
        assert len(server.books) < 40
    assert len(entries_in(tmp_path)) == len(server.books)


def test_a_server_that_ignores_the_cap_costs_one_request_more_than_the_limit(tmp_path: Path) -> None:
    with ProviderServer(lambda _: Reply("\\boxed{1}", 20_000)) as server:
        args = ("input_cost_per_token=0", "output_cost_per_token=2e-6")
        with pytest.raises(ModelError, match=shows("limit")):
            run([*command(server, tmp_path, limit=100, args=args), "--max-usd", "0.01"])
        assert len(server.books) == 1  # 0.04 USD, which nobody could know before


def test_a_server_that_ignores_the_cap_later_costs_one_reply_more_than_the_limit(tmp_path: Path) -> None:
    replies = iter([Reply("\\boxed{1}", 100)] + [Reply("\\boxed{1}", 20_000)] * 99)
    with ProviderServer(lambda _: next(replies)) as server:
        args = ("input_cost_per_token=0", "output_cost_per_token=2e-6", "num_concurrent=16")
        with pytest.raises(ModelError, match=shows("limit")):
            run([*command(server, tmp_path, limit=100, args=args), "--max-usd", "0.01"])
        assert len(server.books) == 2


def test_a_run_that_stopped_since_all_is_worthless_says_that_what_it_has_stays(tmp_path: Path) -> None:
    with ProviderServer(lambda _: Reply("\\boxed{1}", 30, "length")) as server:
        with pytest.raises(ModelError, match=shows("128", "--output_path")):
            run(command(server, tmp_path, limit=100))
        assert len(server.books) < 40
        run(command(server, tmp_path, limit=20))  # in spite of it
    assert results_in(tmp_path)["roi_bench"]["doubts"][HARD]["cut_below_budget"] == 40


def test_prompts_that_a_server_counts_higher_stay_below_the_limit(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> Reply:
        return Reply("\\boxed{1}", 100, prompt_tokens=3000)

    with ProviderServer(respond) as server:
        args = ("input_cost_per_token=1e-6", "output_cost_per_token=1e-6")
        with pytest.raises(ModelError, match=shows("limit")):
            run([*command(server, tmp_path, limit=100, args=args), "--max-usd", "0.02"])
    assert 0.0155 <= sum(entry.extra["usd"] for entry in entries_in(tmp_path)) <= 0.02


def test_unusable_replies_end_a_run_after_a_handful(tmp_path: Path) -> None:
    with ProviderServer(faults=lambda *_: Fault("truncated_json")) as server:
        with pytest.raises(ModelError):
            run(command(server, tmp_path, limit=100))
        assert len(server.books) <= 5


def test_another_version_of_the_client_in_mid_run_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from roi_bench.harness.engines import api_model

    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, limit=2))
        run(command(server, tmp_path, limit=3))
        assert "came through" not in capsys.readouterr().err
        monkeypatch.setattr(api_model, "version_of", {"litellm": "9.9.9", "openai": "8.8.8"}.get)
        run(command(server, tmp_path, limit=4))
        told = [line for line in capsys.readouterr().err.splitlines() if "came through" in line]
    assert len(told) == 2
    assert shown_in(told[0], "litellm", "9.9.9")
    assert shown_in(told[1], "openai", "8.8.8")
    engines = [start.about["engine"] for start in read_starts(journal_in(tmp_path))]
    assert [engine["version"] == "9.9.9" for engine in engines] == [False, False, True]
