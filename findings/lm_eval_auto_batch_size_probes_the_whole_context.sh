#!/usr/bin/env bash
# lm_eval 0.4.13, model hf, --batch_size auto: generation is probed at the model's whole context, whatever the requests need.
#
# Two requests of three tokens, four tokens to generate: the probe runs five forward passes of 64 rows as long as the context
# (512 here; tens of thousands of tokens for today's models), and takes the log-softmax of all their logits. The size found is
# therefore one for full contexts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'lm_eval[hf]==0.4.13' 'transformers==5.24.0' 'torch==2.13.0'
cat >"$folder/expected" <<'TXT'
(64, 512) before the first token is generated, 5 times
(2, 3) when it is generated
TXT
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import contextlib
import io
from types import SimpleNamespace

import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

words = {word: number for number, word in enumerate(["<pad>", "<end>", "<unk>", "a", "b", "c"])}
core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>", unk_token="<unk>")
torch.manual_seed(0)
shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
config = LlamaConfig(vocab_size=len(words), max_position_embeddings=512, eos_token_id=1, pad_token_id=0, **shape)
model = LlamaForCausalLM(config).eval()
shapes = []
plain = model.forward


def noting(input_ids=None, **rest):
    shapes.append(tuple(input_ids.shape))
    return plain(input_ids=input_ids, **rest)


model.forward = noting
lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size="auto")
requests = [SimpleNamespace(args=(text, {"until": [], "max_gen_toks": 4})) for text in ("a b c", "c b a")]
with contextlib.redirect_stdout(io.StringIO()):
    lm.generate_until(requests, disable_tqdm=True)
probed = shapes.index((2, 3))
print(f"{shapes[0]} before the first token is generated, {shapes[:probed].count(shapes[0])} times")
print(f"{shapes[probed]} when it is generated")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with lm_eval 0.4.13"
