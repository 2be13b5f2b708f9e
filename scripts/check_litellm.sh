#!/usr/bin/env bash
# The tests of API models with the lowest litellm and openai that are supported and with the newest, each in an environment made
# for it. Exit code 0 only if all pass. Fifteen minutes on two cores, 2 GB an environment.
#
#   bash scripts/check_litellm.sh [--ends lowest,newest] [--folder DIR]
#
# --folder: where the environments are made and kept; one that is there is used as it is. Else a temporary one, removed at the end.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ends=lowest,newest folder=''
while [ $# -gt 0 ]; do
    case $1 in
    --ends) ends=${2:?--ends needs names} && shift 2 ;;
    --folder) folder=${2:?--folder needs a folder} && shift 2 ;;
    *) echo "unknown argument $1; see the head of $0" >&2 && exit 2 ;;
    esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
folder=${folder:-$scratch}
tests=(tests/api tests/harness/test_api_run.py tests/harness/test_api_batch.py tests/harness/test_api_interrupted.py
    tests/harness/test_api_plain_lm_eval.py tests/harness/test_api_decoding.py)

# The versions are those of pyproject.toml: "litellm>=1.2.3,<2" is 1.2.3 at the lower end.
lowest() {
    "$(find_python)" -c 'import re, sys, tomllib
extra = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["api"]
print(*(re.sub(r">=([^,]+).*", r"==\1", requirement) for requirement in extra))'
}

install_end() { # environment, requirements beside ours
    local pip=("$1/bin/python" -m pip --quiet --disable-pip-version-check)
    "$(find_python)" -m venv "$1"
    "${pip[@]}" install --upgrade "pip>=24"
    "${pip[@]}" install "torch==2.13.0" || "${pip[@]}" install "torch>=2.6"
    "${pip[@]}" install --upgrade --upgrade-strategy eager --editable ".[hf,api,dev]" "${@:2}"
}

failed=0
for end in ${ends//,/ }; do
    case $end in
    lowest) read -ra wanted <<<"$(lowest)" ;;
    newest) wanted=(litellm openai) ;;
    *) echo "unknown end $end: lowest, newest" >&2 && exit 2 ;;
    esac
    python="$folder/$end/bin/python"
    [ -x "$python" ] || install_end "$folder/$end" "${wanted[@]}"
    versions=$("$python" -c 'from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("litellm", "openai")))')
    echo "== $end: $versions"
    PATH="$folder/$end/bin:$PATH" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" \
        "$python" -m pytest -q -n "${ROI_BENCH_WORKERS:-2}" --dist loadfile -p no:cacheprovider "${tests[@]}" || failed=1
done
exit "$failed"
