#!/usr/bin/env bash
# lm_eval 0.4.13 (models hf and vllm): where a chat template refuses the system role, a task's description and the run's
# --system_instruction are left out of the prompt. A warning in the log says that the system role was removed.
#
# Templates that refuse it are common (the first two generations of Gemma's raise an error). The model is then asked without
# its instructions. Who needs them seen has to put them into the user's message where the template shows no system turn.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'lm_eval[hf]==0.4.13' 'transformers==5.24.0' 'torch==2.13.0'
mkdir "$folder/task"
cat >"$folder/task/asked.yaml" <<'TXT'
task: asked
description: "Answer with one number. "
dataset_path: json
dataset_kwargs: {data_files: {test: QUESTIONS}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {max_gen_toks: 2, until: ["\n"], do_sample: false}
metric_list: [{metric: exact_match}]
TXT
echo '{"question": "1 + 1?", "answer": "2"}' >"$folder/questions.json"
sed -i "s|QUESTIONS|$folder/questions.json|" "$folder/task/asked.yaml"
cat >"$folder/expected" <<'TXT'
template that shows a system turn: '<system>Be brief.\n\nAnswer with one number. <user>1 + 1?<assistant>'
template that refuses it: '<user>1 + 1?<assistant>'
TXT
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder = sys.argv[1]
letters = {chr(code): code - 31 for code in range(32, 127)} | {"?unknown": 0}
shown = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
refused = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + shown
manager = TaskManager(include_path=folder + "/task", include_defaults=False)
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(letters), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
)
for name, template in (("shows a system turn", shown), ("refuses it", refused)):
    raw = Tokenizer(models.WordLevel(letters, unk_token="?unknown"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="~", pad_token="~", chat_template=template)
    model = HFLM(pretrained=LlamaForCausalLM(config), tokenizer=tokenizer, backend="causal", device="cpu")
    results = lm_eval.simple_evaluate(
        model, tasks=["asked"], task_manager=manager, apply_chat_template=True, system_instruction="Be brief."
    )
    (sample,) = results["samples"]["asked"]
    print(f"template that {name}: {sample['arguments'][0][0]!r}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with lm_eval 0.4.13"
