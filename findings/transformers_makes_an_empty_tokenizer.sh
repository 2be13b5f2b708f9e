#!/usr/bin/env bash
# transformers 5.24.0: where a folder has a configuration and no tokenizer, AutoTokenizer makes one that knows no word.
#
# It does so for some models, without a remark. Texts of Qwen and GPT-2 are encoded to an empty list, those of Gemma 3 to one unknown token; for Llama and
# Mistral the same call says that there is no tokenizer. The configurations are those that the classes have by themselves.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'transformers==5.24.0'
cat >"$folder/expected" <<'TXT'
qwen2: 1 tokens; 'What is 1 + 1?' is []
qwen3: 1 tokens; 'What is 1 + 1?' is []
gpt2: 1 tokens; 'What is 1 + 1?' is []
gemma3_text: 5 tokens; 'What is 1 + 1?' is [3]
llama: ValueError
mistral: ValueError
TXT
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

from transformers import AutoTokenizer, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

for config in (Qwen2Config, Qwen3Config, GPT2Config, Gemma3TextConfig, LlamaConfig, MistralConfig):
    where = f"{sys.argv[1]}/{config.model_type}"
    config().save_pretrained(where)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        print(f"{config.model_type}: {len(tokenizer)} tokens; 'What is 1 + 1?' is {tokenizer('What is 1 + 1?').input_ids}")
    except Exception as error:
        print(f"{config.model_type}: {type(error).__name__}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with transformers 5.24.0"
