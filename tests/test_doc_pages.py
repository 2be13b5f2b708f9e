"""Statements of the documentation that can be checked: examples are graded, figures computed, and named files exist."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from benchmarks.training_seeds import stage_lines
from roi_bench import grade, read_response
from roi_bench.scoring.metrics import metrics_of
from roi_bench.scoring.statistics import FEWEST_CLUSTERS, FEWEST_EXAMS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def graded_examples() -> list[tuple[str, str, str, str, bool]]:
    """Return ``(pool, gold, question, answer, right)`` of every example of the grading page."""
    found = []
    sections = (DOCS / "grading.md").read_text(encoding="utf-8").split("\n## ")[1:]
    for pool, section in zip(("math", "gsm8k"), sections, strict=True):
        for row in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
            _, gold, *cells = re.split(r" ?\| ", row + " ")
            question = re.search(r"\(\*(.*)\*\)", gold)
            asked = (pool, gold.split("`")[1], question[1] if question else "")
            for right, cell in zip((True, False), cells, strict=True):
                found += [(*asked, answer, right) for answer in re.findall(r"`([^`]+)`", cell)]
    return found


EXAMPLES = graded_examples()


def test_the_grading_page_has_examples_of_both_kinds() -> None:
    assert len(EXAMPLES) > 90
    assert {(pool, right) for pool, *_, right in EXAMPLES} == {(p, r) for p in ("math", "gsm8k") for r in (True, False)}


@pytest.mark.parametrize(("pool", "gold", "question", "answer", "right"), EXAMPLES)
def test_examples_of_the_grading_page(pool: str, gold: str, question: str, answer: str, right: bool) -> None:
    assert grade(gold, answer, pool=pool, question=question).correct is right


CODE = [path for folder in ("roi_bench", "scripts", "benchmarks", "tests") for path in (ROOT / folder).rglob("*")]
CODE = [path.relative_to(ROOT).as_posix() for path in [ROOT / "hatch_build.py", *CODE] if path.suffix in (".py", ".sh")]
PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("CONTRIBUTING.md", "baselines/README.md"))]
PAGES += [ROOT / name / "README.md" for name in ("leaderboard", "reference_training")]


FOLDERS = {part for path in CODE for part in path.split("/")[:-1]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_files_that_a_page_names_exist(page: Path) -> None:
    """A file may be named from the top, from the package, or by its last parts; other projects' files have folders."""
    named = set(re.findall(r"`([\w./-]+\.(?:py|sh))`", page.read_text(encoding="utf-8")))
    ours = [name for name in named if "/" not in name or name.split("/")[0] in FOLDERS]
    assert [name for name in ours if not any(f"/{path}".endswith(f"/{name}") for path in CODE)] == []


def read_examples() -> list[tuple[str, list[str | None]]]:
    """Return ``(response, answers)`` of every example of a response on the page of the benchmark."""
    page = (DOCS / "benchmark.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.*)` \| (.*) \| (.*) \| (.*) \|$", page[page.index("| response | 1 |") :], re.MULTILINE)
    return [(text.replace(" ⏎ ", "\n"), [None if cell == "–" else cell for cell in cells]) for text, *cells in rows]


@pytest.mark.parametrize(("response", "answers"), read_examples())
def test_examples_of_responses_on_the_page_of_the_benchmark(response: str, answers: list[str | None]) -> None:
    problems = read_response(response, 3).problems
    assert ["NA" if problem.skipped else problem.answer for problem in problems] == answers


def test_the_page_of_the_benchmark_has_examples_of_responses() -> None:
    assert len(read_examples()) == 5


def test_the_metrics_page_says_which_direction_is_better() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    table = dict.fromkeys(re.findall(r"^\| (`[^|]*) \| [^|]* \| (↑|↓|) ?\|$", page, re.MULTILINE))
    said = {name: arrow for names, arrow in table for name in re.findall(r"`(\w+)`", names)}
    arrows = {True: "↑", False: "↓", None: ""}
    pools = ("gsm8k", "math", "aime"), ("tiny-easy", "tiny-middle", "tiny-hard")
    metrics = {metric.name: arrows[metric.higher_is_better] for names in pools for metric in metrics_of(names)}
    assert said == metrics


def test_the_tiny_page_shows_what_the_model_card_says() -> None:
    card = (ROOT / "roi_bench" / "data" / "tiny_model" / "README.md").read_text(encoding="utf-8")
    measured = re.findall(
        r"^\| (\w+) \| (\d+) \| 240 \| ([\d.]+) .* \| ([\d.]+) .* \| ([\d.]+) .* \| ([\d.]*) \|$", card, re.M
    )
    page = (DOCS / "tiny-family.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ?([\d.]*) \|$", page, re.M)
    assert len(shown) == 7
    assert shown == measured


def test_the_metrics_page_says_which_runs_are_for_trying_only() -> None:
    page = " ".join((DOCS / "metrics.md").read_text(encoding="utf-8").split())
    assert f"Runs of fewer than {FEWEST_EXAMS} exams or {FEWEST_CLUSTERS} clusters are for trying only" in page


@pytest.mark.parametrize(("labels", "rows"), [("", 12), ("-plain", 8)])
def test_the_evidence_of_the_seeds_is_that_of_its_rows(labels: str, rows: int) -> None:
    with (DOCS / f"training-evidence{labels}.csv").open(encoding="utf-8", newline="") as file:
        kept = [
            {name: cell if name in ("exams", "stage", "prompt") else float(cell) for name, cell in row.items() if cell}
            for row in csv.DictReader(file)
        ]
    page = (DOCS / "training-evidence.md").read_text(encoding="utf-8").partition("## Three seeds")[2]
    first, _, second = page.partition("Plain labels, seeds 0 and 1")
    shown = re.findall(r"^\| (?:hard|medium) \d.* \|$", second if labels else first, re.MULTILINE)
    lines = [line.strip("| ").split(" | ") for line in list(stage_lines(kept))[2:]]
    own = {("base", "direct"), ("mft", "metacognitive"), ("rarl", "metacognitive")}
    known = [
        [exams.removeprefix("tiny "), stage, *rest] for exams, stage, prompt, *rest in lines if (stage, prompt) in own
    ]
    assert len(shown) == rows
    assert {tuple(line.strip("| ").split(" | ")) for line in shown} <= set(map(tuple, known))


def test_the_readme_says_of_plain_labels_what_their_rows_say() -> None:
    with (DOCS / "training-evidence-plain.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["exams"], row["stage"]): row for row in csv.DictReader(file)}
    mft, rarl = (rows["tiny hard 128", stage] for stage in ("mft", "rarl"))
    numbers = [f"{float(row[name]):.2f}" for row in (mft, rarl) for name in ("score", "regret")]
    said = "plain labels MFT reaches {} (regret {}), with RARL {} ({})".format(*numbers)
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_what_is_said_of_the_shipped_models_is_that_of_their_cards() -> None:
    precisions, accuracies, medium = [], [], []
    for folder in ("tiny_mft", "tiny_rarl"):
        card = (ROOT / "roi_bench" / "data" / folder / "README.md").read_text(encoding="utf-8")
        found = re.findall(r"^\| tiny (\w+ \d+) \| metacognitive \| 480 \| (.*) \|$", card, re.MULTILINE)
        assert len(found) == 4
        for exams, text in found:
            score, _, regret, _, _, _, precision, accuracy, *_ = (cell.split()[0] for cell in text.split(" | "))
            precisions.append(precision)
            accuracies.append(accuracy)
            medium += [(score, regret)] if exams == "medium 128" else []
    said = "kip precision is {} to {} and level accuracy {} to {}"
    page = (DOCS / "training-evidence.md").read_text(encoding="utf-8")
    assert said.format(min(precisions), max(precisions), min(accuracies), max(accuracies)) in page
    score, regret = zip(("1.24", "0.33"), *medium, strict=True)
    said = "score rises from {} to {} and {}, regret falls from {} to {} and {}".format(*score, *regret)
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_readme_and_docs_stay_short() -> None:
    """At most 20,000 words (``wc -w``) without the generated pages; docs/measurements.md states the number."""
    pages = [
        ROOT / "README.md",
        *(page for page in DOCS.rglob("*.md") if page.name not in ("messages.md", "module-map.md")),
    ]
    words = sum(len(page.read_text(encoding="utf-8").split()) for page in pages)
    (stated,) = re.findall(r"([\d,]+) words", (DOCS / "measurements.md").read_text(encoding="utf-8"))[:1]
    assert words <= 20_000
    assert abs(words - int(stated.replace(",", ""))) <= 300
