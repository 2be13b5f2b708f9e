"""``roi-bench exams``: what it prints, what it writes, and its exit codes."""

import json
import os
import re

import pytest

from roi_bench.cli.main import main
from roi_bench.exams.manifest import load_manifest
from roi_bench.exams.sets import find_exam
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import exam_messages, exam_prompt
from tests.support.messages import missing
from tests.support.pool_factory import write_pools

PARTIAL = {"gsm8k/training/0": None, "aime/evaluation/0": {"answer": "999"}}


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of ``roi-bench exams ARGUMENTS``."""
    with pytest.raises(SystemExit) as exit_:
        main(["exams", *map(str, arguments)])
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


def test_build_is_deterministic_and_says_whether_it_is_the_frozen_one(capsys, invented_pools, tmp_path):
    out = tmp_path / "exams.json"
    code, printed, err = run(capsys, "build", "--source", invented_pools, "--seed", "7", "--out", out)
    assert (code, printed, err.count("\n")) == (0, "", 1)
    assert missing(["different", "exams_v1.json"], err) == []
    assert len(json.loads(out.read_text())["exams"]) == 480
    assert run(capsys, "build", "--source", invented_pools, "--seed", "7")[1].encode() == out.read_bytes()
    assert run(capsys, "build", "--source", invented_pools, "--seed", "8")[1].encode() != out.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["exams.json"]


def test_build_leaves_the_old_file_where_it_cannot_write(capsys, invented_pools, tmp_path):
    out = tmp_path / "exams.json"
    out.write_text("old")
    (tmp_path / f".exams.json.{os.getpid()}.part").symlink_to("/dev/full")
    code, _, err = run(capsys, "build", "--source", invented_pools, "--out", out)
    assert (code, out.read_text()) == (1, "old")
    assert err.startswith("roi-bench: No space left on device")


def test_build_without_pools_names_the_file(capsys, tmp_path):
    code, out, err = run(capsys, "build", "--source", tmp_path)
    assert (code, out) == (3, "")
    assert missing([f"{tmp_path}/gsm8k/test.jsonl"], err) == []


def test_build_rebuilds_the_frozen_files(capsys, data_dir, tmp_path):
    out = tmp_path / "exams.json"
    assert missing(["the same", "exams_v1.json"], run(capsys, "build", "--source", data_dir, "--out", out)[2]) == []


def test_build_fresh_freezes_the_generator(capsys):
    code, out, err = run(capsys, "build", "--fresh")
    assert code == 0
    assert set(json.loads(out)) == {"reasoning_gym", "seed_0_sha256"}
    assert missing(["the same", "fresh_frozen.json"], err) == []
    assert run(capsys, "build", "--fresh", "--seed", "3")[0] == 2


def test_verify_real_pools(capsys, data_dir):
    code, out, err = run(capsys, "verify", "--source", data_dir)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert missing(["math/training", "7498"], next(line for line in lines if line.startswith("math/training"))) == []
    assert missing(["480 exams", "990 problems", "990 checked", "0 missing"], lines[-1]) == []


def test_verify_lists_what_differs(capsys, tmp_path):
    code, out, err = run(capsys, "verify", "--source", write_pools(tmp_path, PARTIAL))
    assert code == 3
    pool = next(line for line in out.splitlines() if line.startswith("gsm8k/training"))
    assert missing(["129 problems", "NOT", "7473 problems"], pool) == []
    assert missing(["990 problems", "990 checked", "990 missing", "970 more"], out) == []
    assert re.search(r"6 pool.*990 problem.*pool gsm8k/", err)


def test_verify_goes_on_after_a_pool_it_cannot_read(capsys, tmp_path):
    folder = write_pools(tmp_path)
    (folder / "math" / "test.jsonl").unlink()
    code, out, err = run(capsys, "verify", "--source", folder)
    assert code == 3
    pool = next(line for line in out.splitlines() if line.startswith("math/evaluation"))
    assert "problems" not in pool
    assert missing(["510 checked", "510 missing"], out) == []
    assert len(err.splitlines()) == 1


def test_list_of_the_frozen_exams_needs_no_pool(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(tmp_path))
    code, out, _ = run(capsys, "list", "--limit", "2")
    triple = load_manifest().triples["v1/000"]
    assert code == 0
    assert out.splitlines()[0].split("\t") == ["v1/000", triple.medium, *triple.ids]
    assert len(out.splitlines()) == 2


def test_list_of_generated_exams(capsys):
    code, out, _ = run(capsys, "list", "--set", "fresh", "--seed", "4")
    assert (code, len(out.splitlines())) == (0, 480)
    assert out.splitlines()[479].split("\t")[2:] == [f"fresh/4/{tier}/479" for tier in ("easy", "middle", "hard")]
    assert run(capsys, "list", "--set", "v1", "--seed", "4")[0] == 2


@pytest.mark.parametrize("order", ["easy", "medium", "hard"])
def test_show_prints_the_exact_prompt_and_the_rest_beside_it(capsys, order):
    exam = find_exam("fresh/2/005")
    code, out, err = run(capsys, "show", "fresh/2/005", "--order", order, "--budget", "1024", "--answers")
    questions = [problem.question for problem in exam.ordered(order)]
    assert (code, out) == (0, exam_prompt(questions, 1024))
    assert missing(["fresh/2/005", f"{order} order", exam.medium], err.splitlines()[0]) == []
    for problem in exam.problems:
        assert f"{problem.id} " in err
        assert problem.sha256 in err
        assert f"answer {problem.answer}\n" in err
    assert "answer" not in run(capsys, "show", "fresh/2/005")[2]
    paraphrased = run(capsys, "show", "fresh/2/005", "--order", order, "--paraphrase", "1")[1]
    questions = [problem.question for problem in exam.ordered(order)]
    assert paraphrased == exam_prompt(questions, 512, paraphrase=1)


@pytest.mark.parametrize("prompt", ["direct", "metacognitive", "greedy_knapsack"])
def test_show_prints_the_messages_that_a_chat_template_is_given(capsys, prompt):
    code, out, _ = run(capsys, "show", "tiny/0/003", "--prompt", prompt, "--budget", "128", "--messages")
    assert code == 0
    questions = [problem.question for problem in find_exam("tiny/0/003").ordered("hard")]
    asked = [[question] for question in questions] if prompt == "greedy_knapsack" else [questions]
    bounds = level_bounds("tiny-easy")
    assert [json.loads(line) for line in out.splitlines()] == [exam_messages(q, 128, prompt, bounds) for q in asked]


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (("show", "v2/000"), 2, ["'v2/000'", "v1/000"]),
        (("show", "tiny/0/480"), 2, ["'tiny/0/480'"]),
        (("show", "tiny/0/000", "--order", "hrad"), 2, ["'hrad'", "'hard'"]),
        (("show", "tiny/0/000", "--prompt", "dirct"), 2, ["'dirct'", "'direct'"]),
        (("show", "tiny/0/000", "--paraphrase", "4"), 2, ["'direct'", "paraphrase", "1 to 3"]),
        (("show", "tiny/0/000", "--budget", "0"), 2, ["'--budget'"]),
        (("list", "--set", "frsh"), 2, ["'frsh'", "'fresh'"]),
        (("list", "--limit", "0"), 2, ["'--limit'"]),
    ],
)
def test_what_cannot_be_meant_is_one_line(capsys, arguments, code, facts):
    ended, out, err = run(capsys, *arguments)
    assert (ended, out) == (code, "")
    assert missing(facts, err) == []
    assert len(err.splitlines()) == 1
