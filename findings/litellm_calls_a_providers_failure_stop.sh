#!/usr/bin/env bash
# litellm 1.110.2: finish reasons that it does not know, and none at all, become "stop".
#
# DeepSeek documents insufficient_system_resource (it broke off), Mistral model_length (the context was full), vLLM abort. A client
# that looks at finish_reason takes half an answer for a whole one. The original is in provider_specific_fields of the
# choice, except where the provider sent null: then nothing tells it from a real "stop".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'litellm==1.110.2' 'openai==3.57.0'
cat >"$folder/expected" <<'TXT'
insufficient_system_resource: stop, original insufficient_system_resource
model_length: stop, original model_length
abort: stop, original abort
null: stop, original None
length: length, original None
TXT
LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" -W ignore - 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

litellm.suppress_debug_info = True
reason = None


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "half an ans"}, "finish_reason": reason}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
for reason in ("insufficient_system_resource", "model_length", "abort", None, "length"):
    reply = litellm.completion(
        model="openai/m",
        messages=[{"role": "user", "content": "What is 1 + 1?"}],
        api_base=f"http://127.0.0.1:{server.server_port}/v1",
        api_key="none",
    )
    choice = reply.choices[0]
    original = (choice.get("provider_specific_fields") or {}).get("native_finish_reason")
    print(f"{reason or 'null'}: {choice.finish_reason}, original {original}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with litellm 1.110.2"
