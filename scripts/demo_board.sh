#!/usr/bin/env bash
# Makes the submissions of the shipped board (leaderboard/submissions) anew, in results/demo_board/submissions: real runs of the
# three shipped tiny models, one of them once more through an API, and a playback run at full size. Nothing is
# downloaded. A run that is there is not made again; a run that was cut off goes on from its journal.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
ensure_environment

export HF_HUB_OFFLINE=1
out=results/demo_board
models=roi_bench/data

# run FOLDER ARGUMENTS…: roi-bench run into the folder, unless its results are there
run() {
    local folder=$out/runs/$1
    shift
    if ! compgen -G "$folder/*/results_*.json" >/dev/null; then
        roi-bench run "$@" --log_samples --output_path "$folder"
    fi
}

# tiny BUDGET PROMPT…: the hard and medium tasks of that budget with these prompts, joined by commas
tiny() {
    local budget=$1 prompt order names=()
    shift
    for prompt in "$@"; do
        for order in hard medium; do
            names+=("roi_tiny_${order}_$budget${prompt#direct}")
        done
    done
    (IFS=, && echo "${names[*]}")
}

local_runs() {
    local stage=$1 tasks=$2 arguments
    arguments="pretrained=$models/$3,dtype=float32"
    run "$stage/exams" --model hf --model_args "$arguments" --device cpu --batch_size 64 --tasks "$tasks"
    run "$stage/solo" --model hf --model_args "$arguments" --device cpu --batch_size 64 --tasks roi_tiny_solo_256 \
        --metadata '{"repeats": 2}'
}

api_run() {
    local model=$models/tiny_rarl port=${PORT:-8137} server
    if compgen -G "$out/runs/api/*/results_*.json" >/dev/null; then return; fi
    transformers serve --host 127.0.0.1 --port "$port" --device cpu --dtype float32 "$model" >"$out/server.txt" 2>&1 &
    server=$!
    trap 'kill "$server"' EXIT
    until python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health', timeout=5)" 2>/dev/null; do
        kill -0 "$server" || { echo "The server did not start; see $out/server.txt" >&2 && exit 1; }
        sleep 1
    done
    run api --model roi-api --tasks "$(tiny 128 _metacognitive)" --model_args \
        "model=$model,base_url=http://127.0.0.1:$port/v1,endpoint=completions,tokenizer=$model,num_concurrent=4"
    kill "$server"
    trap - EXIT
}

playback_run() {
    python -m scripts.playback_responses "$out/playback.jsonl"
    run playback --model roi-playback --model_args "responses=$out/playback.jsonl,tokenizer=$models/tiny_model,model=playback" \
        --tasks roi_fresh_hard_512,roi_fresh_medium_512,roi_fresh_hard_1024,roi_fresh_medium_1024
}

# pack FOLDER OPTIONS…: a submission of the runs in the folder
pack() {
    local folder=$1
    shift
    roi-bench submit pack "$out/runs/$folder" --out "$out/submissions" --organisation "roi-bench" \
        --contact "the roi-bench contributors, through an issue" "$@"
}

mkdir -p "$out"
prompts=(direct _plan_and_solve _least_to_most _metacognitive _greedy_knapsack)
local_runs base "$(tiny 128 "${prompts[@]}"),$(tiny 256 direct _metacognitive _greedy_knapsack)" tiny_model
local_runs mft "$(tiny 128 _metacognitive _greedy_knapsack),$(tiny 256 _metacognitive _greedy_knapsack)" tiny_mft
local_runs rarl "$(tiny 128 _metacognitive),$(tiny 256 _metacognitive)" tiny_rarl
api_run
playback_run

tiny=(--licence apache-2.0 --open-weights --parameters 801984 --hardware "2 CPU cores"
    --contamination "Trained from scratch on generated problems of the training side; no evaluation problem is among them (by hash).")
pack base --model "roi-bench/tiny-base" --notes "Shipped with the package. Asked under every prompt at 128 tokens." "${tiny[@]}"
# Without its problems alone: sampled tokens need not be those that the tokenizer makes of their text, and one such response
# shows more tokens than its budget when it is counted again.
pack mft/exams --model "roi-bench/tiny-mft" --notes "Shipped with the package: the base model after MFT." "${tiny[@]}"
pack rarl --model "roi-bench/tiny-rarl" --notes "Shipped with the package: the base model after MFT and RARL." "${tiny[@]}"
pack api --model "roi-bench/tiny-rarl (API)" --provider "transformers serve" "${tiny[@]}" \
    --notes "The model of roi-bench/tiny-rarl behind an OpenAI-compatible server on the same machine, asked through roi-api."
pack playback --model "playback (invented responses)" --provider roi-playback --contamination \
    "No model was asked: scripts/playback_responses.py invents the responses and knows the answers." \
    --notes "A playback run at full size. Which problems are right, wrong or skipped, and how long the work on them is, was drawn at random; the work is a count of steps. It shows what a board makes of the fresh exams and says nothing of any model."
roi-bench submit check "$out"/submissions/*
echo "To ship them: copy the folders of $out/submissions to leaderboard/submissions, in place of those there."
