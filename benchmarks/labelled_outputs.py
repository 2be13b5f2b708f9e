"""Agreement with labels on recorded outputs of real models, beside math-verify called the plain way.

    python benchmarks/labelled_outputs.py FOLDER_OR_FILE… [--questions FOLDER] [--list] [--workers 1] [--no-math-verify]

Each line of a file is a JSON object ``{"pool", "gold", "label", "answer" or "response"}``; ``id``, ``question`` and
``pid`` (the problem, whose question is looked up in ``--questions``) are used where they are there, everything else is
ignored. A response is read as the only problem of an exam; where nothing can be read from it and the line has an
``answer``, that is graded. The plain way is ``verify(parse(gold), parse(response))`` with math-verify's defaults, one
process, gold parsed each time.

Labels are not holy. Those found wrong after reading stand in ``benchmarks/reviewed_labels.jsonl`` (source, id, right
label, reason); the counts take the reviewed label, and the last column says how many of a source were turned. An
output from which nothing can be read is wrong to us, whatever its label; that is the reader's matter, so the first
table leaves those out.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.grading.answers import Check
from roi_bench.grading.grader import Grader
from roi_bench.reading.responses import read_response

REVIEWED = Path(__file__).with_name("reviewed_labels.jsonl")


@dataclass(frozen=True, slots=True)
class Output:
    """One recorded output.

    Attributes:
        source: Name of the file it comes from.
        id: Its id, or its line number.
        pool: Pool of the problem.
        gold: The gold answer.
        question: The question, or empty.
        text: What math-verify gets to see: the whole response, or the answer where there is no response.
        answer: What was read from the response, or the recorded answer; None where there is neither.
        label: Whether it is right, as reviewed.
        turned: Whether the review turned the label.
    """

    source: str
    id: str
    pool: str
    gold: str
    question: str
    text: str
    answer: str | None
    label: bool
    turned: bool


def rows_of(paths: Sequence[Path]) -> list[tuple[str, int, dict[str, Any]]]:
    """Return ``(source, line number, row)`` of every labelled line of the files, folders searched for ``*.jsonl``.

    Raises:
        SystemExit: A path does not exist, a line is no JSON, or nothing is labelled.
    """
    if absent := [path for path in paths if not path.exists()]:
        raise SystemExit(f"{absent[0]}: there is no such file or folder")
    files = [file for path in paths for file in (sorted(path.glob("**/*.jsonl")) if path.is_dir() else [path])]
    found = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise SystemExit(f"{file}, line {number}: not JSON ({error})") from error
                if isinstance(row, dict) and {"pool", "gold", "label"} <= row.keys():
                    found.append((file.stem, number, row))
    if not found:
        raise SystemExit(f"{', '.join(map(str, paths))}: no line has pool, gold and label")
    return found


def questions_of(folder: Path | None) -> dict[str, str]:
    """Return the questions of a data folder by problem id."""
    if folder is None:
        return {}
    questions = {}
    for file in sorted(folder.glob("*/*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if isinstance(row, dict) and "question" in row:
                    questions[str(row["id"])] = str(row["question"])
    return questions


def reviewed_labels() -> dict[tuple[str, str], bool]:
    """Return the labels that were found wrong, turned right, by source and id."""
    with REVIEWED.open(encoding="utf-8") as lines:
        return {(row["source"], str(row["id"])): bool(row["label"]) for row in map(json.loads, lines)}


def read_outputs(rows: list[tuple[str, int, dict[str, Any]]], questions: dict[str, str]) -> list[Output]:
    """Return the outputs as read."""
    turned = reviewed_labels()
    outputs = []
    for source, number, row in rows:
        response, recorded = row.get("response"), row.get("answer")
        answer = read_response(response, 1).problems[0].answer if isinstance(response, str) else None
        answer = answer if answer is not None or recorded is None else str(recorded)
        name = str(row.get("id", number))
        label = bool(row["label"])
        outputs.append(
            Output(
                source=source,
                id=name,
                pool=str(row["pool"]),
                gold=str(row["gold"]),
                question=str(row.get("question") or questions.get(str(row.get("pid")), "")),
                text=response if isinstance(response, str) else str(recorded),
                answer=answer,
                label=turned.get((source, name), label),
                turned=turned.get((source, name), label) != label,
            )
        )
    return outputs


def plain_verdicts(outputs: list[Output]) -> list[bool]:
    """Grade with math-verify called the plain way."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    return [bool(verify(parse(f"${output.gold}$"), parse(output.text))) for output in outputs]


def our_verdicts(outputs: list[Output], workers: int) -> list[bool]:
    """Grade with a fresh grader."""
    checks = [Check(output.pool, output.answer or "", (output.gold,), output.question) for output in outputs]
    with Grader(workers=workers) as grader:
        return [verdict.correct for verdict in grader.grade_many(checks)]


def counts(outputs: list[Output], verdicts: list[bool]) -> tuple[int, int, int]:
    """Return agreements, false accepts, false rejects."""
    accepts = sum(verdict and not output.label for output, verdict in zip(outputs, verdicts, strict=True))
    rejects = sum(output.label and not verdict for output, verdict in zip(outputs, verdicts, strict=True))
    return len(outputs) - accepts - rejects, accepts, rejects


def table(outputs: list[Output], ours: list[bool], plain: list[bool] | None, chosen: list[int]) -> None:
    """Print agreement of the ``chosen`` outputs, one line a source; ``plain``: math-verify's verdicts."""
    head = ("source", "n", "unread", "agree", "accept", "reject", "mv agree", "mv accept", "mv reject", "turned")
    print(("{:24}" + " {:>9}" * 9).format(*head))
    for source in [*sorted({output.source for output in outputs}), "all"]:
        part = [index for index in chosen if source in (outputs[index].source, "all")]
        some = [outputs[index] for index in part]
        numbers: list[object] = [*counts(some, [ours[index] for index in part])]
        numbers += ["-"] * 3 if plain is None else [*counts(some, [plain[index] for index in part])]
        unread = sum(output.answer is None for output in some)
        turned = sum(output.turned for output in some)
        print(("{:24}" + " {:>9}" * 9).format(source, len(some), unread, *numbers, turned))


def main() -> None:
    """Print agreement with the labels, then the disagreements if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--questions", type=Path, help="a data folder, for the questions by problem id")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="list every disagreement (answers, never problem texts)")
    parser.add_argument("--no-math-verify", action="store_true", help="grade our way only")
    arguments = parser.parse_args()
    outputs = read_outputs(rows_of(arguments.paths), questions_of(arguments.questions))
    started = time.perf_counter()
    ours = our_verdicts(outputs, arguments.workers)
    plain = None if arguments.no_math_verify else plain_verdicts(outputs)
    read = [index for index, output in enumerate(outputs) if output.answer is not None]
    print("outputs with an answer that the rules of reading find:")
    table(outputs, ours, plain, read)
    print("all outputs (math-verify takes the last number or formula of any text):")
    table(outputs, ours, plain, list(range(len(outputs))))
    print(f"graded in {time.perf_counter() - started:.1f} s")
    if arguments.list:
        for index, (output, our) in enumerate(zip(outputs, ours, strict=True)):
            if our != output.label:
                kind = "false accept" if our else "false reject"
                other = "" if plain is None else f" math-verify={plain[index]}"
                print(
                    f"{kind}: {output.source} {output.id} gold {output.gold!r} read {output.answer!r} "
                    f"label={output.label} roi-bench={our}{other}"
                )


if __name__ == "__main__":
    main()
