#!/usr/bin/env bash
# See it work: the three shipped tiny models (trained from scratch, after MFT, after MFT and RARL) sit the tiny hard and medium
# exams under the tight budget, through plain lm_eval; then the report on all of them. Further arguments go to lm_eval, e.g.
# --limit 60. Results, samples, tables and pictures are written to results/demo.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
ensure_environment

export HF_HUB_OFFLINE=1 # everything it needs is in the package
budget=$(python -c 'from roi_bench.tiny import TINY_BUDGETS; print(TINY_BUDGETS[0])')
for stage in base mft rarl; do
    model=$(python -c "from roi_bench.tiny import model_path; print(model_path('$stage'))")
    prompt=_metacognitive # what MFT and RARL train; the base model is asked directly
    [ "$stage" = base ] && prompt=
    lm_eval --model hf --model_args "pretrained=$model,dtype=float32" --device cpu --batch_size 64 \
        --tasks "roi_tiny_hard_$budget$prompt,roi_tiny_medium_$budget$prompt" \
        --output_path results/demo/runs --log_samples "$@"
done
roi-bench report results/demo/runs --out results/demo/report
