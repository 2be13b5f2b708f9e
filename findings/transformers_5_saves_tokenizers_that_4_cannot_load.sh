#!/usr/bin/env bash
# transformers 5.24.0 and 4.51.0: loading and saving a tokenizer in version 5 renames its class to one that version 4 does not have.
#
# A folder that says PreTrainedTokenizerFast, which both versions load, says TokenizersBackend afterwards; version 4 then refuses it with a ValueError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 5.24.0 4.51.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install "transformers==$version"
done
cat >"$folder/expected" <<'TXT'
4.51.0 loads original: [2]
5.24.0 loads original: [2]; saves it as TokenizersBackend
4.51.0 loads saved: ValueError
TXT
cat >"$folder/load.py" <<'PY'
import json
import sys

import transformers

where, name = sys.argv[1:]
try:
    tokenizer = transformers.AutoTokenizer.from_pretrained(f"{where}/{name}")
    line = str(tokenizer("two").input_ids)
except Exception as error:
    line = type(error).__name__
if transformers.__version__.startswith("5"):
    tokenizer.save_pretrained(f"{where}/saved")
    line += f"; saves it as {json.load(open(f'{where}/saved/tokenizer_config.json'))['tokenizer_class']}"
print(f"{transformers.__version__} loads {name}: {line}")
PY
"$folder/5.24.0/bin/python" - "$folder/original" <<'PY'
import json
import pathlib
import sys

from tokenizers import Tokenizer, models, pre_tokenizers

where = pathlib.Path(sys.argv[1])
where.mkdir()
tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "one": 1, "two": 2}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.save(str(where / "tokenizer.json"))
(where / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}))
PY
export HF_HUB_OFFLINE=1
{
    "$folder/4.51.0/bin/python" "$folder/load.py" "$folder" original
    "$folder/5.24.0/bin/python" "$folder/load.py" "$folder" original
    "$folder/4.51.0/bin/python" "$folder/load.py" "$folder" saved
} >"$folder/seen" 2>"$folder/log" || { cat "$folder/log"; exit 1; }
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with transformers 5.24.0 and 4.51.0"
