#!/usr/bin/env bash
# lm_eval 0.4.13, model hf: a max_new_tokens in the model's generation_config.json beats the task's max_gen_toks.
#
# The task allows 40 tokens, the model's file says 7, and 7 are generated. lm_eval hands transformers max_length, which yields to
# max_new_tokens; and --gen_kwargs max_new_tokens=40 is turned into max_gen_toks, so no request can say otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'lm_eval[hf]==0.4.13' 'torch==2.13.0' 'transformers==5.24.0'
echo '{"question": "What is 1 + 1?", "answer": "2"}' >"$folder/questions.json"
mkdir "$folder/task"
cat >"$folder/task/asked.yaml" <<TXT
task: asked
dataset_path: json
dataset_kwargs: {data_files: {test: $folder/questions.json}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: [], max_gen_toks: 40}
metric_list: [{metric: exact_match}]
TXT
cat >"$folder/expected" <<'TXT'
the model's file says nothing: 40 tokens
the model's file says 7: 7 tokens
the model's file says 7, --gen_kwargs max_new_tokens=40: 7 tokens
TXT
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

import lm_eval
import torch
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

folder = sys.argv[1]
words = ["<end>", "Ġ", *(c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c.isascii())]
tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, []))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(f"{folder}/model")
torch.manual_seed(0)
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(words), eos_token_id=None, bos_token_id=None, **sizes))
model.lm_head.weight.data[0] = 0  # the end token, so that only the budget ends a response
manager = TaskManager(include_path=f"{folder}/task", include_defaults=False)
for said, length, more in (
    ("says nothing", None, None),
    ("says 7", 7, None),
    ("says 7, --gen_kwargs max_new_tokens=40", 7, {"max_new_tokens": 40}),
):
    model.generation_config.max_new_tokens = length
    model.save_pretrained(f"{folder}/model")
    args = f"pretrained={folder}/model,dtype=float32"
    results = lm_eval.simple_evaluate("hf", args, tasks=["asked"], task_manager=manager, device="cpu", gen_kwargs=more)
    (sample,) = results["samples"]["asked"]
    ids = PreTrainedTokenizerFast.from_pretrained(f"{folder}/model")(sample["resps"][0][0]).input_ids
    print(f"the model's file {said}: {len(ids)} tokens")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with lm_eval 0.4.13 and transformers 5.24.0"
