"""Pools from a folder and from the hub: the same problems, and one clear line for everything that can be wrong."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from roi_bench.errors import DataError, DependencyError, UsageError
from roi_bench.exams.pools import (
    POOL_FILES,
    REPOSITORIES,
    folder_rows,
    hub_rows,
    last_box,
    load_from_hub,
    load_pool,
    pool_fingerprint,
    problems_from_rows,
    repair,
    resolve_source,
)
from tests.support.messages import shown_in, shows
from tests.support.pool_factory import invented_row, write_rows

KEYS = sorted(POOL_FILES)


def write_line(tmp_path, line):
    path = tmp_path / POOL_FILES["gsm8k", "evaluation"]
    path.parent.mkdir()
    good = json.dumps(invented_row("gsm8k", "evaluation", 0)).encode()
    path.write_bytes(good + b"\n\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    return path


def row(**changes):
    return json.dumps({**invented_row("gsm8k", "evaluation", 1), **changes})


def test_a_folder_gives_canonical_problems_by_id_in_file_order(tmp_path):
    rows = [
        {"id": "b", "question": "\r\n Cafe\u0301?\r\nYes. ", "answer": " 7 ", "also_accepted": ["8"]},
        {"id": "a", "question": "Q", "answer": "1", "solution": "S", "level": 3, "unknown": {}},
    ]
    write_rows(tmp_path / POOL_FILES["math", "training"], rows)
    problems = load_pool("math", "training", tmp_path)
    assert list(problems) == ["b", "a"]
    assert problems["b"].question == "Caf\u00e9?\nYes."
    assert problems["b"].answers == ("7", "8")
    assert (problems["a"].level, problems["a"].solution, problems["a"].pool) == (3, "S", "math")
    problems.clear()
    assert len(load_pool("math", "training", tmp_path)) == 2


BAD_LINES = {
    "cut off": ('{"id": "x", "question', ("JSON", "char 21")),
    "too deep": ("[" * 100_000, ("JSON", "recursion")),
    "no object": ("[1]", ("JSON object", "list")),
    "no answer": ('{"id": "x", "question": "Q"}', ("'answer'",)),
    "number": (row(answer=18), ("'answer'", 18)),
    "blank": (row(question=" \n"), ("'question'", r"' \n'")),
    "twice": (row(id="gsm8k/evaluation/0"), ("'gsm8k/evaluation/0'",)),
    "surrogate": (row(question="\ud800"), ("'question'", "surrogate")),
    "level": (row(level="5"), ("'level'", "'5'")),
    "accepted": (row(also_accepted=[5]), ("'also_accepted'", "[5]")),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_with_file_and_line(tmp_path, name):
    line, facts = BAD_LINES[name]
    path = write_line(tmp_path, line)
    with pytest.raises(DataError) as error:
        load_pool("gsm8k", "evaluation", tmp_path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert shown_in(str(error.value), *facts)


def test_bytes_that_are_no_utf8(tmp_path):
    path = write_line(tmp_path, b"\xff")
    with pytest.raises(DataError, match=shows(path, "UTF-8", f"byte {path.read_bytes().index(0xFF)}")):
        load_pool("gsm8k", "evaluation", tmp_path)


def test_an_empty_file_and_a_missing_one(tmp_path):
    with pytest.raises(
        DataError, match=shows(tmp_path / POOL_FILES["aime", "evaluation"], "ROI_BENCH_DATA_DIR", "--source")
    ):
        load_pool("aime", "evaluation", tmp_path)
    write_rows(tmp_path / POOL_FILES["aime", "evaluation"], [])
    with pytest.raises(DataError, match=shows("aime")):
        load_pool("aime", "evaluation", tmp_path)


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / POOL_FILES["aime", "evaluation"]).mkdir(parents=True)
    with pytest.raises(DataError, match=shows(tmp_path / POOL_FILES["aime", "evaluation"], "Is a directory")):
        load_pool("aime", "evaluation", tmp_path)


def test_unknown_names_get_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=shows("pool", "'gsm8'", "'gsm8k'")):
        load_pool("gsm8", "evaluation", tmp_path)
    with pytest.raises(UsageError, match=shows("split", "'train'", "'training'")):
        load_pool("gsm8k", "train", tmp_path)


def test_the_source_is_the_argument_else_the_variable_else_the_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", "/some/folder")
    assert resolve_source(tmp_path) == str(tmp_path)
    assert resolve_source() == "/some/folder"
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", "")
    assert resolve_source() == "hub"


def test_the_fingerprint_knows_ids_questions_and_answers_but_no_order():
    rows = [("here", invented_row("aime", "evaluation", index)) for index in range(3)]
    print_ = pool_fingerprint(problems_from_rows("aime", rows))
    assert print_ == pool_fingerprint(problems_from_rows("aime", reversed(rows)))
    for field in ("id", "question", "answer"):
        changed = [*rows[:2], ("here", {**rows[2][1], field: "other"})]
        assert print_ != pool_fingerprint(problems_from_rows("aime", changed))


# The hub route, with a fake in place of datasets.load_dataset.


def gsm8k_row(answer):
    return {"question": "How many?", "answer": answer}


def test_gsm8k_answers_stand_after_the_mark():
    rows = hub_rows("gsm8k", "evaluation", lambda *_: [gsm8k_row("1 #### 1\n#### 2,125 ")])
    assert next(rows)[1] == {
        "id": "gsm8k/test/0",
        "question": "How many?",
        "answer": "2125",
        "solution": "1 #### 1\n#### 2,125 ",
    }


HUB_CHANGES = {
    "no mark": ("gsm8k", [gsm8k_row("2")], ("openai/gsm8k test row 0", "'####'")),
    "no field": ("gsm8k", [{"answer": "#### 2"}], ("openai/gsm8k test row 0", "'question'", None)),
    "too few": ("math", [], ("EleutherAI/hendrycks_math algebra test", 0, 1187)),
    "no integer": ("aime", [{"problem": "Q", "answer": "x"}] * 30, ("math-ai/aime25 test row 0", "'x'")),
}


@pytest.mark.parametrize("name", HUB_CHANGES)
def test_a_changed_hub_dataset_is_refused(name):
    pool, rows, facts = HUB_CHANGES[name]
    with pytest.raises(DataError, match=shows("hub", *facts)):
        problems_from_rows(pool, hub_rows(pool, "evaluation", lambda *_: rows))


def test_no_network_says_what_to_do(tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_DATASETS_OFFLINE": "1"}
    environment.pop("ROI_BENCH_DATA_DIR", None)
    program = "from roi_bench.cli.main import main; main(['exams', 'show', 'v1/000'])"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == DataError.exit_code
    assert ended.stderr.startswith("roi-bench: ")
    notice, line = ended.stderr.splitlines()
    assert notice == "roi-bench: loading datasets …"
    assert shown_in(line, "openai/gsm8k", "HF_HUB_OFFLINE", "ROI_BENCH_DATA_DIR")


@pytest.mark.parametrize(("variable", "named"), [("1", True), ("", False)])
def test_only_a_variable_that_is_set_is_advised_against(monkeypatch, variable, named):
    def load_dataset(*_, **__):
        raise ConnectionError("Network is unreachable")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setenv("HF_HUB_OFFLINE", variable)
    with pytest.raises(DataError, match=shows("openai/gsm8k", "Network is unreachable")) as raised:
        load_from_hub("openai/gsm8k", "main", "test")
    assert ("HF_HUB_OFFLINE" in str(raised.value)) == named


@pytest.mark.parametrize(("there", "advice"), [(True, "roi-bench doctor"), (False, "pip install datasets")])
def test_datasets_that_cannot_be_imported_is_not_called_missing(monkeypatch, tmp_path, there, advice):
    if there:
        (tmp_path / "datasets.py").write_text("raise ImportError('numpy.core.multiarray failed to import')\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "datasets", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError) as raised:
        load_from_hub("openai/gsm8k", "main", "test")
    assert shown_in(str(raised.value), advice)
    assert ("numpy.core.multiarray" in str(raised.value)) == there


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"so $\boxed{1}$ or $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\text{a\\}}", r"\text{a\\}"),
        (r"$\boxed {17}.$", "17"),
        (r"$\boxed 2$.", "2"),
        (r"\boxed{}", ""),
        (r"\boxed{1", ""),
        (r"\boxed", ""),
        ("no box", ""),
    ],
)
def test_last_box(solution, answer):
    assert last_box(solution) == answer


def test_a_text_that_is_not_defective_is_only_made_canonical():
    assert repair(" What is 1?\r\n") == "What is 1?"


def hub_of(folder):
    """Return a ``load_dataset`` that gives the rows of ``folder`` as the hub has them."""

    def load(repository, config, split):
        ((pool, name),) = (key for key, value in REPOSITORIES.items() if value == (repository, split))
        rows = [fields for _, fields in folder_rows(pool, name, folder)]
        if pool == "gsm8k":
            return [{"question": row["question"], "answer": row["solution"]} for row in rows]
        if pool == "math":
            rows = [row for row in rows if row["hf_config"] == config]
            levels = [f"Level {row['level'] or '?'}" for row in rows]
            return [
                {"problem": row["question"], "level": level, "solution": row["solution"]}
                for row, level in zip(rows, levels, strict=True)
            ]
        return [
            {"problem": row.get("question_hub") or row["question"], "answer": row.get("answer_raw", row["answer"])}
            for row in rows
        ]

    return load


@pytest.mark.parametrize(("pool", "split"), KEYS)
def test_both_routes_give_the_same_real_problems(data_dir, pool, split):
    from_folder = load_pool(pool, split, data_dir)
    from_hub = problems_from_rows(pool, hub_rows(pool, split, hub_of(data_dir)))
    assert list(from_hub) == list(from_folder)
    for key, problem in from_folder.items():
        found = from_hub[key]
        assert (found.question, found.answers, found.level) == (problem.question, problem.answers, problem.level)


def test_the_six_defective_hub_rows_are_repaired(data_dir):
    defective = {
        row["id"]: row
        for _, row in folder_rows("aime", "evaluation", data_dir)
        if row["question_hub"] and row["question_hub"] != row["question"]
    }
    assert sorted(defective) == sorted(f"aime/2025/{name}" for name in ("I/5", "I/8", "I/11", "II/4", "II/5", "II/13"))
    for row in defective.values():
        assert repair(row["question_hub"]) == row["question"]


def test_real_pools_have_the_sizes_of_the_specification(data_dir):
    sizes = {key: len(load_pool(*key, data_dir)) for key in KEYS}
    assert sizes == {
        ("gsm8k", "evaluation"): 1319,
        ("gsm8k", "training"): 7473,
        ("math", "evaluation"): 5000,
        ("math", "training"): 7500 - 2,  # two have no answer
        ("aime", "evaluation"): 30,
        ("aime", "training"): 90,
    }
    assert load_pool("aime", "training", data_dir)["aime/2022/II/8"].answers == ("80", "81")
