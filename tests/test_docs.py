"""What the documentation shows is run, by the tiny model where another is not at hand; links, numbers are checked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from roi_bench.api.settings import ApiSettings, api_settings
from roi_bench.harness.run_arguments import parse_arguments
from roi_bench.scoring.statistics import ExamTerm, estimate_ratio
from tests.support.doc_commands import FEW, PAGES, ROOT, DocCommand, doc_commands, stand_in
from tests.support.warm_process import run as run_process

COMMANDS = doc_commands()


def named(commands: list[DocCommand]) -> list[str]:
    return [f"{command.page}:{command.text[:60]}" for command in commands]


@pytest.mark.parametrize("command", COMMANDS, ids=named(COMMANDS))
def test_commands_name_what_exists(command: DocCommand) -> None:
    words, arguments = command.words, command.run_words
    names = re.findall(r"\broi_\w+\b", " ".join(words[1:])) if words[0] in ("lm_eval", "roi-bench") else []
    for name in names:
        files = [ROOT / folder / f"{name}.yaml" for folder in ("tasks", "baselines/tasks")]
        assert name == "roi_bench" or any(file.exists() for file in files), f"no task {name}"
    for word in words:
        if word.endswith((".sh", ".py")) and "/" in word:
            assert (ROOT / word).exists(), f"no file {word}"
    if arguments is None:
        return
    if words[0] == "lm_eval":
        from lm_eval._cli.harness import HarnessCLI

        HarnessCLI()._parser.parse_args(["run", *arguments])
    elif "$" not in command.text:
        parse_arguments(arguments)
    if "roi-api" in arguments:
        api_settings(parse_arguments(arguments).config.model_args)


RUNS = [command for command in COMMANDS if command.run_words is not None]


@pytest.mark.parametrize("command", RUNS, ids=named(RUNS))
def test_runs_send_chat_models_messages_and_save_what_came_of_them(command: DocCommand) -> None:
    if re.search(r"pretrained=(\S+-Instruct|Qwen/Qwen3)", command.text):
        assert "--apply_chat_template" in command.words
    assert "--output_path" in command.words or "--dry-run" in command.words
    assert "--log_samples" in command.words or command.words[0] != "lm_eval"


def test_the_readme_runs_one_model_always_with_the_same_options() -> None:
    shared = ("--apply_chat_template", "--batch_size", "--log_samples", "--model")
    asked: dict[tuple[str, str], set[tuple[str | None, ...]]] = {}
    for command in (command for command in RUNS if command.page == "README.md" and "pretrained=" in command.text):
        words = command.run_words or []
        values = tuple(words[words.index(name) + 1] if name in words else None for name in shared)
        model = re.search(r"pretrained=([^, ]+)", command.text)
        assert model is not None
        program = " ".join(word for word in command.words if word in ("lm_eval", "roi-bench", "torchrun"))
        asked.setdefault((program, model[1]), set()).add(values)
    assert [ways for ways in asked.values() if len(ways) > 1] == []
    assert {model for _, model in asked} == {"Qwen/Qwen2.5-1.5B-Instruct"}


@pytest.fixture(scope="session")
def environment(data_dir: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ROI_BENCH_DATA_DIR": str(data_dir),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


STARTED_WARM = """roi-bench() { printf '%s\\0' -m roi_bench "$@"; }; lm_eval() { printf '%s\\0' -m lm_eval "$@"; }"""


def start(text: str, environment: dict[str, str], folder: Path) -> str:
    """Run a command line and return what it prints.

    bash expands a line of ours; what it would start begins where the imports are done. Other lines bash runs itself.
    """
    ours = text.splitlines()[-1].startswith(("roi-bench ", "lm_eval "))
    done = subprocess.run(
        ["bash", "-ec", f"{STARTED_WARM}\n{text}" if ours else text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    if ours:
        done = run_process(done.stdout.split("\0")[:-1], environment, folder)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def prepared(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for granted: runs of exams and of problems alone, responses of one's own."""
    from roi_bench import load_exams

    folder = tmp_path_factory.mktemp("prepared")
    for task, name in (("roi_tiny_hard_128", "exams"), ("roi_tiny_solo_128", "solo")):
        arguments = f"--model hf --model_args pretrained=MODEL --tasks {task} --output_path results/{name}"
        page = DocCommand("", f"roi-bench run {arguments}")
        start(stand_in(page) or "", environment, folder)
    start("roi-bench profile results/solo --out profile.json", environment, folder)
    lines = [
        {"exam": exam.id, "order": order, "response": "### Problem 1\n\\boxed{NA}"}
        for exam in load_exams("tiny")[:FEW]
        for order in ("hard", "easy")
    ]
    (folder / "responses.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def started() -> list[DocCommand]:
    """Return the commands that are run: of equal ones in all pages, and of runs into other folders, the first.

    A run whose folder another command of its page reads is kept, and what reads it.
    """
    found: dict[tuple[str, str], DocCommand] = {}
    for command in COMMANDS:
        text = stand_in(command)
        if text is None:
            continue
        folder = re.search(r" --output_path (\S+)", text)
        others = [other.words[1:] for other in COMMANDS if other.page == command.page and other.run_words is None]
        read = folder is not None and any(
            f"{word}/".startswith(f"{folder[1]}/") or folder[1].startswith(f"{word}/")
            for words in others
            for word in words
        )
        alone = command.words[1] in ("doctor", "exams", "train") or (folder is not None and not read)
        key = ("" if alone else command.page, text.replace(folder[0], "") if folder is not None and alone else text)
        found.setdefault(key, command)
    return list(found.values())


STARTED = started()


@pytest.mark.slow
@pytest.mark.parametrize("command", STARTED, ids=named(STARTED))
def test_examples_run(
    command: DocCommand, environment: dict[str, str], prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Commands of a page build on each other and on what is prepared; what the page shows of their output is there."""
    folder = tmp_path_factory.getbasetemp() / "docs" / command.page.replace("/", "-")
    if not folder.exists():
        own = " ".join(other.text for other in COMMANDS if other.page == command.page)
        named = [name for name in ("exams", "solo") if f"results/{name}" in own]
        taken = named if named or "_path results" in own else ["exams"]
        left = [name for name in ("exams", "solo") if name not in taken or f"_path results/{name}" in own]
        shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(*left))
    printed = start(stand_in(command) or "", environment, folder)
    if command.shown is not None:
        said = " ".join(printed.split())
        lines = [" ".join(line.split()) for line in command.shown.splitlines() if line.strip()]
        pattern = ".*".join(".*".join(map(re.escape, line.split("…"))) for line in lines)
        assert re.search(pattern, said), f"shown:\n{command.shown}\nprinted:\n{printed}"


def slugs(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    ):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", text):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in slugs(path.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_the_real_models_of_the_readme_have_the_numbers_of_their_page() -> None:
    """Which are recomputed from the rows (tests/benchmarks/test_real_models.py)."""
    names = {"Qwen2.5-Coder-1.5B-Instruct": "qwen15", "Qwen2.5-Coder-0.5B-Instruct": "qwen05"}
    page = (ROOT / "docs" / "real-models.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (Qwen\S+) \| (\d+), (\w+) \| (.+) \|$", readme, re.MULTILINE)
    assert len(rows) >= 4
    for name, budget, order, numbers in rows:
        assert f"| {names[name]} | direct | {budget} | {order} | {numbers} |" in page


def test_the_readme_names_every_extra() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| extra | for |")[2].partition("\n\n")[0]
    shown = re.findall(r"`([\w-]+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.count("|") == 3))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(shown) == sorted(project["optional-dependencies"])


def test_the_readme_says_what_a_task_asks(environment: dict[str, str], tmp_path: Path) -> None:
    """As a dry run counts; prompts of the tasks differ in nothing but the budget, and they share easy order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| .* \| ([\d,]+) \| ([\d.]+) M \| ([\d.]+) M \| (\d+) minutes \|", readme, re.MULTILINE)
    arguments = "--model roi-api --model_args model=openai/gpt-4o-mini --tasks roi_exam_hard_512 --dry-run"
    said = start(f"roi-bench run {arguments}", environment, tmp_path)
    found = re.search(r"([\d,]+) requests, ([\d,]+) prompt tokens, at most ([\d,]+) generated", said)
    assert found is not None
    count, prompts, generated = (int(number.replace(",", "")) for number in found.groups())
    assert (count, generated) == (2 * 480, 2 * 480 * 512)
    asked = [(count, prompts, generated), (count, prompts, 2 * generated)]
    asked.append((3 * count, 3 * prompts, 3 * 480 * (512 + 1024)))
    assert shown == [
        (f"{count:,}", f"{prompts / 1e6:.2f}", f"{generated / 1e6:.2f}", f"{generated / 2000 / 60:.0f}")
        for count, prompts, generated in asked
    ]


def test_the_example_of_the_metrics_page() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    hard, easy = [1, 0], [3, 0]
    terms = [ExamTerm(float(e - h), float(e), str(i)) for i, (h, e) in enumerate(zip(hard, easy, strict=True))]
    assert f"regret` = (3 − 1)/3 ≈ {estimate_ratio(terms).value:.3f}" in page
    assert f"(1 + 0)/2 = {sum(hard) / 2}" in page
    assert f"(3 + 0)/2 = {sum(easy) / 2}" in page


def test_the_metrics_page_names_every_metric() -> None:
    from roi_bench.scoring.metrics import metrics_of

    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for pools in (("gsm8k", "math", "aime"), ("tiny-easy", "tiny-middle", "tiny-hard")):
        for metric in metrics_of(pools):
            assert f"`{metric.name}`" in page


def test_the_page_of_api_models_names_every_argument_and_its_default() -> None:
    page = (ROOT / "docs" / "api-models.md").read_text(encoding="utf-8")
    table = page[page.index("## All arguments") :]
    for field in fields(ApiSettings):
        assert f"`{field.name}`" in table, field.name
    for name in ("num_concurrent", "timeout", "max_retries", "retry_wait"):
        default = next(field.default for field in fields(ApiSettings) if field.name == name)
        assert re.search(rf"^\| `{name}` \| {default:g} \|", table, re.MULTILINE), name


def test_the_allocation_example_of_the_metrics_page() -> None:
    import numpy as np

    from roi_bench.analysis.allocation import hindsight_value, optimal_policy, play_value

    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    costs = np.array([[[6, 10], [4, 4], [2, 2]]])
    correct = np.array([[[True, False], [True, True], [True, True]]])
    always = np.ones((1, 3))
    in_order = float(play_value(costs, correct, 10, 1, always)[0, 10])
    optimal = float(optimal_policy(costs, correct, 10, 1).values[0, 10])
    hindsight = float(hindsight_value(costs, correct, 10, 1)[0, 10])
    assert f"`in order` = (2 + 0)/2 = {in_order}" in page
    assert f"`V_DP in sample` = {optimal}, and `hindsight` = {hindsight}" in page
    efficiency, retention = in_order / optimal, 1 / in_order
    assert f"replays to `V_replay` = {in_order}" in page
    assert f"AE against `V_DP in sample` is {efficiency}, SR is {retention}" in page
    assert f"{optimal} · {efficiency} · {retention} = {optimal * efficiency * retention}" in page


def test_the_metrics_page_names_every_number_of_a_solo_task_and_every_heading_of_a_report() -> None:
    from roi_bench.analysis.efficiency import allocations, profile_table
    from roi_bench.analysis.profile import match_profiles
    from roi_bench.analysis.reports.report import report_tables
    from roi_bench.scoring.kinds import solo_metrics_of
    from tests.support.simulated_runs import EXAMS, GROUP, PROFILE, RUNS

    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for metric in solo_metrics_of(("gsm8k", "math", "aime")):
        if metric.name not in ("math_acc", "aime_acc", "math_tokens", "aime_tokens"):
            assert f"`{metric.name}`" in page, metric.name
    matched = match_profiles(RUNS, [PROFILE])
    tables = report_tables(RUNS, matched, allocations(matched), groups=[GROUP])
    tables.append(profile_table(PROFILE, EXAMS))
    numbers = {
        re.sub(r"\d+", "1", column.name)
        for table in tables
        for index, column in enumerate(table.columns)
        if table.name != "runs" and not any(isinstance(row[index], str) for row in table.rows)
    }
    counted = {
        "exams",
        "problems",
        "samples",
        "attempts",
        "forecasts",
        "not counted",
        "no solo samples",
        "of",
        "position",
        "prompts",
    }
    left = {name for name in numbers - counted if name.replace("right within 1", "right within") not in page}
    assert {name.removesuffix(" (regret)") for name in left} <= {"regret A − B", "score A − B", "detectable", "p"}


def test_the_python_example_of_the_allocation_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from roi_bench.analysis.profile import Profile, SoloSkill, profile_text
    from roi_bench.exams.tiny import tiny_exams
    from roi_bench.scoring.prompts import prompt_sha256

    problems = [problem for exam in tiny_exams(count=3) for problem in exam.problems]
    skills = {problem.id: SoloSkill((50, 50), (True, True)) for problem in problems}
    made = Profile("m", "tiny", 0, 256, 5, prompt_sha256("solo"), {}, skills)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "profile.json").write_text(profile_text(made), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "allocation.md").read_text("utf-8"), re.S | re.M)
    exec(block, {})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "2.0 2.0\n"  # two of three at 50 fit into 128


@pytest.mark.parametrize("command", COMMANDS, ids=named(COMMANDS))
def test_commands_have_the_options_that_are_shown(command: DocCommand) -> None:
    import click

    from roi_bench.cli.main import cli

    words = command.words
    if words[0] == "roi-bench" and words[1] != "run":
        found = cli.get_command(click.Context(cli), words[1])
        rest = words[2:]
        while isinstance(found, click.Group):
            name, *rest = rest
            found = found.get_command(click.Context(found), name)
        assert found is not None
        found.make_parser(click.Context(found)).parse_args(rest)  # an option that is not there raises
