#!/usr/bin/env bash
# See it work: the three shipped tiny models (trained from scratch, after MFT, after MFT and RARL) sit the tiny hard and medium
# exams under the tight budget, through plain lm_eval; then the report on all of them, and the board with them beside the
# shipped submissions. Further arguments go to lm_eval, e.g. --limit 60 (the board shows such runs as drafts). Results,
# samples, tables, pictures and the site are written to results/demo; those of an earlier demo are replaced.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
ensure_environment

export HF_HUB_OFFLINE=1 # everything it needs is in the package
draft=() drafts=()
for argument in "$@"; do
    case $argument in --limit | --limit=* | -L*) draft=(--draft) drafts=(--drafts) ;; esac
done
rm -rf results/demo/runs results/demo/submissions
budget=$(python -c 'from roi_bench.exams.tiny import TINY_BUDGETS; print(TINY_BUDGETS[0])')
for stage in base mft rarl; do
    model=$(python -c "from roi_bench.exams.tiny import model_path; print(model_path('$stage'))")
    prompt=_metacognitive # what MFT and RARL train; the base model is asked directly
    [ "$stage" = base ] && prompt=
    lm_eval --model hf --model_args "pretrained=$model,dtype=float32" --device cpu --batch_size 64 \
        --tasks "roi_tiny_hard_$budget$prompt,roi_tiny_medium_$budget$prompt" \
        --output_path "results/demo/runs/$stage" --log_samples "$@"
done
roi-bench report results/demo/runs --out results/demo/report

mkdir -p results/demo/submissions
cp -R leaderboard/submissions/. results/demo/submissions
for stage in base mft rarl; do
    roi-bench submit pack "results/demo/runs/$stage" --out results/demo/submissions --model "demo: tiny $stage" \
        --contamination "Trained on generated problems; no evaluation problem is among them." --contact "whoever ran the demo" \
        --organisation roi-bench --licence apache-2.0 --open-weights --notes "Made by scripts/demo.sh." "${draft[@]}"
done
roi-bench leaderboard build results/demo/submissions --out results/demo/board "${drafts[@]}"
