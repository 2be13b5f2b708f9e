"""What an error of somebody else says, in one line."""

from __future__ import annotations

from roi_bench.errors import first_line


def test_a_message_that_is_a_list_is_not_cut_at_its_colon() -> None:
    assert first_line(ValueError("One of: \n(1) a file,\n(2) a folder")) == "One of: (1) a file, (2) a folder"
    assert first_line(ValueError("Not found.\nSee there.")) == "Not found"
    assert first_line(ValueError("One of:\n" + "x" * 300)) == "One of: " + "x" * 191 + "…"
    assert first_line(ValueError()) == "ValueError"
