#!/usr/bin/env bash
# lm_eval 0.4.13, model litellm: with num_concurrent and --use_cache, one reply without text gives every later request the next one's answer.
#
# A reply whose content is null (a filter, a budget used up by reasoning) is '' for one request at a time, and None for several.
# The cache's wrapper takes a None for a slot still to be filled: the answers after it move up by one, the last slot stays
# empty, and nothing is said. A second run with that cache ends in an AssertionError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'lm_eval[api,litellm]==0.4.13' 'litellm==1.84.10' 'openai==2.54.0'
cat >"$folder/expected" <<'TXT'
1 at once, no cache: answer 1, '', answer 3, answer 4
1 at once, cache: answer 1, '', answer 3, answer 4
4 at once, no cache: answer 1, None, answer 3, answer 4
4 at once, cache: answer 1, answer 3, answer 4, None
4 at once, the same cache again: AssertionError
TXT
OPENAI_API_KEY=none LITELLM_LOCAL_MODEL_COST_MAP=True FOLDER="$folder" \
    "$folder/venv/bin/python" -W ignore - 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import litellm
from lm_eval.api.model import CachingLM
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.litellm_llms import LiteLLMChatCompletion

litellm.suppress_debug_info = True


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = body["messages"][0]["content"].split()[1]
        message = {"role": "assistant", "content": None if number == "2" else f"answer {number}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        content = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{server.server_port}/v1"
for at_once, name in ((1, "no cache"), (1, "cache"), (4, "no cache"), (4, "cache"), (4, "the same cache again")):
    lm = LiteLLMChatCompletion(model="openai/m", num_concurrent=at_once, tokenizer_backend=None)
    if name != "no cache":
        lm = CachingLM(lm, f"{os.environ['FOLDER']}/{at_once}.db")
    chats = [json.dumps([{"role": "user", "content": f"question {number}"}]) for number in range(1, 5)]
    requests = [SimpleNamespace(args=(JsonChatStr(chat), {"until": [], "max_gen_toks": 8})) for chat in chats]
    try:
        said = ", ".join(answer or repr(answer) for answer in lm.generate_until(requests))
    except AssertionError as error:
        said = type(error).__name__
    print(f"{at_once} at once, {name}: {said}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with lm_eval 0.4.13"
