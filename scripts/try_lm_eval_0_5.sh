#!/usr/bin/env bash
# roi-bench beside the pre-release of lm_eval 0.5, which it does not support yet, in an environment made for it. May fail: this says
# how far we are (docs/architecture.md, "The next lm_eval"). Run by hand; ten minutes on two cores, 2 GB.
#
#   bash scripts/try_lm_eval_0_5.sh [--folder DIR]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/installed_sets.sh"
read_options "$@"

environment=$folder/lm_eval-0.5
if [ ! -x "$environment/bin/python" ]; then
    install_set "$environment" use
    pip_of "$environment" install --pre --no-deps "lm_eval>=0.5.0.dev1"
    pip_of "$environment" install --upgrade "datasets>=4"
fi
"$environment/bin/python" scripts/try_installed.py --out "$scratch/out" --parts task,plain,drawn,report,pack,board
