#!/usr/bin/env bash
# roi-bench beside the lowest versions that pyproject.toml allows, in environments made for it: a task, a report, a pack, a board,
# the trainer. Exit code 0 only if all of it works. Twenty minutes on two cores, 4 GB; what is tried: scripts/installed_sets.sh.
#
#   bash scripts/check_lowest.sh [--sets base,use,train] [--folder DIR]
#
# The lowest versions are those that uv resolves (it is installed into an environment of its own): of each package that we name the
# lowest that goes together with the others. What those bring is the newest that they allow, as a user gets it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/installed_sets.sh"
read_options "$@"

pip_arguments() {
    local named extra=()
    named=$(extras "$1")
    for name in ${named//,/ }; do extra+=(--extra "$name"); done
    [ -x "$scratch/uv/bin/uv" ] || { make_environment "$scratch/uv" && pip_of "$scratch/uv" install uv; }
    [ -z "$named" ] || echo "$TORCH" >"$scratch/override"
    touch "$scratch/override" && : >"$scratch/constraint"
    # The trainer's lowest transformers: uv would raise it for the lowest click, which does not go together with it.
    if [ "$1" = train ]; then
        sed -n 's/^train = .*"transformers>=\([0-9.]*\)".*/transformers==\1.*/p' pyproject.toml >"$scratch/constraint"
        [ -s "$scratch/constraint" ] || { echo "pyproject.toml names no lowest transformers for train" >&2 && return 1; }
    fi
    "$scratch/uv/bin/uv" pip compile --quiet --resolution lowest-direct --no-header --no-annotate "${extra[@]}" \
        --python "$(find_python)" --override "$scratch/override" --constraint "$scratch/constraint" ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} pyproject.toml \
        --output-file "$scratch/lowest-$1.txt" >&2
    printf '%s\n' --constraint "$scratch/lowest-$1.txt"
}

try_sets lowest
