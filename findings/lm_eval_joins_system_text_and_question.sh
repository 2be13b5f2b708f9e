#!/usr/bin/env bash
# lm_eval 0.4.13: without a chat template nothing stands between --system_instruction and the question.
#
# The last word of the instruction and the first of the question become one. Between instruction and a task's description a
# blank line is set, so that the same instruction is separated under one task and glued under another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'lm_eval==0.4.13' 'torch==2.13.0'
echo '{"question": "What is 1 + 1?", "answer": "2"}' >"$folder/questions.json"
mkdir "$folder/task"
for name in bare described; do
    cat >"$folder/task/$name.yaml" <<TXT
task: $name
dataset_path: json
dataset_kwargs: {data_files: {test: $folder/questions.json}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: exact_match}]
TXT
done
echo 'description: "Answer with one number.\n\n"' >>"$folder/task/described.yaml"
cat >"$folder/expected" <<'TXT'
bare: 'Be brief.What is 1 + 1?'
described: 'Be brief.\n\nAnswer with one number.\n\nWhat is 1 + 1?'
TXT
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

import lm_eval
from lm_eval.tasks import TaskManager

manager = TaskManager(include_path=sys.argv[1] + "/task", include_defaults=False)
for task in ("bare", "described"):
    results = lm_eval.simple_evaluate("dummy", tasks=[task], task_manager=manager, system_instruction="Be brief.")
    (sample,) = results["samples"][task]
    print(f"{task}: {sample['arguments'][0][0]!r}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with lm_eval 0.4.13"
