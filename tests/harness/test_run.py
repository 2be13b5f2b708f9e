"""``roi-bench run`` on a real, tiny, random model: complete, resumable, clear about what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.cli.main import cli
from roi_bench.cli.run import run as run_command
from roi_bench.errors import DataError, DependencyError, ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.harness.engines import huggingface
from roi_bench.harness.run import run
from roi_bench.harness.run_arguments import DEFAULT_OUTPUT, load_tasks, parse_arguments, select_tasks
from roi_bench.harness.run_record import (
    doubt_lines,
    doubts,
    fingerprint,
    is_exam_result,
    model_files,
    no_answer_lines,
    run_digest,
    run_header,
    table_rows,
    trial_lines,
)
from roi_bench.records.journal import HEADER_BEGIN, read_journal
from roi_bench.records.results import NO_RESPONSE, PART, find_results, read_results
from roi_bench.scoring.metrics import NO_ANSWER
from roi_bench.scoring.statistics import Estimate
from tests.harness.harness_runs import simple_evaluate
from tests.harness.random_model import CHAT_TEMPLATE, random_model, save_random_model
from tests.support.messages import shown_in, shows
from tests.support.roi_runs import HARD, MEDIUM, command, in_process, journal_in, results_in, results_path, samples_in
from tests.support.warm_process import run as run_process

__all__ = ["random_model"]


COUNTED = ("tokens", "budget", "truncated", "unanswered")
"""What depends on token counts: plain lm_eval has to count the text again, and this model's text is noise."""


@pytest.fixture(scope="module")
def finished(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a finished run of two tasks."""
    output = tmp_path_factory.mktemp("finished")
    run(command(random_model, output, tasks=f"{HARD},{MEDIUM}"))
    return output


def test_the_numbers_are_those_of_plain_lm_eval(random_model: Path, finished: Path) -> None:
    model_args = {"pretrained": str(random_model), "dtype": "float32"}
    plain = simple_evaluate(
        [HARD, MEDIUM], model="hf", model_args=model_args, metadata=None, limit=4, batch_size=3, device="cpu"
    )
    ours = results_in(finished)
    for task in (HARD, MEDIUM):
        assert [name for sample in plain["samples"][task] for name in sample if name.endswith("_stderr")] == []
        assert [sample["doc"]["read"] for sample in plain["samples"][task]]
        assert [sample["resps"] for sample in plain["samples"][task]] == [
            sample["resps"] for sample in samples_in(finished, task)
        ]
        for key, value in plain["results"][task].items():
            if not any(part in key for part in (*COUNTED, "_stderr_stderr")):
                assert ours["results"][task][key] == value, key
    for key in ("model", "model_args", "batch_size", "limit", "torch_seed", "model_num_parameters"):
        assert key in ours["config"], key
    assert (ours["config"]["model"], ours["model_source"]) == ("hf", "hf")
    assert ours["model_name"] == str(random_model)
    assert set(ours["task_hashes"]) == {HARD, MEDIUM}


def test_usage_stands_beside_every_sample_and_the_record_can_be_read_back(finished: Path) -> None:
    _, recorded = read_journal(journal_in(finished))
    assert len(recorded) == 3 * 4  # hard, medium and one shared easy order
    known = {(entry.extra["exam"], entry.extra["order"]): entry for entry in recorded.values()}
    (hard, medium) = sorted(read_results(results_path(finished)), key=lambda task: task.name)
    for task, order in ((hard, "hard"), (medium, "medium")):
        for document in task.documents:
            for (response,), asked in zip(document.requests, (order, "easy"), strict=True):
                entry = known[document.id, asked]
                assert (response.text, response.usage) == (entry.response, entry.usage)
                assert entry.usage is not None
                assert entry.usage.source == "generated"
                assert 0 < entry.usage.tokens <= 128
                assert (entry.usage.finish_reason == "length") >= (entry.usage.tokens == 0)
    assert {entry.usage.finish_reason for entry in recorded.values() if entry.usage} == {"stop", "length"}
    tokens = [known[document.id, "hard"].usage.tokens for document in hard.documents]  # type: ignore[union-attr]
    assert results_in(finished)["results"][HARD]["tokens,none"] == pytest.approx(sum(tokens) / 4)


def test_samples_hold_the_outcome_and_the_answer_read_of_each_problem_and_no_empty_errors(finished: Path) -> None:
    for sample in samples_in(finished):
        assert [[len(response) for response in order] for order in sample["read"]] == [[3], [3]]
        (own,), (easy,) = sample["read"]
        assert [one["problem"] for one in own] == sample["doc"]["problem_ids"]
        assert sum(one["outcome"] == "unanswered" for one in own) / 3 == pytest.approx(sample["unanswered"])
        assert all((one["answer"] is None) <= ("seen" in one) for one in (*own, *easy))
        assert [name for name in sample if name.endswith("_stderr")] == []
        assert set(sample["metrics"]) <= set(sample)
        assert "read" not in sample["doc"]
    assert [name for name in results_in(finished)["results"][HARD] if "_stderr_stderr" in name] == []


def test_a_finished_run_is_not_asked_again_unless_told_so(random_model: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run(command(random_model, tmp_path, limit=2))
    before = journal_in(tmp_path).read_bytes()
    assert len(list(tmp_path.rglob("results_*.json"))) == 2
    run(command(random_model, tmp_path, "--no-resume", limit=2))
    assert journal_in(tmp_path).read_bytes() == before
    (superseded,) = tmp_path.rglob("superseded-1-journal-*.jsonl")
    assert superseded.read_bytes() == before
    scores = [json.loads(path.read_text())["results"] for path in tmp_path.rglob("results_*.json")]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.slow
def test_a_paraphrase_is_asked_for_itself_in_the_same_journal_and_known_again(
    random_model: Path, tmp_path: Path
) -> None:
    run(command(random_model, tmp_path, limit=2))
    run(command(random_model, tmp_path, "--metadata", json.dumps({"paraphrase": 1}), limit=2))
    (journal,) = tmp_path.rglob("journal-*.jsonl")
    assert len(read_journal(journal)[1]) == 8  # two exams, two orders, two prompts
    found = sorted(
        (task.record.paraphrase, task.record.deviations)
        for path in find_results(tmp_path)
        for task in read_results(path)
    )
    assert found == [(0, ()), (1, ("paraphrase=1",))]


def test_two_processes_share_the_work_and_give_the_numbers_of_one(random_model: Path, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("from roi_bench.cli.main import main\nmain()\n")
    one, two = (
        [*command(random_model, tmp_path / name, limit=5), "--batch_size", "1"]  # no padding: the same numbers exactly
        for name in ("one", "two")
    )
    run(one)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(tmp_path / "main.py"), "run"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for _ in range(2):
        done = subprocess.run([*launch, *two], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert results_in(tmp_path / "two")["results"] == results_in(tmp_path / "one")["results"]
        journals = sorted((tmp_path / "two").rglob("journal-*.jsonl"))
        assert [len(read_journal(path)[1]) for path in journals] == [6, 4]
        assert {key for path in journals for key in read_journal(path)[1]} == set(
            read_journal(journal_in(tmp_path / "one"))[1]
        )
        by_exam = [sorted(samples_in(tmp_path / name), key=lambda sample: sample["doc_id"]) for name in ("one", "two")]
        assert by_exam[0] == by_exam[1]
        journals[1].rename(journals[1].with_name("x"))  # the second time: one process's work is gone
        journals[1].with_name("x").unlink()


def test_templates_instructions_and_the_cache_work_as_in_lm_eval(tmp_path: Path) -> None:
    model = save_random_model(tmp_path / "chat", CHAT_TEMPLATE)
    cache = str(tmp_path / "cache")
    for output in ("first", "second"):
        run(
            [
                *command(
                    model, tmp_path / output, "--apply_chat_template", "--system_instruction", "Be brief.", limit=2
                ),
                *("--use_cache", cache),
            ]
        )
    first, second = (samples_in(tmp_path / name) for name in ("first", "second"))
    prompt = first[0]["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.startswith("<|system|>Be brief.\n\nAnswer the three problems")
    assert prompt.endswith("<|assistant|>")
    assert results_in(tmp_path / "first")["chat_template"] == CHAT_TEMPLATE
    assert first == second  # usage included, though the second run had every response from lm_eval's cache
    assert all(usage for sample in second for (usage,) in sample["usage"])
    assert read_journal(journal_in(tmp_path / "second"))[1] == {}


def test_another_checkpoint_in_the_same_folder_is_another_run(tmp_path: Path) -> None:
    model = save_random_model(tmp_path / "model")
    run(command(model, tmp_path / "out", limit=1))
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    run(command(model, tmp_path / "out", limit=1))
    assert len(list((tmp_path / "out").rglob("journal-*.jsonl"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [(), ("--gen_kwargs", "do_sample=true,temperature=1.0")])
def test_a_killed_run_resumes_and_equals_an_uninterrupted_one(
    random_model: Path, tmp_path: Path, sampling: tuple[str, ...]
) -> None:
    arguments = {"tasks": f"{HARD},{MEDIUM}", "limit": 6}
    repeats = ("--metadata", "repeats=2", *sampling) if sampling else ()
    run(command(random_model, tmp_path / "whole", *repeats, **arguments))  # type: ignore[arg-type]
    broken = command(random_model, tmp_path / "broken", *repeats, **arguments)  # type: ignore[arg-type]
    child = in_process(broken)
    while not (found := list((tmp_path / "broken").rglob("journal-*.jsonl"))) or found[0].read_bytes().count(b"\n") < 9:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not list((tmp_path / "broken").rglob("results_*.json"))
    before = journal_in(tmp_path / "broken").read_bytes()
    assert before.count(b"\n") < 1 + 36
    run(broken)
    after = journal_in(tmp_path / "broken").read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    for task in (HARD, MEDIUM):
        assert samples_in(tmp_path / "broken", task) == samples_in(tmp_path / "whole", task)
    assert results_in(tmp_path / "broken")["results"] == results_in(tmp_path / "whole")["results"]
    whole = journal_in(tmp_path / "whole").read_bytes()
    lines = [[line for line in text.splitlines() if not line.startswith(HEADER_BEGIN)] for text in (after, whole)]
    assert sorted(lines[0]) == sorted(lines[1])
    resumed = [results_in(tmp_path / name)["roi_bench"]["resumed"] for name in ("whole", "broken")]
    assert resumed == [False, True]


def test_ctrl_c_says_how_to_go_on(random_model: Path, tmp_path: Path) -> None:
    child = in_process(command(random_model, tmp_path, limit=480))
    while not (found := list(tmp_path.rglob("journal-*.jsonl"))) or found[0].read_bytes().count(b"\n") < 7:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate()
    assert child.returncode == 130
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("roi-bench: ")
    assert shown_in(last, len(read_journal(found[0])[1]), found[0])
    assert "Traceback" not in stderr


def test_a_second_run_on_the_same_folder_is_refused(random_model: Path, tmp_path: Path) -> None:
    child = in_process(command(random_model, tmp_path, limit=480))
    try:
        while not (found := list(tmp_path.rglob("journal-*.jsonl"))) or not found[0].stat().st_size:
            assert child.poll() is None, child.communicate()
            time.sleep(0.02)
        with pytest.raises(RecordError, match=shows(found[0], child.pid)):
            run(command(random_model, tmp_path, limit=480))
    finally:
        child.kill()
        child.communicate()


def test_a_full_disk_loses_nothing_and_resumes(random_model: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from roi_bench.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); main()"
    )
    arguments = command(random_model, tmp_path, limit=20)
    child = run_process(["-c", code, "run", *arguments], {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    assert child.returncode == RecordError.exit_code
    assert shown_in(child.stderr.splitlines()[-1], journal_in(tmp_path), "File too large")
    before = journal_in(tmp_path).read_bytes()
    assert 3 < len(read_journal(journal_in(tmp_path))[1]) < 40
    run(arguments)
    assert journal_in(tmp_path).read_bytes().startswith(before)


def test_results_that_cannot_be_written_are_an_error(random_model: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from roi_bench.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); main()"
    )
    arguments = command(random_model, tmp_path, limit=3)
    child = run_process(["-c", code, "run", *arguments], {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    assert child.returncode == RecordError.exit_code, child.stderr[-2000:]
    assert shown_in(child.stderr.splitlines()[-1], journal_in(tmp_path).parent, "File too large", "journal")
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {journal_in(tmp_path).name, f"{journal_in(tmp_path).name}.lock"}
    run(arguments)
    assert len(samples_in(tmp_path)) == 3
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {journal_in(tmp_path).parent}


def test_what_a_kill_left_of_results_that_were_being_written_is_no_result(finished: Path, tmp_path: Path) -> None:
    path = results_path(finished)
    part = tmp_path / f"{PART}123" / "model" / path.name
    part.parent.mkdir(parents=True)
    part.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=shows(tmp_path)):
        find_results(tmp_path)


def test_greedy_repeats_are_refused_before_a_model_is_loaded(random_model: Path, tmp_path: Path) -> None:
    arguments = [*command(random_model / "none", tmp_path), "--metadata", "repeats=3"]
    with pytest.raises(UsageError, match=shows(HARD, 3, "repeats", "--gen_kwargs")):
        run(arguments)
    with pytest.raises(ModelError, match=shows(random_model / "none")):
        run([*arguments, "--gen_kwargs", "temperature=0.5"])
    with pytest.raises(ModelError, match=shows(random_model / "none")):
        run(command(random_model / "none", tmp_path, "--metadata", "repeats=3", tasks="roi_tiny_solo_128"))  # sampled


def test_results_named_by_a_file_are_understood_by_regrade(random_model: Path, tmp_path: Path) -> None:
    run(command(random_model, tmp_path / "res.json", limit=1))
    assert [path.name.split("_")[0] for path in find_results(tmp_path)] == ["res"]
    for named in (tmp_path, tmp_path / "res.json"):
        done = CliRunner().invoke(cli, ["regrade", str(named)])
        assert done.exit_code == 0, done.output


def test_out_of_memory_says_how_to_go_on(random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, left = huggingface.generate, [1, 0]

    def exhausted(*args: Any, **kwargs: Any) -> Any:
        if not left.pop(0):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.\nMore.")
        return generate(*args, **kwargs)

    monkeypatch.setattr(huggingface, "generate", exhausted)
    with pytest.raises(ModelError, match=r"\b3\b.*out of memory.*journal-.*\b3\b.*--batch_size\D* 1\b"):
        run(command(random_model, tmp_path))
    monkeypatch.undo()
    run([*command(random_model, tmp_path), "--batch_size", "2"])
    assert len(read_journal(journal_in(tmp_path))[1]) == 8


def test_a_server_that_is_not_there_is_named_and_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # lm_eval waits between its attempts
    nowhere = ("--model", "gguf", "--model_args", "base_url=http://127.0.0.1:9", "--tasks", HARD, "--limit", "1")
    with pytest.raises(ModelError, match=shows("base_url", 0)) as caught:
        run([*nowhere, "--output_path", str(tmp_path)])
    assert str(journal_in(tmp_path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_responses_make_the_run_incomplete_and_are_asked_again(tmp_path: Path) -> None:
    recording = tmp_path / "responses.jsonl"
    lines = [
        {"exam": f"tiny/0/{k:03d}", "order": order, "response": None if (k, order) == (1, "easy") else "nothing"}
        for k in range(3)
        for order in ("easy", "hard")
    ]
    recording.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = [
        *("--model", "roi-playback", "--model_args", f"responses={recording}", "--tasks", HARD, "--limit", "3"),
        *("--output_path", str(tmp_path / "out")),
    ]
    for asked in (1, 2):
        with pytest.raises(ModelError, match=shows(1)):
            run(arguments)
        texts = [text for sample in samples_in(tmp_path / "out") for request in sample["resps"] for text in request]
        assert texts == ["nothing"] * 3 + [NO_RESPONSE] + ["nothing"] * 2
        assert [sample["usage"] for sample in samples_in(tmp_path / "out")] == [[[None], [None]]] * 3
        assert results_in(tmp_path / "out")["results"][HARD]["error,none"] == pytest.approx(1 / 3)
        nulls = journal_in(tmp_path / "out").read_bytes().count(b'"response": null')
        assert nulls == asked


BAD_INPUT: list[tuple[type[RoiBenchError], str, list[str]]] = [
    (UsageError, "'roi_tiny_hrad_128'.*'roi_tiny_hard_128'", ["--tasks", "roi_tiny_hrad_128"]),
    (
        UsageError,
        "'roi_tiny_hard_99'.*--tasks roi_tiny_hard_128 --metadata .*99",
        ["--tasks", "roi_tiny_hard_99"],
    ),
    (UsageError, "'vlm'.*'vllm'", ["--model", "vlm"]),
    (UsageError, "'--temperature'", ["--temperature", "1"]),
    (UsageError, r"--limit\b.*\b0\b", ["--limit", "0"]),
    (UsageError, "--limit.*'x'", ["--limit", "x"]),
    (UsageError, r"--seed\b.*\ba\b", ["--seed", "a"]),
    (UsageError, r"--num_fewshot\b.*\b2\b", ["--num_fewshot", "2"]),
    (UsageError, r"--model_args\b.*\bpretrained\b", ["--model_args", "pretrained"]),
    (UsageError, r"budget\b.*'many'", ["--metadata", "budget=many"]),
    (UsageError, "'hf'.*no_such_argument", ["--model_args", "pretrained={model},no_such_argument=1"]),
    (ModelError, "'hf' pretrained=/no/such/folder", ["--model_args", "pretrained=/no/such/folder"]),
    (ModelError, "--apply_chat_template", ["--apply_chat_template"]),
    (UsageError, r"dtype=float31\b.*\bbfloat16\b", ["--model_args", "pretrained={model},dtype=float31"]),
    (UsageError, "'local-chat-completions'.*--apply_chat_template", ["--model", "local-chat-completions"]),
    (ModelError, r"\b2000\b.*\b2048\b", ["--metadata", "budget=2000"]),
    (RecordError, r"/no/such\.yaml", ["--config", "/no/such.yaml"]),
    (DependencyError, "'vllm'", ["--model", "vllm"]),
]


@pytest.mark.parametrize(("kind", "message", "changes"), BAD_INPUT, ids=[row[2][-1] for row in BAD_INPUT])
def test_bad_input_is_one_clear_line(
    random_model: Path, tmp_path: Path, kind: type[RoiBenchError], message: str, changes: list[str]
) -> None:
    arguments = command(random_model, tmp_path / "out", limit=1)
    if changes[0] in arguments:
        at = arguments.index(changes[0])
        del arguments[at : at + 2]
    with pytest.raises(RoiBenchError, match=message) as caught:
        run([*arguments, *(change.format(model=random_model) for change in changes)])
    assert isinstance(caught.value, kind | UsageError)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("results_*.json"))


def test_a_missing_pool_ends_the_run_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError):
        run(command(tmp_path / "no_such_model", tmp_path / "out", tasks="roi_exam_hard_512"))


def test_help_and_defaults() -> None:
    shown = CliRunner().invoke(run_command, ["--help"])
    assert shown.exit_code == 0
    assert "usage: roi-bench run" in shown.output
    for option in ("--tasks", "--model_args", "--no-resume", "--use_cache", "--metadata"):
        assert option in shown.output
    parsed = parse_arguments(["--tasks", HARD])
    assert (parsed.resume, parsed.config.output_path, parsed.config.log_samples) == (True, DEFAULT_OUTPUT, True)
    assert not parse_arguments(["--tasks", HARD, "--no-resume"]).resume
    with pytest.raises(UsageError, match="--tasks"):
        parse_arguments([])


def test_a_configuration_file_serves_as_in_lm_eval(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        f"tasks: [{HARD}]\nmodel: roi-playback\nmodel_args: {{responses: x}}\noutput_path: there\nlimit: 3\n"
    )
    config = parse_arguments(["--config", str(path), "--limit", "5"]).config
    assert (config.tasks, config.model, config.limit, config.output_path) == ([HARD], "roi-playback", 5, "there")
    path.write_text(f"tasks: [{HARD}]\n")
    assert parse_arguments(["--config", str(path)]).config.output_path == DEFAULT_OUTPUT


def test_our_tasks_are_found_without_the_built_in_index(tmp_path: Path) -> None:
    manager, selected = select_tasks(["roi_tiny_*_128", HARD], None, {})
    assert sorted(selected) == [HARD, MEDIUM, "roi_tiny_solo_128"]
    assert all(name.startswith("roi_") for name in manager.all_tasks)
    assert [task.task_name for task in load_tasks(manager, selected)] == selected
    (tmp_path / "mine.yaml").write_text(f"include: {manager.task_index[HARD].yaml_path}\ntask: mine\n")
    assert select_tasks(["mine"], str(tmp_path), {})[1] == ["mine"]
    assert len(select_tasks([str(tmp_path / "mine.yaml")], None, {})[1]) == 1
    assert len(select_tasks([str(tmp_path)], None, {})[1]) == 1
    manager, selected = select_tasks(["roi_tiny", HARD], None, {})
    with pytest.raises(UsageError, match=HARD):
        load_tasks(manager, selected)


@pytest.mark.slow
def test_a_built_in_task_is_found_in_the_full_index() -> None:
    _, selected = select_tasks([HARD, "arc_easy"], None, {})
    assert selected == [HARD, "arc_easy"]
    with pytest.raises(UsageError, match=shows("'arc_eazy'", "'arc_easy'")):
        select_tasks(["arc_eazy"], None, {})


def test_the_identity_of_a_run(tmp_path: Path) -> None:
    engine: Any = SimpleNamespace(identity=None, facts={"name": "hf", "batch_size": 3}, lm=object())

    def digest(model_args: dict[str, Any], seed: int | None = 1, about: str = "") -> str:
        return run_digest(run_header("hf", model_args, engine, seed, {"about": about}))

    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}, about="other")
    assert len({digest({"a": 1}), digest({"a": 2}), digest({"a": 1}, seed=2), digest({"a": 1}, seed=None)}) == 4
    header = run_header("api", {"api_key": "secret"}, engine, None, {})
    assert "secret" not in str(header)
    assert header.about["engine"] == engine.facts
    settings = SimpleNamespace(identity={"model": "m"}, facts={"name": "api"}, lm=object())
    assert run_header("api", {"max_usd": 1}, settings, None, {}).run["model_args"] == {"model": "m"}
    model = tmp_path / "model"
    model.mkdir()
    (model / "large").write_bytes(bytes(6_000_000))
    before = fingerprint(model)
    assert model_files({"pretrained": str(model), "dtype": "auto"}, object()) == {"pretrained": before}
    os.utime(model / "large")
    assert fingerprint(model) == before
    (model / "large").write_bytes(bytes(3_000_000) + b"x" + bytes(2_999_999))
    assert fingerprint(model) != before


def test_the_compact_table() -> None:
    values = {"score": 1.234, "regret": "N/A", "score_easy": 2.0, "p1_acc": 0.5, "tokens": 99.6}
    task = {f"{name},none": value for name, value in values.items()}
    task |= {"score_stderr,none": 0.056, "alias": " roi_x [budget=9]", "sample_len": 30}
    rows = table_rows({"roi_x": task, "other": {"acc,none": 1.0}})
    assert rows == [
        ["roi_x [budget=9]", "30", "1.23±0.06", "n/a", "2.00", "0.50", *["n/a"] * 5, "100"],
    ]
    task |= {"score_stderr,none": 0.0, "unanswered,none": 0.25, "empty,none": 0.5}
    row = table_rows({"roi_x": task})[0]
    assert (row[2], row[-2]) == ("1.23", "0.75")  # all exams agree: nothing says how certain that is
    assert not is_exam_result({"acc,none": 1.0})


def read(*seen: str | None) -> dict[str, Any]:
    """Return a logged sample of one response, of whose problems so much was seen; None: a wrong answer."""
    problems = [
        {"outcome": "wrong", "answer": "1"} if s is None else {"outcome": "unanswered", "seen": s} for s in seen
    ]
    return {"read": [[problems], [problems]]}


def test_problems_without_an_answer_are_explained_where_they_are_many(tmp_path: Path) -> None:
    few = [read(None, None, None), read("no_box", "na", "na"), read(None, None, None)]
    many = [read("no_header", "no_header", "no_header"), read("cut_off", None, "na"), {"other": 1}]
    lost = [{"read": [[[{"outcome": "error", "answer": None, "seen": "nothing"}]]]}]
    lines = no_answer_lines({"roi_x": few, "roi_y": many, "roi_z": lost, "mmlu": [{"resps": []}]}, tmp_path / "a b")
    assert len(lines) == 1
    assert shown_in(lines[0], "roi_y", "67 %", f"{NO_ANSWER['no_header']} 50 %", f"{NO_ANSWER['cut_off']} 17 %")
    assert f"roi-bench view '{tmp_path / 'a b'}'" in lines[0]


def test_few_exams_are_for_trying_only() -> None:
    counts = {name: {"original": 480} for name in ("roi_x", "roi_y", "roi_z")}
    found = {"roi_x": (29, 29), "roi_y": (30, 5), "roi_z": (480, 4)}
    estimates = {name: Estimate(1.0, 0.1, 0.1, *sizes) for name, sizes in found.items()}
    (line,) = trial_lines(counts, estimates)
    assert shown_in(line, "roi_x 29 of 480", "roi_z 480 of 480")
    assert "roi_y" not in line
    assert trial_lines(counts, {"roi_y": estimates["roi_y"]}) == []


def test_an_ascii_locale_gets_its_table(random_model: Path, tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "LANG": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "roi_bench", "run", *command(random_model, tmp_path, limit=1)],
        env={**os.environ, **ascii_only},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shown_in(done.stdout.decode("utf-8"), HARD, str(results_path(tmp_path)))


# ------------------------------------------------------------------------------------------------------------ doubts
def sampled(texts: list[list[str]], usage: list[list[tuple[int, str] | None]], **generation: Any) -> dict[str, Any]:
    """Return a logged sample of two requests with a budget of 100."""
    return {
        "arguments": [("a prompt", {"max_gen_toks": 100, **generation})] * len(texts),
        "usage": [
            [
                None if used is None else {"tokens": used[0], "finish_reason": used[1], "source": "generated"}
                for used in request
            ]
            for request in usage
        ],
        "resps": texts,
    }


def test_what_makes_a_run_doubtful_is_counted() -> None:
    fine = sampled([["a"], ["b"]], [[(100, "length")], [(30, "stop")]])
    short = sampled([["a"], ["b"]], [[(94, "length")], [(95, "length")]])
    over = sampled([["a"], ["b"]], [[(101, "stop")], [None]])
    other = {"arguments": [("a", "b")], "usage": [[None]], "resps": [["c"]]}
    assert doubts({"roi_x": [fine], "mmlu": [other]}) == {}
    found = doubts({"roi_x": [fine, short, over], "roi_y": [fine]})
    assert found == {"roi_x": {"responses": 6, "cut_below_budget": 1, "over_budget": 1}}
    lines = doubt_lines(found)
    assert len(lines) == 2
    assert all(shown_in(line, "roi_x", "1", "6") for line in lines)


def test_samples_that_do_not_differ_are_a_doubt_only_if_all_are_so_and_were_drawn() -> None:
    pair: list[list[tuple[int, str] | None]] = [[(9, "stop")] * 2] * 2
    equal = sampled([["a", "a"], ["b", "b"]], pair, do_sample=True)
    differ = sampled([["a", "a"], ["b", "c"]], pair, do_sample=True)
    assert doubts({"roi_x": [equal, equal]}) == {"roi_x": {"responses": 8, "equal_samples": 8}}
    assert doubts({"roi_x": [equal, differ]}) == {}
    assert doubts({"roi_x": [sampled([["a", "a"], ["b", "b"]], pair)]}) == {}
    assert doubts({"roi_x": [sampled([[" ", " "], [" ", " "]], pair, do_sample=True)]}) == {}


def test_responses_without_text_that_were_not_cut_are_a_doubt() -> None:
    silent = sampled([["", ""], ["", NO_RESPONSE]], [[(9, "stop"), (100, "length")], [None, None]])
    assert doubts({"roi_x": [silent]}) == {"roi_x": {"responses": 4, "no_text": 2}}


def test_a_run_that_cannot_grade_says_what_is_kept(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise DependencyError("no checker here")

    monkeypatch.setattr("roi_bench.harness.task.shared_grader", broken)
    with pytest.raises(DependencyError, match=shows("no checker here", "journal-", 4, "same command")):
        run(command(random_model, tmp_path, limit=2))
    monkeypatch.undo()
    run(command(random_model, tmp_path, limit=2))
    assert len(samples_in(tmp_path)) == 2
