#!/usr/bin/env bash
# Every check: ruff, mypy --strict, and all tests, the slow ones included. Further arguments go to pytest.
# All of them run even if one fails; the exit code is 0 only if all passed. The last line is pytest's.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
ensure_environment
ensure_browser

export HF_HUB_OFFLINE=1 # no test needs the network
unset PYTHONDONTWRITEBYTECODE # the tests start hundreds of processes; each would compile all our modules again
failed=0
check() {
    echo "== $*"
    "$@" || {
        echo "FAILED: $*"
        failed=1
    }
}
check ruff check .
check ruff format --check .
check mypy --strict
echo "== pytest"
code=0
# Two files at a time: a test file stays whole, so that tests which build on one another meet. -n 0 in the arguments: one.
# Files come in the order of tests/conftest.py, long ones first; xdist by itself would leave files of few tests to the end.
python -m pytest -n "$(python -c 'import os; print(min(2, os.cpu_count() or 1))')" --dist loadfile --no-loadscope-reorder \
    "$@" || code=$?
exit $((code ? code : failed))
