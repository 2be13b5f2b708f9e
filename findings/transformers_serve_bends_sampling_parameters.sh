#!/usr/bin/env bash
# transformers 5.24.0, transformers serve: a temperature does not make it sample, and a frequency penalty is a repetition penalty.
#
# Where the model's generation_config.json has no do_sample, a temperature of 1.5 gives the greedy text under every seed. A
# frequency_penalty of 0.5, which OpenAI's protocol subtracts for each occurrence, gives what a repetition_penalty of 1.5 gives.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'torch==2.13.0' 'transformers[serving]==5.24.0'
export HF_HUB_OFFLINE=1
"$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

folder = sys.argv[1]
words = ["<end>", "Ġ", *(c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c.isascii())]
tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, []))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(f"{folder}/model")
torch.manual_seed(0)
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
Qwen2ForCausalLM(Qwen2Config(vocab_size=len(words), eos_token_id=0, bos_token_id=None, **sizes)).save_pretrained(f"{folder}/model")
PY
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/transformers" serve --host 127.0.0.1 --port "$port" --device cpu >"$folder/log" 2>&1 &
server=$!
cat >"$folder/expected" <<'TXT'
different texts under three seeds at temperature 1.5: 1, the greedy one: True
the same with a generation_config that has do_sample: 3
frequency_penalty 0.5 gives the greedy text: False, that of repetition_penalty 1.5: True
TXT
"$folder/venv/bin/python" - "$folder" "$port" 2>>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import json
import sys
import time
import urllib.error
import urllib.request

folder, port = sys.argv[1:]


def complete(**more):
    body = {"model": f"{folder}/model", "prompt": "What is 1 + 1?", "max_tokens": 40, "temperature": 0, **more}
    if "generation_config" in body:
        body["generation_config"] = json.dumps(body["generation_config"])
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request))["choices"][0]["text"]


for _ in range(120):
    try:
        greedy = complete()
        break
    except urllib.error.HTTPError:
        raise
    except OSError:
        time.sleep(1)
drawn = {complete(temperature=1.5, seed=seed) for seed in (1, 2, 3)}
print(f"different texts under three seeds at temperature 1.5: {len(drawn)}, the greedy one: {drawn == {greedy}}")
sampled = {complete(temperature=1.5, seed=seed, generation_config={"do_sample": True}) for seed in (1, 2, 3)}
print(f"the same with a generation_config that has do_sample: {len(sampled)}")
frequency = complete(frequency_penalty=0.5)
repetition = complete(generation_config={"repetition_penalty": 1.5})
print(f"frequency_penalty 0.5 gives the greedy text: {frequency == greedy}, that of repetition_penalty 1.5: {frequency == repetition}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with transformers 5.24.0"
