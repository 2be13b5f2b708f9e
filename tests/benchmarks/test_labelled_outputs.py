"""Agreement with labels on recorded outputs: what is counted, and what is said of input that cannot be used."""

import json

import pytest

from benchmarks import labelled_outputs

ROWS = (
    {"pool": "gsm8k", "gold": "12", "response": "so \\boxed{12}", "label": True},
    {"pool": "gsm8k", "gold": "12", "response": "so \\boxed{13}", "label": False},
    {"pool": "math", "gold": "\\frac12", "answer": "0.5", "label": True},
    {"pool": "math", "gold": "x", "response": "\\boxed{y}", "label": True, "id": "wrongly labelled"},
    {"pool": "gsm8k", "gold": "5", "response": "There are five of them.", "label": True},
    {"pool": "gsm8k", "gold": "7", "response": "\\boxed{7 dozens}", "label": True, "question": "How many dozens?"},
    {"note": "no label"},
)  # fmt: skip


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["labelled_outputs.py", *map(str, arguments)])
    labelled_outputs.main()


def test_counts_by_source_and_names_each_disagreement(tmp_path, monkeypatch, capsys):
    (tmp_path / "invented.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    run(monkeypatch, tmp_path, "--list")
    out = capsys.readouterr().out
    lines = [
        line.split() for line in out.splitlines() if line.split()[0] in ("invented", "all") and "outputs" not in line
    ]
    # n, unread, then agreements, false accepts and false rejects of ours and of math-verify, labels turned
    assert lines[0][1:6] == ["5", "0", "4", "0", "1"]
    assert [line[0] for line in lines] == ["invented", "all"] * 2
    assert lines[3][1:6] == ["6", "1", "4", "0", "2"]
    listed = [line for line in out.splitlines() if line.startswith("false")]
    assert [line.split(" gold ")[0] for line in listed] == [
        "false reject: invented wrongly labelled", "false reject: invented 5"]  # fmt: skip


@pytest.mark.parametrize("content", [None, "", "{}\n", "not json\n"])
def test_input_that_cannot_be_used_ends_in_a_line(tmp_path, monkeypatch, content):
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=str(path)):
        run(monkeypatch, path)
