#!/usr/bin/env bash
# See it work: the three shipped tiny models (trained from scratch, after MFT, after MFT and RARL) take the tiny hard and medium
# exams under the tight budget; then a report on all of them, and a board with them beside the shipped submissions. Nothing is
# downloaded but Python packages. Further arguments go to roi-bench run, e.g. --limit 60 (the board shows such runs as
# drafts). Everything is written to results/demo, in place of an earlier demo's; what the commands print, to results/demo/logs.
set -euo pipefail
began_at=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

demo=results/demo stages=(base mft rarl)
draft=() drafts=()
for argument in "$@"; do
    case $argument in --limit | --limit=* | -L*) draft=(--draft) drafts=(--drafts) ;; esac
done

# heading TEXT: the next step, and how long the last one took.
heading() {
    ended
    printf '== %s\n' "$1"
    step_began=$SECONDS
}
ended() {
    [ -z "${step_began:-}" ] || printf '   %d s\n\n' $((SECONDS - step_began))
}

# kept LOG COMMAND…: runs a command with what it prints in a file; its last lines are shown if it fails.
kept() {
    local log=$demo/logs/$1.txt
    shift
    "$@" >"$log" 2>&1 </dev/null || {
        echo "This failed: $*" >&2
        tail -n 15 "$log" >&2
        echo "All of it: $log" >&2
        return 1
    }
}

# exams STAGE ARGUMENTS…: one model takes its exams.
exams() {
    local stage=$1 prompt=_metacognitive began=$SECONDS model
    shift
    [ "$stage" = base ] && prompt='' # MFT and RARL train the metacognitive prompt
    model=$(python -c "from roi_bench.exams.tiny import model_path; print(model_path('$stage'))")
    kept "$stage" roi-bench run --model hf --model_args "pretrained=$model,dtype=float32" --device cpu --batch_size 64 \
        --tasks "roi_tiny_hard_$budget$prompt,roi_tiny_medium_$budget$prompt" --output_path "$demo/runs/$stage" "$@"
    printf '   %-5s %d s\n' "$stage" $((SECONDS - began))
}

# pack STAGE: a submission of one model's runs, graded again from its responses.
pack() {
    kept "pack_$1" roi-bench submit pack "$demo/runs/$1" --out "$demo/submissions" --model "demo: tiny $1" \
        --contamination "Trained on generated problems; no evaluation problem is among them." --contact "whoever ran the demo" \
        --organisation roi-bench --licence apache-2.0 --open-weights --notes "Made by scripts/demo.sh." "${draft[@]}"
}

# together PIDS…: waits for all of them; ends the demo if one failed.
together() {
    local pid failed=0
    for pid in "$@"; do wait "$pid" || failed=1; done
    [ $failed = 0 ] || exit 1
}
trap 'kill $(jobs -pr) 2>/dev/null || true' EXIT # after Ctrl-C and failures: the shell passes background processes no signal

heading "1/4  The environment .venv, with the extras hf and leaderboard"
ensure_environment hf,leaderboard
export HF_HUB_OFFLINE=1 # everything else is in the package
rm -rf "$demo/runs" "$demo/submissions" "$demo/logs"
mkdir -p "$demo/logs"

heading "2/4  Three models take 480 exams in hard, medium and easy order, all at once"
budget=$(python -c 'from roi_bench.exams.tiny import TINY_BUDGETS; print(TINY_BUDGETS[0])')
running=()
for stage in "${stages[@]}"; do exams "$stage" "$@" & running+=($!); done
together "${running[@]}"

heading "3/4  A report: $demo/report/report.md, and pictures beside it; submissions, graded again from their responses"
# The shipped submissions but for the invented one, whose fresh exams need another extra.
mkdir -p "$demo/submissions"
cp -R leaderboard/submissions/board.json leaderboard/submissions/reviews.json leaderboard/submissions/roi-bench-* "$demo/submissions"
kept report roi-bench report "$demo/runs" --out "$demo/report" &
running=($!)
for stage in "${stages[@]}"; do pack "$stage"; done
together "${running[@]}"

heading "4/4  A board with the submissions: $demo/board"
kept board roi-bench leaderboard build "$demo/submissions" --out "$demo/board" "${drafts[@]}"
ended

python scripts/demo_numbers.py "$demo/runs"
command=.venv/bin/roi-bench board=$demo/board
[ "$began_at" = "$PWD" ] || command=$PWD/$command board=$PWD/$board
printf '\n%d s in all. Look at the board, with every response, in a browser:\n\n    %q leaderboard serve %q\n' "$SECONDS" "$command" "$board"
