#!/usr/bin/env bash
# See it work: the shipped tiny model sits the tiny hard and medium exams under the tight budget, through plain lm_eval.
# Further arguments go to lm_eval, e.g. --limit 60. Results and samples are written to results/demo.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
ensure_environment

export HF_HUB_OFFLINE=1 # everything it needs is in the package
model=$(python -c 'from roi_bench.tiny import model_path; print(model_path())')
budget=$(python -c 'from roi_bench.tiny import TINY_BUDGETS; print(TINY_BUDGETS[0])')
lm_eval --model hf --model_args "pretrained=$model,dtype=float32" --device cpu --batch_size 64 \
    --tasks "roi_tiny_hard_$budget,roi_tiny_medium_$budget" --output_path results/demo --log_samples "$@"
