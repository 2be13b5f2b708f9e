r"""The response styles of ``response_styles.py``: how models write down three solved problems.

A style is a name, a function from three solutions to a response, and what a fair reader would make of it:

- ``due``: by position, True where the point is earned, False where it is not (a style in which the right value stands
  only where it must not count), None where fair readers may differ (then neither loss nor gain is counted).
- ``seen``: a real model was seen to write so; the others are only possible.
- ``loss_expected``: the reading rule cannot give these points (solving out of order), so their loss is no fault.

To add one, add a line to a list at the end of this file.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.style_writing import (
    ALL,
    NEUTRAL,
    NONE,
    WRONG,
    Due,
    Style,
    Triple,
    Writer,
    changed,
    cut,
    each,
    fill,
    has_list,
    joined,
    list_in_boxes,
    no_commas,
    no_words,
    one,
    patterns,
)

CANONICAL = "### Problem <k>"
BODY = "\n<work>\n\nThe answer is $<box>$."
PLAIN = CANONICAL + BODY
FIRST_OPEN = "\n" + NEUTRAL
"""A first problem that is left without an answer: the boxes of the others must not move up."""

SEEN_HEADERS = (
    "### Problem <k>", "## Problem <k>", "#### Problem <k>", "# Problem <k>", "### Problem <k>:", "### Problem <k>.",
    "**Problem <k>**", "**Problem <k>:**", "**Problem <k>**:", "Problem <k>:", "Problem <k>", "Problem <k>.",
    "### **Problem <k>**", "### Problem <k>: Adding up", "**Problem <k>: Adding up**", "### Problem #<k>",
    "### Solution <k>", "### Solution to Problem <k>", "**Solution to Problem <k>:**", "Solution to Problem <k>:",
    "### Question <k>", "**Question <k>:**", "- **Problem <k>**", "### Problem <k>/3",
)  # fmt: skip
"""Header lines that real models were seen to write."""

POSSIBLE_HEADERS = (
    "### Problem<k>", "### Problem-<k>", "=== Problem <k> ===", "### Solving Problem <k>", "Problem <k> Solution:",
    "### \u2705 Problem <k>", "Prob. <k>:",
    "Problem <k>)", "Problem <k> –", "Problem <k>/3", "Problem <k> of 3", "Problem <k> (adding up)", "*Problem <k>*",
    "__Problem <k>__", "***Problem <k>***", "### Problem No. <k>", "### Problem <k> of 3", "### Problem <k>)",
    "### Problem <k> — adding up", "### PROBLEM <k>", "###Problem <k>", "### Problem <k> ###", "> **Problem <k>**",
    "> ### Problem <k>", "* Problem <k>:", "<k>. **Problem <k>**", "\\section*{Problem <k>}",
    "\\subsection*{Problem <k>}",
    "\\textbf{Problem <k>}", "\\textbf{Problem <k>:}", "\\paragraph{Problem <k>}", "### Exercise <k>", "### Task <k>",
    "**Task <k>**", "**Exercise <k>.**", "**Solution <k>:**", "### Answer <k>", "### Answer to Problem <k>",
    "### Problema <k>", "**Problème <k> :**", "### Aufgabe <k>", "### 问题 <k>", "### 题目<k>", "### 問題<k>",
    "### Задача <k>",
    "### 문제 <k>", "### Ejercicio <k>", "### Exercice <k>", "\ufeff### Problem <k>", "   ### Problem <k>",
    "--- \n### Problem <k>\n---", "### Problem\u00a0<k>", "### Problem <k> 🚀", "### Problem <k> (cost: low)",
)  # fmt: skip
"""Neighbours of these."""


def header_styles() -> list[Style]:
    """Return each header line with every problem boxed, and with the first left without an answer."""
    styles = []
    for headers, seen in ((SEEN_HEADERS, True), (POSSIBLE_HEADERS, False)):
        for header in headers:
            name = header.replace("\n", "⏎")
            styles.append(Style(f"header {name}", each(header + BODY), seen))
            first_open = patterns(header + FIRST_OPEN, header + BODY, header + BODY)
            styles.append(Style(f"header {name}, 1 open", first_open, seen, due=(None, True, True)))
    return styles


def mixed_header_styles() -> list[Style]:
    """Return responses whose headers are not all of one kind, stand glued to the text, or are followed by others."""
    bold, bare, title = "**Problem <k>**" + BODY, "Problem <k>:" + BODY, "## Problem <k>: Adding up" + BODY
    skeleton = each("### Problem <k>\n", "\n")
    return [
        Style("first canonical, later bold", patterns(PLAIN, bold, bold), True),
        Style("first canonical, later bare", patterns(PLAIN, bare, bare), True),
        Style("first canonical, later titled", patterns(PLAIN, title, title), True),
        Style("first canonical, then Question", patterns(PLAIN, *["**Question <k>:**" + BODY] * 2)),
        Style(
            "first canonical, then Solution to Problem", patterns(PLAIN, *["### Solution to Problem <k>" + BODY] * 2)
        ),
        Style("second bold", patterns(PLAIN, bold, PLAIN), True),
        Style("third bold", patterns(PLAIN, PLAIN, bold), True),
        Style("third bare", patterns(PLAIN, PLAIN, bare), True),
        Style("third LaTeX", patterns(PLAIN, PLAIN, "\\section*{Problem <k>}" + BODY)),
        Style("first bold, later canonical", patterns(bold, PLAIN, PLAIN), True),
        Style("first without a header", patterns("<work>\n\nThe answer is $<box>$.", PLAIN, PLAIN), True),
        Style("glued to a full stop", each(PLAIN, ""), True),
        Style("glued behind a blank", each(PLAIN, " "), True),
        Style("glued, two marks", each("## Problem <k>" + BODY, " ")),
        Style("glued from the first on", joined("Here is my response. ", each(PLAIN, " "), between=""), True),
        Style("work in the header line", each("### Problem <k> <work>\n\nThe answer is $<box>$."), True),
        Style("box in the header line", each("### Problem <k>: <box>\n<work>"), True),
        Style("header repeated before the box", each("### Problem <k>\n<work>\n### Problem <k>\n<box>"), True),
        Style("empty skeleton, then canonical", joined(skeleton, each(PLAIN)), True),
        Style("empty skeleton, then bold", joined(skeleton, each(bold)), True),
        Style("empty skeleton, then bare", joined(skeleton, each(bare)), True),
        Style("empty skeleton, then Solution", joined(skeleton, each("### Solution <k>" + BODY)), True),
        Style("empty skeleton, then titled", joined(skeleton, each(title))),
        Style("skeleton with blank boxes", joined(each("### Problem <k>\n\\boxed{}"), each(PLAIN))),
        Style("a Problem 4 invented", joined(each(PLAIN), "### Problem 4\nAn invented one.\n\\boxed{1000003}"), True),
        Style("an exam invented", joined(each(PLAIN), "Response:", each("### Problem <k>\n\\boxed{<wrong>}")), True),
        Style(
            "other headings inside",
            each("### Problem <k>\n#### Step 1\n<work>\n#### Step 2\nDone.\n#### Answer\n<box>"),
        ),
        Style("work names other problems", each(PLAIN + " As in Problem 1 and Problem 3, this is quick.")),
        Style("all in one line each", each("Problem <k>: <box>", "\n"), True),
        Style("all in one line", each("Problem <k>: <box>", "; "), True),
        Style("rules between", each(PLAIN, "\n\n---\n\n"), True),
    ]


def solution_styles() -> list[Style]:
    """Return responses that restate the problems before they solve them."""
    restated = "A farmer has 7 cows and buys 5 more. How many has he now?"
    statements = each(f"### Problem <k>\n{restated}")
    bold = each(f"**Problem <k>:** {restated}")
    styles = [
        Style(f"restated in each, {name}", each(f"### Problem <k>\n{restated}\n\n{head}" + BODY), seen)
        for name, head, seen in (
            ("Solution", "**Solution:**", True), ("#### Solution", "#### Solution", True), ("Work", "Work:", True),
            ("Solution <k>", "**Solution <k>:**", False), ("Solution to Problem", "#### Solution to Problem <k>", True),
        )
    ]  # fmt: skip
    for name, head, seen in (
        ("### Solution to Problem <k>", "### Solution to Problem <k>", True),
        ("**Solution to Problem <k>:**", "**Solution to Problem <k>:**", True),
        ("Solution to Problem <k>:", "Solution to Problem <k>:", False),
        ("### Solution <k>", "### Solution <k>", True),
        ("**Solution <k>**", "**Solution <k>**", False),
        ("### Answer to Problem <k>", "### Answer to Problem <k>", False),
        ("### Problem <k>", "### Problem <k>", True),
        ("### Problem <k> Solution", "### Problem <k> Solution", False),
        ("**Problem <k>**", "**Problem <k>**", False),
    ):
        styles.append(Style(f"all restated, then {name}", joined(statements, each(head + BODY)), seen))
        styles.append(Style(f"all restated bold, then {name}", joined(bold, each(head + BODY))))
    return styles


CLOSINGS = (
    ("### Final Answer", True), ("### Final Answers", True), ("**Final Answers:**", True), ("**Final Answer**", True),
    ("## Summary", True), ("### Answers", False), ("### Conclusion", False), ("Final Answers:", True),
    ("### Summary of Answers", False), ("**Answers:**", False),
)  # fmt: skip
"""Lines that begin a closing section, and whether a real model was seen to write it."""

LIST_BOX = joined("$\\boxed{", each("<value>", ", "), "}$", between="")
WRONG_LIST = "$\\boxed{" + ", ".join(WRONG) + "}$"
NEUTRAL_SECTIONS = each(f"### Problem <k>\n{NEUTRAL}")
LAST_OPEN = patterns(PLAIN, PLAIN, f"### Problem <k>\n{NEUTRAL}")
TABLE = joined("| Problem | Answer |\n|---|---|", each("| <k> | $<box>$ |", "\n"), between="\n")
BARE_TABLE = joined("| Problem | Answer |\n|:--|--:|", each("| Problem <k> | <shown> |", "\n"), between="\n")


def closing_styles() -> list[Style]:
    """Return responses whose answers stand in a closing section, or are repeated there."""
    styles = []
    for title, seen in CLOSINGS:
        forms: list[tuple[str, Writer, Callable[[Triple], bool] | None]] = [
            ("a list in one box", LIST_BOX, no_commas),
            ("numbered boxes", each("<k>. <box>", "\n"), None),
            ("named boxes", each("- Problem <k>: <box>", "\n"), None),
            ("bold named boxes", each("**Problem <k>:** $<box>$", "\n"), None),
            ("unnamed boxes", each("$<box>$", ", "), None),
            ("named lines", each("Problem <k>: <shown>", "\n"), None),
            ("numbered lines", each("<k>. <shown>", "\n"), None),
        ]
        for form, writer, fits in forms:
            closing = joined(title, writer, between="\n")
            styles.append(Style(f"{title}: {form}", joined(NEUTRAL_SECTIONS, closing), seen, fits=fits))
        repeated = joined(each(PLAIN), title, LIST_BOX)
        styles += [
            Style(f"{title}: all boxes again", repeated, seen, fits=no_commas),
            Style(
                f"{title}: the last only", joined(LAST_OPEN, title, lambda triple: fill("$<box>$", 3, triple[2])), seen
            ),
            Style(f"{title}: in each problem", each(f"### Problem <k>\n<work>\n{title}\n$<box>$"), seen),
            Style(f"{title}: other values at the end", joined(each(PLAIN), title, WRONG_LIST), due=ALL),
        ]
    return styles


def other_closing_styles() -> list[Style]:
    """Return closing sentences, lists and tables without a title, and answers before the work."""
    work, lines = each("### Problem <k>\n<work>"), each(PLAIN)
    sentence = each("the answer to Problem <k> is $<box>$", ", ")
    plural = each("<shown>", ", ")
    numbered, table = each("<k>. $<box>$", "\n"), each("| <k> | $<box>$ |", "\n")
    return [
        Style("closing sentence, names and is", joined(NEUTRAL_SECTIONS, "So", sentence, between=" "), True),
        Style("closing sentence after work", joined(work, sentence), True),
        Style("closing list, numbered", joined(NEUTRAL_SECTIONS, numbered), True),
        Style("closing list after work", joined(work, numbered), True),
        Style("closing list after boxes", joined(lines, numbered), True),
        Style("closing table with a head", joined(NEUTRAL_SECTIONS, TABLE), True),
        Style("closing table with a head, no boxes", joined(NEUTRAL_SECTIONS, BARE_TABLE)),
        Style("closing table after work", joined(work, TABLE), True),
        Style("closing rows", joined(NEUTRAL_SECTIONS, table)),
        Style("closing names, equals sign", joined(NEUTRAL_SECTIONS, each("Problem <k> = <box>", "\n"))),
        Style("closing names, dash", joined(NEUTRAL_SECTIONS, each("Problem <k> - <box>", "\n"))),
        Style("closing names, 's answer is", joined(NEUTRAL_SECTIONS, each("Problem <k>'s answer is <box>.", "\n"))),
        Style("boxes again, no title", joined(lines, each("$<box>$", ", ")), fits=no_commas),
        Style(
            "boxes again in a sentence",
            joined(lines, joined("Thus,", each("<box>", " and "), between=" ")),
            fits=no_commas,
        ),
        Style("one box again, no title", joined(lines, LIST_BOX), fits=no_commas),
        Style("one box again, other values", joined(lines, WRONG_LIST), due=(True, True, None)),
        Style("closing sentence in the plural", joined(NEUTRAL_SECTIONS, "So the answers are", plural), fits=no_words),
        Style(
            "closing lines in the plural",
            joined(NEUTRAL_SECTIONS, "Final answers:", each("<shown>", "\n")),
            fits=no_words,
        ),
        Style("answers first, then work", joined("### Final Answers", each("<k>. <box>", "\n"), work)),
        Style("table only", TABLE),
        Style("bare table only", BARE_TABLE),
        Style("three names only", each("Problem <k>: <shown>", "\n"), True),
        Style("three numbers only", each("<k>. <shown>", "\n")),
        Style("a list box only", LIST_BOX, loss_expected=True, fits=no_commas),
        Style("no header, three boxes", each("<work>\n\nThe answer is $<box>$."), True),
        Style("no header, numbered", each("<k>. The answer is $<box>$."), True),
        Style("no header, numbered in brackets", each("(<k>) The answer is $<box>$.")),
    ]


def plan_styles() -> list[Style]:
    """Return responses that begin with a plan, or in which problems are skipped."""
    na = each("### Problem <k>\n\\boxed{NA}", "\n")
    skip_first: Due = (False, True, True)
    plans = [
        ("headers that box NA", na, True),
        ("headers with notes", each("### Problem <k>\nEasy, I take about 100 tokens.", "\n"), True),
        ("names", each("Problem <k>: easy, about 100 tokens.", "\n"), True),
        ("tokens by label", each("Problem <k>: 100 tokens", "\n"), False),
        ("tokens by arrow", each("Problem <k> -> 100", "\n"), False),
        ("tokens under headers", each("### Problem <k>: 100 tokens", "\n"), False),
        ("names that box NA", each("Problem <k>: \\boxed{NA}", "\n"), False),
        ("numbered", each("<k>. Easy, about 100 tokens.", "\n"), True),
        ("bold names", each("- **Problem <k>:** add and compare.", "\n"), True),
        ("one sentence", each("Problem <k> is easy", ", "), False),
        ("a table", joined("| Problem | Tokens |\n|---|---|", each("| <k> | 100 |", "\n"), between="\n"), False),
        ("levels", each("### Problem <k>\n<predicted_level>Level-1</predicted_level>", "\n"), False),
        ("the form", each("Then I write \\boxed{answer} for it.", "\n"), True),
    ]
    styles = [Style(f"plan: {name}", joined("**Plan**", plan, each(PLAIN)), seen) for name, plan, seen in plans]
    for name, skip in (
        ("\\boxed{NA}", "\n\\boxed{NA}"), ("NA", "\nNA"), ("Skip.", "\nSkip."), (": N/A", ": N/A"),
        ("(skipped)", " (skipped)"),
        ("text NA", "\n\\boxed{\\text{NA}}"), ("bold NA", "\n**NA**"),
        ("reason and NA", "\nToo long for me.\n\\boxed{NA}"),
    ):  # fmt: skip
        styles.append(Style(f"first skipped: {name}", patterns(CANONICAL + skip, PLAIN, PLAIN), True, due=skip_first))
    late = joined(patterns(CANONICAL + "\n\\boxed{NA}", PLAIN, PLAIN), one(1, PLAIN))
    styles.append(Style("skipped, then solved after the others", late, due=skip_first))
    return styles


def reasoning_styles() -> list[Style]:
    """Return responses with visible reasoning, whose drafts say nothing."""
    styles = []
    wrong, right = each("### Problem <k>\nPerhaps \\boxed{<wrong>}."), each(PLAIN)
    for opening, closing, seen in (
        ("<think>", "</think>", True), ("<thinking>", "</thinking>", True), ("[THINK]", "[/THINK]", True),
    ):  # fmt: skip
        block = joined(opening, wrong, closing, between="\n")
        inside = f"### Problem <k>\n{opening}\nPerhaps \\boxed{{<wrong>}}?\n{closing}" + BODY
        names = joined(opening, each("Problem <k>: \\boxed{<wrong>}", "\n"), closing, between="\n")
        only = joined(opening, right, closing, between="\n")
        styles += [
            Style(f"{opening} with draft headers", joined(block, right), seen),
            Style(f"{opening} with draft names", joined(names, right), seen),
            Style(f"{opening} in each problem", each(inside), seen),
            Style(f"{opening} before each header", each(f"{opening}\\boxed{{<wrong>}}{closing}\n" + PLAIN), seen),
            Style(f"{opening} nested", joined(opening, block, "so\n", right, between="\n")),
            Style(f"{opening} again at the end", joined(right, block)),
            Style(f"{opening} right, then wrong", joined(only, wrong), seen, due=NONE),
            Style(f"{opening} right, then open", joined(only, NEUTRAL_SECTIONS), seen, due=NONE),
            Style(f"{opening} never closed", joined(opening, right), seen, due=NONE),
            Style(f"{opening} opened one, never closed", joined(block, opening, right), due=NONE),
        ]
    styles.append(Style("closing tag alone", joined("I think.\n</think>", right), True))
    return styles


ANSWER_LINES = (
    ("Answer: <shown>", True), ("**Answer:** <shown>", True), ("**Answer: <shown>**", True),
    ("Final Answer: <shown>", True),
    ("**Final Answer:** <shown>", True), ("Final Answer: The final answer is $<value>$. I hope it is correct.", True),
    ("The answer is <shown>.", True), ("The final answer is <shown>.", True), ("The final answer is: <shown>", True),
    ("#### <value>", True), ("**Answer**: <shown>", True), ("Answer: <shown>. That is all.", False),
    ("**Final Answer:**\n<shown>", True), ("**Answer:**\n\n$$<value>$$", True), ("### Answer\n<shown>", True),
    ("FINAL ANSWER:\n<answer><value></answer>", False), ("Answer: **<shown>**", True), ("*Answer:* <shown>", False),
    ("Final answer = <shown>", False), ("- Answer: <shown>", False), ("Respuesta: <shown>", False),
    ("Respuesta final: <shown>", False), ("Réponse : <shown>", False), ("Antwort: <shown>", False),
    ("Resposta: <shown>", False),
    ("Risposta: <shown>", False), ("Ответ: <shown>", False), ("答案：<shown>", True), ("最终答案：<shown>", False),
    ("答え：<shown>", False), ("정답: <shown>", False), ("الإجابة: <shown>", False),
)  # fmt: skip
"""Lines that answer a problem without a box."""

BOXES = (
    ("\\boxed{**<value>**}", True), ("\\boxed{`<value>`}", True), ("**\\boxed{<value>}**", True),
    ("\\fbox{<value>}", False),
    ("$$\\boxed{<value>}$$", True), ("\\[\n\\boxed{<value>}\n\\]", True), ("\\( \\boxed{<value>} \\)", True),
    ("\\boxed{ <value> }", True), ("\\boxed{$<value>$}", True), ("\\boxed{\\text{Answer: }<value>}", True),
    ("\\boxed{\\mathbf{<value>}}", True), ("`\\boxed{<value>}`", True), ("\\boxed{<value>.}", True),
    ("\\boxed{\\boxed{<value>}}", False), ("\\\\boxed{<value>}", True), ("\\boxed {<value>}", False),
    ("\\boxed{\n<value>\n}", False), ("\\boxed{<value>} = \\boxed{<value>}", False), ("\\boxed{*<value>*}", False),
    ("\\boxed{<value>}, i.e. \\boxed{<value>}", False), ("```\n\\boxed{<value>}\n```", True),
    ("Answer: \\boxed{<value>}", True),
    ("**Final Answer:** \\boxed{<value>}", True), ("**Final Answer**\n\n\\[\n\\boxed{<value>}\n\\]", True),
    ("#### \\boxed{<value>}", True), ("So \\boxed{1000003}? No: \\boxed{<value>}", True),
    ("> \\boxed{<value>}", False),
    ("\\boxed{1000003}\nCheck: wrong. Corrected.\n\\boxed{<value>}", True),
    ("<answer>\\boxed{<value>}</answer>", False),
    ("\\boxed{1000003}\n**Final Answer:** \\boxed{<value>}", True), ("Final Answer:\n\\boxed{<value>}", True),
)  # fmt: skip
"""Ways to box an answer. A later box of the same problem replaces the earlier one."""


def answer_styles() -> list[Style]:
    """Return answers in lines without a box, and boxes of all forms."""
    styles = [
        Style("line " + line.replace("\n", "⏎"), each(f"### Problem <k>\n<work>\n\n{line}"), seen)
        for line, seen in ANSWER_LINES
    ]
    styles += [
        Style("neutral work, line " + line.replace("\n", "⏎"), each(f"**Problem <k>**\n{NEUTRAL}\n{line}"), seen)
        for line, seen in ANSWER_LINES
    ]
    styles += [
        Style("box " + box.replace("\n", "⏎"), each(f"### Problem <k>\n<work>\n\n{box}"), seen) for box, seen in BOXES
    ]
    styles += [
        Style(f"parts of a list in boxes, {name}", list_in_boxes(between), seen, fits=has_list)
        for name, between, seen in (
            ("comma", ", ", True), ("and", "$ and $", True), ("or", "$ or $", False),
            ("text and", " \\text{ and } ", True),
            ("x =", ", x = ", False),
        )
    ]  # fmt: skip
    return styles


def text_styles() -> list[Style]:
    """Return canonical responses in other text forms, with code, with levels, and cut by a budget."""
    canonical = each(PLAIN)
    code = "\n```python\n# Problem 3: count\n### Problem 2\nprint(7)\n```\n```output\n7\n```\n"
    level = "<predicted_level>Level-1</predicted_level>\n"
    left: Due = (True, True, None)
    names = each("<k>. <box>", "\n")
    return [
        Style("CRLF", changed(canonical, ("\r", ""), ("\n", "\r\n")), True),
        Style("CR", changed(canonical, ("\r", ""), ("\n", "\r"))),
        Style("a byte order mark", joined("\ufeff", canonical, between="")),
        Style("no-break spaces", changed(canonical, ("Problem ", "Problem\u00a0"))),
        Style("greeting and farewell", joined("Sure, here are the solutions.", canonical, "I hope this helps."), True),
        Style("mention of the command first", joined("I put each into \\boxed{} as asked.", canonical), True),
        Style("all in a fence", joined("```", canonical, "```", between="\n"), True),
        Style("all in a markdown fence", joined("```markdown", canonical, "```", between="\n"), True),
        Style("each in a fence", each("```\n" + PLAIN + "\n```"), True),
        Style("fence opened behind the header", each("### Problem <k>\n```\n<work>\n\\boxed{<value>}\n```")),
        Style("code with headers in comments", each("### Problem <k>" + code + BODY), True),
        Style("a fence never closed", joined(each(PLAIN), "```python\n# Problem 1: \\boxed{1000003}")),
        Style("level behind the header", each("### Problem <k>\n" + level + BODY), True),
        Style("level before the header", each(level + PLAIN)),
        Style("level in the header line", each("### Problem <k> " + level.strip() + BODY)),
        *(
            Style(f"cut {name}", writer, name != "in thinking", due, cut_off=True)
            for name, due, writer in (
                ("in the third's work", left, cut(joined(canonical, between=""), "The answer is")),
                ("inside the third's box", left, cut(canonical, "\\boxed{")),
                ("in the third header", left, patterns(PLAIN, PLAIN, "### Prob")),
                ("in the second header", (True, None, None), cut(patterns(PLAIN, "### Problem", ""), "Problem")),
                (
                    "in a heading",
                    (True, True, False),
                    patterns(PLAIN, PLAIN, f"### Problem <k>\n{NEUTRAL}\n#### Step 2"),
                ),
                ("in thinking", (True, True, False), patterns(PLAIN, PLAIN, "### Problem <k>\n<think>\nPerhaps <box>")),
                (
                    "in an answer line",
                    (True, True, False),
                    patterns(PLAIN, PLAIN, f"### Problem <k>\n{NEUTRAL}\nAnswer: <value>"),
                ),
                ("behind an answer line", ALL, each(f"### Problem <k>\n{NEUTRAL}\nAnswer: <shown>\nNow")),
                ("behind the third box", ALL, cut(canonical, "}")),
                (
                    "in the closing list",
                    (True, True, None),
                    cut(joined(NEUTRAL_SECTIONS, "### Final Answers", names), "\\boxed{"),
                ),
            )
        ),
    ]


def order_styles() -> list[Style]:
    """Return responses that go back, hedge or answer out of order, with what the rule of order leaves of them."""
    wrong, open_ = "### Problem <k>\n\\boxed{<wrong>}", f"### Problem <k>\n{NEUTRAL}"
    wrong_line, name, names = open_ + "\nAnswer: <wrong>", "Problem <k>: <box>", each("Problem <k>: <box>", "\n")
    rest, first, last = (one(2, PLAIN), one(3, PLAIN)), (False, True, True), (False, False, None)
    skip, wrong_names = one(1, CANONICAL + "\n\\boxed{NA}"), each("Problem <k>: \\boxed{<wrong>}", "\n")
    opened, named, bad = one(2, open_), one(1, name), one(1, wrong)
    styles = [
        Style(f"order {order}", joined(*(one(int(k), PLAIN) for k in order)), loss_expected=True)
        for order in ("132", "213", "231", "312", "321")
    ]
    orders: list[tuple[str, Due, tuple[Writer | str, ...]]] = [
        ("wrong, right by name at the end", first, (bad, *rest, named)),
        ("wrong, right by name in the next", first, (bad, opened, named, one(2, "<box>"), rest[1])),
        ("wrong, right by name behind the next", first, (bad, one(2, PLAIN), named, rest[1])),
        ("wrong, right under its header", first, (bad, *rest, one(1, PLAIN))),
        ("wrong, right under its header, next open", first, (bad, opened, one(1, PLAIN), *rest)),
        ("wrong line, right by name in the next", first, (one(1, wrong_line), opened, named, *rest)),
        ("wrong line, right line by name at the end", first, (one(1, wrong_line), *rest, one(1, "Problem 1: <shown>"))),
        ("NA, right by name in the next", first, (skip, one(2, PLAIN), named, rest[1])),
        ("open, right by a name", ALL, (one(1, open_), opened, one(1, "So " + name), one(2, "<box>"), rest[1])),
        ("all wrong, closing names", NONE, (each(wrong), "### Final Answers", names)),
        ("all wrong, names at the end", last, (each(wrong), names)),
        ("all wrong, closing list", NONE, (each(wrong), "### Final Answers", LIST_BOX)),
        ("all wrong, closing numbers", NONE, (each(wrong), each("<k>. <box>", "\n"))),
        ("all wrong, titled closing numbers", NONE, (each(wrong), "**Summary**", each("<k>. <box>", "\n"))),
        ("all wrong, closing table", NONE, (each(wrong), TABLE)),
        ("all wrong lines, closing names", NONE, (each(wrong_line), "### Final Answers", names)),
        ("all wrong lines, closing list", NONE, (each(wrong_line), "### Final Answers", LIST_BOX)),
        ("all wrong first, then work", NONE, ("### Final Answers", wrong_names, each(PLAIN))),
        ("all wrong, then once more", (False, False, None), (each(wrong), each(PLAIN))),
        ("right, wrong names at the end", (True, True, None), (each(PLAIN), wrong_names)),
        ("right, wrong names in a closing section", ALL, (each(PLAIN), "### Summary", wrong_names)),
        ("right, a wrong check in the next", ALL, (one(1, PLAIN), rest[0], "Check. Problem 1: \\boxed{7}", rest[1])),
        ("right, then replaced", NONE, (each(PLAIN + " Or rather \\boxed{<wrong>}."),)),
        ("two names for a box", NONE, (bad, one(2, wrong), one(1, "Problem 1, Problem 2: <box>"))),
        ("two values in a box", NONE, (each("### Problem <k>\n\\boxed{<value> \\text{ or } <wrong>}"),)),
        ("two boxes as alternatives", NONE, (each("### Problem <k>\n\\boxed{<wrong>} or \\boxed{<value>}"),)),
    ]  # fmt: skip
    return styles + [
        Style(title, joined(*parts), due=due, fits=no_commas if LIST_BOX in parts else None)
        for title, due, parts in orders
    ]


def all_styles() -> list[Style]:
    """Return every style, in the order of the table."""
    return [
        *header_styles(), *mixed_header_styles(), *solution_styles(), *closing_styles(), *other_closing_styles(),
        *plan_styles(), *reasoning_styles(), *answer_styles(), *text_styles(), *order_styles(),
    ]  # fmt: skip
