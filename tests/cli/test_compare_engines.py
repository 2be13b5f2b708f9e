"""``roi-bench compare-engines`` on results files: what it prints, what it refuses, and that it shows no text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from roi_bench.cli.main import main
from roi_bench.exams.tiny import model_path, tiny_exams
from roi_bench.harness.run import run
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import read_journal
from tests.api.exam_answers import answer_exam
from tests.api.provider_server import ProviderServer
from tests.support.exam_factory import respond
from tests.support.messages import missing
from tests.support.results import TASK, sample, write

EXAMS = tiny_exams(0, 4)
PROMPT, WORK = "marker-of-a-prompt", "marker-of-a-response"


def texts_of(index: int) -> list[str]:
    """The right responses to an exam, in hard and in easy order."""
    exam = EXAMS[index]
    return [respond([p.answer for p in exam.ordered(order)], work=WORK) for order in ("hard", "easy")]


def written(
    folder: Path,
    engine: dict[str, Any] | None = None,
    texts: dict[int, list[str]] | None = None,
    *,
    exams: range = range(4),
    tokens: int = 40,
    source: str = "generated",
    top: dict[str, Any] | None = None,
    prompt: Any = PROMPT,
    **changes: Any,
) -> Path:
    """A results folder of a run that answers everything right, but for ``texts``; every response counted alike."""
    folder.mkdir(parents=True)
    usage = [[{"tokens": tokens, "finish_reason": "stop", "source": source}]] * 2
    samples = []
    for index in exams:
        prompts = {f"gen_args_{k}": {"arg_0": prompt and f"{prompt} {index} {k}", "arg_1": {}} for k in (0, 1)}
        given = (texts or {}).get(index) or texts_of(index)
        samples.append(
            sample(
                EXAMS[index].id, *([text] for text in given), usage=usage, arguments=prompts, prompt_tokens=[[9], [9]]
            )
        )
    path = write(folder, samples, **{"reading_rule": READING_RULE, "tokenizer": str(model_path()), **changes})
    results = json.loads(path.read_text(encoding="utf-8"))
    recorded = {} if engine is None else {"roi_bench": {"engine": engine}}
    path.write_text(json.dumps({**results, **recorded, **(top or {})}), encoding="utf-8")
    return folder


def compare(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare-engines", *map(str, arguments), "--workers", "1"])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


HF, VLLM = {"name": "hf", "version": "5.1", "batch_size": 1}, {"name": "vllm", "version": "0.3", "batch_size": 64}


def test_what_two_engines_have_in_common_is_told(tmp_path, capsys):
    wrong = [texts_of(2)[0].rpartition("{")[0] + "{-1}", texts_of(2)[1]]
    seconds = {"total_evaluation_time_seconds": "16.0"}
    reference = written(tmp_path / "hf", HF, top=seconds)
    other = written(tmp_path / "vllm", VLLM, {2: wrong}, tokens=41)
    eight = written(tmp_path / "hf8", {**HF, "batch_size": 8})
    out = tmp_path / "tables"
    code, printed, told = compare(capsys, reference, other, eight, "--out", out)
    assert code == 0, told
    first, second = table(out, "engine_agreement")
    assert (first["run A"], first["run B"], first["differ in"]) == ("hf [batch_size=1]", "vllm", "engine, batch_size")
    assert (first["n"], float(first["equal texts"]), float(first["equal token counts"])) == ("8", 7 / 8, 0)
    assert (float(first["equal outcomes"]), first["equal prompts"]) == (7 / 8, "4 of 4")
    assert float(first["equal prompt tokens"]) == 1
    assert (second["differ in"], float(second["equal texts"])) == ("batch_size", 1)
    hard = table(out, "engine_scores")[0]
    # one point lost in four exams: -0.25 with half width t(0.975, 3) · 0.25 = 3.182446 · 0.25
    assert float(hard["B − A"]) == -0.25
    assert float(hard["B − A_low"]) == pytest.approx(-0.25 - 3.182446 * 0.25, abs=1e-6)
    assert (hard["n"], hard["difference"]) == ("4", "within the noise")
    noise = {row["between"]: float(row["equal texts, lowest and highest pair"]) for row in table(out, "engine_noise")}
    assert noise == {"two engines": 7 / 8, "one engine, two batch sizes": 1}
    slow = table(out, "engine_lengths")[0]
    assert (float(slow["seconds"]), float(slow["tokens a second"])) == (16.0, 8 * 40 / 16)
    assert len(table(out, "engine_responses")) == 16
    (row,) = (row for row in table(out, "engine_responses") if row["text"] == "differs")
    assert (row["exam"], row["order"]) == (EXAMS[2].id, "hard")
    assert row["parting character"] == str(texts_of(2)[0].rindex("{") + 1)
    assert "Every response" not in printed
    assert "--per-exam" in told


def test_every_response_is_printed_on_request_and_no_text_ever(tmp_path, capsys):
    paths = [written(tmp_path / name, engine) for name, engine in (("a", HF), ("b", VLLM))]
    for style in ("text", "markdown"):
        code, printed, told = compare(capsys, *paths, "--per-exam", "--format", style, "--out", tmp_path / style)
        assert code == 0
        assert printed.count(EXAMS[0].id.replace("_", "\\_")) == 2
        files = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / style).iterdir())
        for text in (printed, told, files):
            assert PROMPT not in text
            assert WORK not in text


def test_older_files_say_what_they_can(tmp_path, capsys):
    config = {"config": {"model": "hf", "batch_size": 4, "model_dtype": "torch.float32"}}
    old = written(tmp_path / "old", None, top={**config, "transformers_version": "4.60.0"}, prompt=None)
    code, printed, _ = compare(capsys, old, written(tmp_path / "new", VLLM, tokenizer=None))
    assert code == 0
    assert "4.60.0" in printed
    assert "not recorded" in printed


def test_messages_are_no_other_prompt(tmp_path, capsys):
    local = written(tmp_path / "a", HF, sent_as="chat template", chat_template_sha256="a" * 64)
    served = written(tmp_path / "b", {"name": "api"}, sent_as="messages", prompt='[{"role": "user"}]')
    out = tmp_path / "out"
    code, _, told = compare(capsys, local, served, "--out", out)
    assert code == 0, told
    assert table(out, "engine_agreement")[0]["equal prompts"] == "sent as messages"


def test_exams_that_only_one_has_are_told(tmp_path, capsys):
    paths = [
        written(tmp_path / "a", HF, exams=range(3)),
        written(tmp_path / "b", VLLM, exams=range(1, 4)),
    ]
    code, printed, told = compare(capsys, *paths)
    assert code == 0
    assert missing(["hf 3, vllm 3", 2], told) == []
    assert " 4        0  1.000" in printed  # n, missing, equal texts


def test_speed_is_unknown_where_a_run_was_resumed_or_did_more(tmp_path, capsys):
    took = {"total_evaluation_time_seconds": "10"}
    resumed = written(tmp_path / "a", HF, top={**took, "roi_bench": {"engine": HF, "resumed": True}})
    counted = written(tmp_path / "b", VLLM, top=took)
    played = written(tmp_path / "c", {"name": "playback"}, top=took, source="retokenized")  # nothing was generated
    out = tmp_path / "out"
    assert compare(capsys, resumed, counted, played, "--out", out)[0] == 0
    assert [row["tokens a second"] for row in table(out, "engine_lengths")] == ["", "32.0", ""]
    assert [row["counted"] for row in table(out, "engine_lengths")] == ["8", "8", "0"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, printed, told = compare(capsys, *arguments)
    assert (code, printed) == (2, "")
    assert "Traceback" not in told
    return told.splitlines()[-1]


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, capsys):
    one = written(tmp_path / "one", HF)
    assert missing(["two runs"], refused(capsys, one)) == []
    results = one / "results_2026-01-02.json"
    assert missing([one, results.name], refused(capsys, one, one)) == []
    assert missing([results, results.name, one], refused(capsys, one, results)) == []
    assert missing([tmp_path / "nowhere", "results_*.json"], refused(capsys, one, tmp_path / "nowhere")) == []
    tight = written(tmp_path / "budget", VLLM, budget=256)
    assert missing([tight / results.name, "budget 256"], refused(capsys, one, tight)) == []
    apart = written(tmp_path / "apart", VLLM, exams=range(2, 4))
    few = written(tmp_path / "few", HF, exams=range(2))
    assert missing([apart / results.name, "no exam", TASK], refused(capsys, few, apart)) == []
    sampled = written(tmp_path / "sampled", VLLM)
    path = sampled / "results_2026-01-02.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["configs"][TASK]["generation_kwargs"] = {"do_sample": True, "temperature": 0.7}
    path.write_text(json.dumps(results), encoding="utf-8")
    assert missing(["temperature 0.7", "--allow-sampled"], refused(capsys, one, sampled)) == []
    assert missing(["temperature 0.7", "greedy"], refused(capsys, one, sampled, "--allow-sampled")) == []
    both = written(tmp_path / "both" / "a", HF).parent
    written(both / "b", VLLM)
    assert missing([both, TASK, "twice"], refused(capsys, one, both)) == []


def test_a_task_that_only_one_has_is_left_out_or_refused(tmp_path, capsys):
    one, other = written(tmp_path / "one", HF), written(tmp_path / "other", VLLM)
    (path,) = other.glob("results_*.json")
    text = path.read_text(encoding="utf-8").replace(TASK, "roi_tiny_hard_128_x")
    path.write_text(text, encoding="utf-8")
    (samples,) = other.glob("samples_*")
    samples.rename(samples.with_name(samples.name.replace(TASK, "roi_tiny_hard_128_x")))
    assert missing(["hf: roi_tiny_hard_128", "vllm: roi_tiny_hard_128_x"], refused(capsys, one, other)) == []
    code, _, told = compare(capsys, one, other, written(tmp_path / "third", {"name": "api"}))
    (line,) = (line for line in told.splitlines() if "roi_tiny_hard_128_x" in line)
    assert (code, missing(["vllm"], line)) == (0, [])


def first_tokens(text: str, count: int) -> str:
    """The text without all but its first ``count`` tokens."""
    from roi_bench.records.tokenizer import load_token_counter

    return load_token_counter(str(model_path())).cut(text, count)[0]


def test_how_near_a_tie_texts_part_is_what_the_model_says(tmp_path, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = texts_of(0)[0]
    shorter = first_tokens(whole, 12)
    paths = [written(tmp_path / "a", HF), written(tmp_path / "b", VLLM, {0: [shorter, texts_of(0)[1]]})]
    out = tmp_path / "out"
    code, _, told = compare(capsys, *paths, "--logits", model_path(), "--out", out)
    assert code == 0, told
    (row,) = table(out, "engine_partings")
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    model = AutoModelForCausalLM.from_pretrained(model_path()).double()
    ids = tokenizer(f"{PROMPT} 0 0").input_ids + tokenizer(whole, add_special_tokens=False).input_ids[:12]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    best = sorted(range(len(logits)), key=lambda token: -float(logits[token]))[:2]
    assert row["parting token"] == "12"
    assert float(row["gap"]) == pytest.approx(float(logits[best[0]] - logits[best[1]]), abs=1e-4)
    assert [int(row["best token"]), int(row["second token"])] == best
    assert int(row["token A"]) == tokenizer(whole, add_special_tokens=False).input_ids[12]
    assert int(row["token B"]) == model.generation_config.eos_token_id  # the text ended by itself there
    (summary,) = table(out, "engine_gaps")
    assert (summary["parted"], summary["looked at"], summary["median gap"]) == ("1", "1", row["gap"])


def test_special_tokens_are_those_that_backends_add(tmp_path, capsys):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path())
    begin = tokenizer.convert_ids_to_tokens(5)
    tokenizer.bos_token = begin
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 5)])
    begins = tmp_path / "model"
    tokenizer.save_pretrained(begins)
    AutoModelForCausalLM.from_pretrained(model_path()).save_pretrained(begins)
    gaps = []
    for folder, model, prompt in (("a", begins, "x"), ("b", begins, f"{begin}x"), ("c", model_path(), "x")):
        shorter = [first_tokens(texts_of(0)[0], 12), texts_of(0)[1]]
        one = written(tmp_path / folder / "one", HF, prompt=prompt)
        two = written(tmp_path / folder / "two", VLLM, {0: shorter}, prompt=prompt)
        assert compare(capsys, one, two, "--logits", model, "--out", tmp_path / folder / "out")[0] == 0
        gaps.append(table(tmp_path / folder / "out", "engine_partings")[0]["gap"])
    assert gaps[0] == gaps[1] != gaps[2]  # the first token is added once, where it is not there yet


def test_a_prompt_that_nobody_has_as_text_is_not_looked_at(tmp_path, capsys):
    paths = [
        written(tmp_path / name, {"name": name}, texts, sent_as="messages")
        for name, texts in (("a", None), ("b", {0: ["x", "y"]}))
    ]
    out = tmp_path / "out"
    code, printed, _ = compare(capsys, *paths, "--logits", tmp_path / "no model", "--out", out)
    assert code == 0  # nothing to look at, so no model is loaded
    (summary,) = table(out, "engine_gaps")
    assert (summary["parted"], summary["looked at"]) == ("2", "0")
    assert "Where texts part" not in printed
    other = written(tmp_path / "c", HF, {1: ["x", "y"]})
    code, _, told = compare(capsys, other, paths[0], "--logits", tmp_path / "no model")
    assert code == 4
    assert "cannot load" in told.splitlines()[-1]


@pytest.mark.slow
def test_a_real_model_in_two_batch_sizes(tmp_path, capsys):
    for size in (1, 4):
        arguments = ["--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"]
        arguments += ["--batch_size", str(size), "--tasks", TASK, "--limit", "2"]
        run([*arguments, "--output_path", str(tmp_path / str(size))])
    capsys.readouterr()
    code, _, told = compare(capsys, tmp_path / "1", tmp_path / "4", "--out", tmp_path / "out")
    assert code == 0, told
    (pair,) = table(tmp_path / "out", "engine_agreement")
    assert (pair["run A"], pair["run B"]) == ("hf [batch_size=1]", "hf [batch_size=4]")
    assert (pair["differ in"], pair["equal prompts"], pair["n"]) == ("batch_size", "2 of 2", "4")
    for row in table(tmp_path / "out", "engine_lengths"):
        assert (row["counted"], float(row["as the tokenizer"])) == ("4", 1)
        assert float(row["tokens a second"]) > 0


@pytest.mark.slow
def test_a_server_that_is_sent_messages_beside_a_run_through_a_chat_template(tmp_path, capsys):
    with ProviderServer(answer_exam) as server:
        model = ["--model", "roi-api", "--model_args", f"model=a-model,base_url={server.url}"]
        run([*model, "--tasks", TASK, "--limit", "2", "--output_path", str(tmp_path / "api")])
    (journal,) = (tmp_path / "api").rglob("journal-*.jsonl")
    given = [entry for entry in read_journal(journal)[1].values() if entry.response is not None]
    lines = [{**{key: e.extra[key] for key in ("exam", "order")}, "response": e.response} for e in given]
    lines[0]["response"] = "something else"
    responses = tmp_path / "responses.jsonl"
    responses.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    model = ["--model", "roi-playback", "--model_args", f"responses={responses},tokenizer={model_path()}"]
    run([*model, "--apply_chat_template", "--tasks", TASK, "--limit", "2", "--output_path", str(tmp_path / "local")])
    capsys.readouterr()
    out = tmp_path / "out"
    code, _, told = compare(
        capsys, tmp_path / "api", tmp_path / "local", "--logits", model_path(), "--per-exam", "--out", out
    )
    assert code == 0, told
    (pair,) = table(out, "engine_agreement")
    assert (pair["equal prompts"], pair["n"], float(pair["equal texts"])) == ("sent as messages", "4", 3 / 4)
    (row,) = table(out, "engine_partings")
    assert (row["exam"], row["order"]) == (lines[0]["exam"], lines[0]["order"])
    assert [run["prompts sent as"].split(" ")[0] for run in table(out, "engine_runs")] == ["messages", "chat"]
