#!/usr/bin/env bash
# roi-bench beside the newest versions of everything, in environments made for it: a task, a report, a pack, a board, the trainer.
# Exit code 0 only if all of it works. Twenty minutes on two cores, 4 GB; what is tried: scripts/installed_sets.sh, which also names
# the torch of both ends. TORCH=torch takes the newest, on Linux some 6 GB.
#
#   bash scripts/check_newest.sh [--sets base,use,train] [--folder DIR]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/installed_sets.sh"
read_options "$@"

pip_arguments() {
    printf '%s\n' --upgrade --upgrade-strategy eager
}

try_sets newest
