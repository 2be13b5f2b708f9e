"""A process that was forked behaves as one that was started, as far as tests look."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.warm_process import WarmProcess, popen, run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SNIPPETS = {
    "end": "print('out'); import sys; print('err', file=sys.stderr)",
    "code": "import sys; sys.exit(7)",
    "message": "import sys; sys.exit('a message')",
    "error": "raise KeyError('x')",
    "atexit": "import atexit; atexit.register(print, 'last')",
    "thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('later'))).start()",
    "arguments": "import sys; print(sys.argv)",
    "variables": "import os; print(os.environ['ONLY_HERE'], os.getcwd(), 'ROI_BENCH_CHROMIUM' in os.environ)",
    "child": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(4)'])",
    "descriptors": "import os; os.write(1, b'raw'); os.write(2, b'raw')",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_it_ends_as_a_process_of_its_own_does(name: str, tmp_path: Path) -> None:
    arguments = ["-c", SNIPPETS[name], "a", "b c"]
    variables = {name: value for name, value in ENVIRONMENT.items() if name != "ROI_BENCH_CHROMIUM"}
    variables["ONLY_HERE"] = "1"
    child = popen(arguments, variables, tmp_path)
    assert isinstance(child, WarmProcess)
    out, err = child.communicate()
    real = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=variables, cwd=tmp_path, check=False
    )
    assert (child.returncode, out) == (real.returncode, real.stdout)
    assert err.splitlines()[-1:] == real.stderr.splitlines()[-1:]


def test_signals_reach_it() -> None:
    code = "import time; print('up', flush=True); time.sleep(60)"
    for number, expected in ((signal.SIGINT, 1), (signal.SIGKILL, -signal.SIGKILL)):
        child = popen(["-c", f"try:\n {code}\nexcept KeyboardInterrupt: raise SystemExit(1)"], ENVIRONMENT)
        assert child.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1)
        child.send_signal(number)
        assert child.wait() == expected


def test_variables_that_act_at_the_start_begin_a_new_python() -> None:
    started = popen(["-c", "import sys; print(sys.flags.dev_mode)"], {**ENVIRONMENT, "PYTHONDEVMODE": "1"})
    assert isinstance(started, subprocess.Popen)
    assert started.communicate()[0] == "True\n"


def test_modules_run_and_find_what_the_variables_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n", encoding="utf-8")
    done = run(["-m", "mine", "x"], {**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "__main__ ['x']\n")
