"""The command line as a user meets it: help at once, one line for every expected failure, the right exit code."""

import errno
import importlib
import importlib.util
import os
import subprocess
import sys

import click
import pytest

from roi_bench import __version__
from roi_bench.cli.main import COMMANDS, SLOW_PACKAGES, LoadingNotice, cli, main
from roi_bench.errors import DataError, DependencyError, ModelError, RecordError, UsageError
from tests.support.messages import missing

FAILURES = {
    "usage": (UsageError("budget -1 is\nnegative"), 2, "budget -1 is negative"),
    "data": (DataError("pool gone"), 3, "pool gone"),
    "model": (ModelError("context too short"), 4, "context too short"),
    "record": (RecordError("journal cut"), 5, "journal cut"),
    "dependency": (DependencyError("no torch"), 6, "no torch"),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "results/x"), 1, "No space left on device: results/x"),
    "other": (OSError("connection lost"), 1, "connection lost"),
    "ctrl-c": (KeyboardInterrupt(), 130, "interrupted"),
    "abort": (click.Abort(), 130, "interrupted"),
}


@click.command()
@click.option("--how", type=click.Choice(list(FAILURES)))
def failing(how: str | None) -> int:
    """Fail as told, or return an exit code."""
    if how is not None:
        raise FAILURES[how][0]
    return 7


@pytest.fixture
def _failing_command(monkeypatch):
    monkeypatch.setitem(COMMANDS, "failing", (f"{__name__}:failing", "Fails."))


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of ``roi-bench ARGUMENTS``."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


@pytest.mark.usefixtures("_failing_command")
@pytest.mark.parametrize("how", FAILURES)
def test_an_expected_failure_is_one_line_and_an_exit_code(capsys, how):
    _, code, message = FAILURES[how]
    ended, out, err = run(capsys, "failing", "--how", how)
    assert (ended, out) == (code, "")
    assert err.lstrip("\n") == f"roi-bench: {message}\n"  # click ends the line of a terminal's ^C first


@pytest.mark.usefixtures("_failing_command")
def test_the_exit_code_of_a_command_is_passed_on(capsys):
    assert run(capsys, "failing") == (7, "", "")


@pytest.mark.usefixtures("_failing_command")
def test_a_wrong_option_names_the_help_to_look_at(capsys):
    code, out, err = run(capsys, "failing", "--hwo", "disk")
    assert (code, out) == (2, "")
    assert "--hwo" in err
    assert "roi-bench failing --help" in err
    assert err.count("\n") == 1


def test_an_unknown_command_gets_the_nearest_names(capsys):
    code, out, err = run(capsys, "regarde")
    assert (code, out) == (2, "")
    assert missing(["'regarde'", "'regrade'"], err) == []


def test_no_arguments_print_the_help(capsys):
    code, _, err = run(capsys)
    assert code == 2
    assert all(name in err for name in COMMANDS)


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"roi-bench, version {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_documents_itself(name):
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
        assert isinstance(command, click.Command)
        assert command.get_short_help_str()


def test_help_imports_nothing_heavy():
    script = "import sys; from roi_bench.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
    script += "print(sorted({'numpy', 'lm_eval', 'torch', 'transformers', 'datasets', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert "doctor" in done.stdout


def test_a_reader_that_leaves_early_is_no_error():
    script = "from roi_bench.cli.main import main; main(['--help'])"
    with subprocess.Popen([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run_:
        assert run_.stdout is not None
        assert run_.stderr is not None
        run_.stdout.close()
        assert run_.stderr.read() == b""


STOPPED_AT_THE_FIRST_SLOW_IMPORT = f"""
import os, sys
from roi_bench.cli.main import main

class Stop:
    def find_spec(self, name, path=None, target=None):
        is_only_asked = sys._getframe(2).f_globals["__name__"] == "importlib.util"
        if name in {set(SLOW_PACKAGES)!r} and not is_only_asked:
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(2, f"stopped at {{name}}".encode())
            os._exit(0)

sys.meta_path.insert(0, Stop())
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "run --help",
        "run --model dummy --tasks roi_tiny_hard_128",
        "report results",
        "compare-engines a b",
        "profile results --out p.json",
        "allocate p.json",
        "regrade results",
        "train run tiny --dry-run",
        "submit pack results --out s",
        "submit check s",
        "leaderboard build s --out board",
        "exams verify",
        "doctor",
    ],
)
def test_every_command_says_a_word_before_the_first_slow_import(tmp_path, arguments):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results_1.json").write_text("{}")
    (tmp_path / "p.json").write_text("{}")
    command = [sys.executable, "-c", STOPPED_AT_THE_FIRST_SLOW_IMPORT, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL)
    said = (done.stdout + done.stderr).splitlines()
    assert said
    assert not said[0].startswith("stopped at")
    if said[-1].startswith("stopped at") and not done.stdout:
        assert said[0].startswith("roi-bench: loading")


def test_the_notice_comes_once_and_from_the_first_process_of_a_launch(monkeypatch, capsys):
    notice = LoadingNotice("roi-bench")
    for name in ("json", "torch", "scipy"):
        assert notice.find_spec(name) is None
    assert capsys.readouterr().err == "roi-bench: loading torch …\n"
    monkeypatch.setitem(os.environ, "RANK", "1")
    LoadingNotice("roi-bench").find_spec("torch")
    assert capsys.readouterr().err == ""


def test_the_question_whether_there_is_a_package_is_no_loading(monkeypatch, capsys):
    monkeypatch.setattr("roi_bench.cli.main.SLOW_PACKAGES", ("not_there",))
    monkeypatch.setattr(sys, "meta_path", [LoadingNotice("roi-bench"), *sys.meta_path])
    assert importlib.util.find_spec("not_there") is None
    assert capsys.readouterr().err == ""
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_there")
    assert capsys.readouterr().err == "roi-bench: loading not_there …\n"


def test_the_last_collection_finds_nothing_to_walk_through():
    """It took two seconds at the end of every run, for objects that modules hold to the end anyway."""
    code = (
        "import atexit, gc\n"
        "from roi_bench.cli.main import main\n"
        "atexit.register(lambda: print(len(gc.get_objects()), gc.get_freeze_count() > 1000))\n"
        "main(['exams', 'show', 'tiny/0/000'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 True"
