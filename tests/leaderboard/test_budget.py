"""The budget is verified: counted again where the tokenizer is public, bounded by public tokenizers where it is not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import RecordError
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.checks import response_rules
from roi_bench.leaderboard.checks.reference_tokens import (
    MARGIN,
    REFERENCES,
    first_over_budget,
    hub_name_of,
    load_reference,
    most_tokens,
    reference_of,
)
from roi_bench.leaderboard.checks.rules import CheckedSubmission, check_submission
from roi_bench.leaderboard.submission.metadata import public_tokenizer
from roi_bench.machine import data_folder
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered

BUDGET = 128
Rows = list[dict[str, Any]]


def prose(tokens: int) -> str:
    """Return English with sums, of at least so many tokens by every reference tokenizer, and hardly more."""
    sentences = (
        f"The train travels {7 * k % 90 + 11} kilometres in the hour, so after {k % 9 + 2} hours it has gone "
        f"{(7 * k % 90 + 11) * (k % 9 + 2)} kilometres. "
        for k in range(1, 10**6)
    )
    text = ""
    while min(sum(load_reference(name).counts([text])) for name in REFERENCES) < tokens:
        text += next(sentences)
    return text.strip()


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("draft") / "submissions", [MadeTask(exams=3)])


def reporting(tokens: int, source: str = "provider") -> dict[str, Any]:
    return {"tokens": tokens, "finish_reason": "stop", "source": source}


def with_texts(text: str, tokens: int, lengths: Callable[[str], list[int]] | None = None) -> Callable[[Rows], None]:
    """Return what puts ``text`` in the place of every response, with so many reported tokens."""

    def change(rows: Rows) -> None:
        for row in rows:
            for samples in row["requests"]:
                counted = None if lengths is None else lengths(text)
                samples[0].update(text=text, usage=reporting(tokens), token_lengths=counted)

    return change


def of_tokenizer(name: str | None, skip: Sequence[int] | None) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["tasks"][0].update(tokenizer=name, skip_token_lengths=None if skip is None else list(skip))

    return change


def invented(text: str) -> list[int]:
    """Return lengths of as many tokens as the budget allows, whatever the text is."""
    size, rest = divmod(len(text), BUDGET - 2)
    return [0, *[size] * (BUDGET - 3), size + rest - 1]


SKIP = (0, 6, 6, 6)
"""Invented lengths of a written skip, 25 characters."""


@pytest.mark.parametrize(
    ("tokenizer", "skip", "lengths"),
    [(None, None, None), ("local:mine", SKIP, invented), ("someone/model", SKIP, invented)],
    ids=["no tokenizer", "a local one", "one of the hub that is not loaded"],
)
@pytest.mark.parametrize("times", [1.6, 3.0])
def test_responses_over_the_budget_are_refused_whatever_they_report(
    draft: Path, tmp_path: Path, tokenizer: str | None, skip: Any, lengths: Any, times: float
) -> None:
    text = prose(int(times * BUDGET))
    folder = tampered(
        draft, tmp_path, rows=with_texts(text, BUDGET - 5, lengths), document=of_tokenizer(tokenizer, skip)
    )
    with pytest.raises(RecordError, match=rf"tiny/0/000.*\d+ tokens.*o200k_base.*{BUDGET}.*{most_tokens(BUDGET)}"):
        check_submission(folder)


@pytest.mark.parametrize(("claimed", "refused"), [(117, False), (116, True)])
def test_responses_claim_together_what_their_texts_show_but_for_2_percent_and_8_tokens(
    draft: Path, tmp_path: Path, claimed: int, refused: bool
) -> None:
    folder = tampered(
        draft,
        tmp_path,
        rows=with_texts(prose(60), claimed, lambda text: [0, *[1] * 126]),
        document=of_tokenizer("local:mine", SKIP),
    )
    if refused:
        with pytest.raises(RecordError, match=r"roi_tiny_hard_128.*\d+ tokens together.*at least \d+"):
            check_submission(folder)
    else:
        check_submission(folder)


def state_of(checked: CheckedSubmission) -> str:
    (state,) = checked.token_checks.values()
    graded, _ = grade_submission(checked, workers=1)
    assert graded.runs[0].tokens_checked == state
    return state


def test_within_the_bound_a_run_passes_and_bears_that_its_tokens_are_reported(draft: Path, tmp_path: Path) -> None:
    folder = tampered(
        draft, tmp_path, rows=with_texts(prose(BUDGET - 20), BUDGET - 5), document=of_tokenizer(None, None)
    )
    checked = check_submission(folder)
    assert (checked.recounted, state_of(checked)) == (False, "reported")


def test_a_shipped_tokenizer_is_counted_again_and_bounded_by_nothing_else(draft: Path) -> None:
    """The shipped ones have whole phrases as tokens: 128 of theirs are up to 240 of others."""
    assert state_of(check_submission(draft)) == "counted"


def test_hidden_reasoning_is_told_apart_from_what_was_counted(draft: Path, tmp_path: Path) -> None:
    hidden = tampered(draft, tmp_path, document=lambda document: document["tasks"][0].update(text_is_whole=False))
    assert state_of(check_submission(hidden)) == "visible text counted"


def test_fewer_tokens_than_public_tokenizers_count_are_remarked_on(draft: Path, tmp_path: Path) -> None:
    text = prose(BUDGET - 20)
    for place, (tokens, expected) in enumerate([(BUDGET - 25, 1), (BUDGET // 2, 2)]):
        folder = tampered(
            draft, tmp_path / str(place), rows=with_texts(text, tokens), document=of_tokenizer(None, None)
        )
        remarks = [remark.text for remark in check_submission(folder).remarks if remark.rule == "tokens"]
        assert len(remarks) == expected
        assert all(f"{6 * tokens} tokens" in text for text in remarks[1:])


def lengths_by(name: str) -> Callable[[str], list[int]]:
    def lengths(text: str) -> list[int]:
        starts = load_reference(name).token_starts(text)
        return [after - before for before, after in zip([0, *starts], starts, strict=False)]

    return lengths


def test_a_public_tokenizer_that_is_shipped_is_counted_again_without_the_hub(draft: Path, tmp_path: Path) -> None:
    name, text = "Qwen/Qwen2.5-1.5B-Instruct", prose(60)
    by_qwen = lengths_by("qwen2.5")
    skip = by_qwen("### Problem 1\n\\boxed{NA}\n")
    honest = tampered(
        draft,
        tmp_path / "a",
        rows=with_texts(text, len(by_qwen(text)) + 1, by_qwen),
        document=of_tokenizer(name, skip),
    )
    assert state_of(check_submission(honest)) == "counted"
    made_up = tampered(
        draft, tmp_path / "b", rows=with_texts(text, BUDGET - 5, invented), document=of_tokenizer(name, skip)
    )
    with pytest.raises(RecordError, match=rf"{len(by_qwen(text))} tokens by {name}.*{BUDGET - 1}"):
        check_submission(made_up)


def test_a_public_tokenizer_of_whole_sentences_is_told(
    draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can put a tokenizer on the hub that makes a token of every sentence."""

    class Sentences:
        def token_starts(self, text: str) -> list[int]:
            return [0, *(i + 1 for i, c in enumerate(text) if c == "." and i + 1 < len(text))]

    monkeypatch.setattr(response_rules, "load_token_counter", lambda *_, **__: Sentences())
    starts = Sentences().token_starts

    def lengths(text: str) -> list[int]:
        return [after - before for before, after in zip([0, *starts(text)], starts(text), strict=False)]

    text = prose(3 * BUDGET)
    folder = tampered(
        draft,
        tmp_path,
        rows=with_texts(text, len(lengths(text)), lengths),
        document=of_tokenizer("someone/model", lengths("### Problem 1\n\\boxed{NA}\n")),
    )
    checked = check_submission(folder, recount=True)
    assert state_of(checked) == "unusual tokenizer"
    assert any("someone/model" in remark.text and "o200k_base" in remark.text for remark in checked.remarks)


def test_counting_a_thousand_responses_costs_seconds_and_none_within_its_own_count_is_refused() -> None:
    """Each text is within the budget that it would have needed by an own tokenizer of average frugality."""
    texts = [prose(400 + k % 7) + str(k) for k in range(12)] * 80
    texts = [f"{text}{k}" for k, text in enumerate(texts)]
    begun = time.perf_counter()
    assert first_over_budget(texts, 410) is None
    assert time.perf_counter() - begun < 20


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_tokenizer_loses_nothing(name: str) -> None:
    """Tokens cover the text in order, and counts and offsets agree."""
    text = "### Problem 1\nSo 12345.67 + 3² = x — naïve Σ 数学\n\n  \\boxed{\\frac{1}{2}}  "
    reference = load_reference(name)
    starts = list(reference.token_starts(text))
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert reference.counts([text]) == [len(starts)]
    assert 15 < len(starts) < len(text.encode())


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("o200k_base", "tiktoken is great!", 6),
        ("cl100k_base", "tiktoken is great!", 6),
        ("o200k_base", "お誕生日おめでとう", 8),
        ("cl100k_base", "お誕生日おめでとう", 9),
        ("o200k_base", "2 + 2 = 4", 7),
        ("cl100k_base", "2 + 2 = 4", 7),
        ("o200k_base", "antidisestablishmentarianism", 6),
        ("cl100k_base", "antidisestablishmentarianism", 6),
        ("qwen2.5", "12345", 5),
        ("smollm2", "12345", 5),
        ("deepseek-v3", "12345", 2),
    ],
)
def test_reference_tokenizers_count_as_their_makers_do(name: str, text: str, count: int) -> None:
    """The first ones are the examples of OpenAI's cookbook, "How to count tokens with tiktoken"."""
    assert load_reference(name).counts([text]) == [count]


def test_a_script_that_the_references_serve_badly_has_more_room() -> None:
    dhivehi = "ދިވެހިރާއްޖެއަކީ އިންޑިޔާ ކަނޑުގައި އޮންނަ ޤައުމެކެވެ "
    least = min(sum(load_reference(name).counts([dhivehi])) for name in REFERENCES)
    budget = int(0.55 * least) - 12
    assert first_over_budget([dhivehi], budget) is None
    assert first_over_budget([dhivehi * 3], budget) is not None


@given(st.lists(st.text(max_size=80), max_size=4), st.integers(1, 60))
def test_no_text_of_fewer_bytes_than_the_budget_is_over_it(texts: list[str], budget: int) -> None:
    found = first_over_budget(texts, budget)
    if found is not None:
        place, least = found
        assert len(texts[place].encode("utf-8", "replace")) >= least > MARGIN * budget
        counts = [load_reference(name).counts([texts[place]])[0] for name in REFERENCES]
        assert min(counts) > most_tokens(budget)


def test_names_on_the_hub_lead_to_their_tokenizer() -> None:
    found = {name: reference_of(name) for name in ("HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen2.5-7B", "someone/model")}
    assert {name: one and one.name for name, one in found.items()} == {
        "HuggingFaceTB/SmolLM2-135M": "smollm2",
        "Qwen/Qwen2.5-7B": "qwen2.5",
        "someone/model": None,
    }


def test_a_folder_with_a_reference_tokenizer_is_submitted_under_its_public_name(tmp_path: Path) -> None:
    reference = load_reference("smollm2")
    content = json.loads(reference.tokenizer.to_str())
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert public_tokenizer(str(tmp_path)) == hub_name_of(tmp_path) == "HuggingFaceTB/SmolLM2-135M-Instruct"
    content["added_tokens"][0]["content"] = "<whole sentence>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert public_tokenizer(str(tmp_path)) == f"local:{tmp_path.name}"


def test_what_is_shipped_is_small_listed_and_under_permissive_licences() -> None:
    folder = data_folder("data/reference_tokenizers")
    notice = (folder / "NOTICE.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted([*(f"{name}.xz" for name in REFERENCES), "NOTICE.md"])
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    rows = [line.split(" | ") for line in notice.splitlines() if line.startswith("| `")]
    assert {row[0].strip("| `") for row in rows} == set(files) - {"NOTICE.md"}
    assert {row[3] for row in rows} == {"MIT", "Apache-2.0"}


def test_the_table_marks_rows_whose_tokens_are_only_reported_and_can_be_filtered_by_it(
    draft: Path, tmp_path: Path
) -> None:
    from roi_bench.leaderboard.board.build import load_board
    from roi_bench.leaderboard.board.gather import GradingOptions
    from roi_bench.leaderboard.site.page import STATIC
    from roi_bench.leaderboard.site.table_page import COLUMNS

    tampered(draft, tmp_path / "board", rows=with_texts(prose(90), 100), document=of_tokenizer(None, None))
    tampered(draft, tmp_path / "board", document=lambda document: document["metadata"].update(version="2"))
    board = load_board(tmp_path / "board", GradingOptions(drafts=True))
    columns = {column.key: column for column in COLUMNS}
    shown = {
        (columns["tokens"].show(row).small, columns["tokens_checked"].show(row).text)
        for row in board.cells[0].standings
    }
    assert shown == {("as reported", "reported"), ("", "yes")}
    assert "column: 'tokens_checked'" in (STATIC / "app.js").read_text(encoding="utf-8")
