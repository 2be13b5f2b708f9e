#!/usr/bin/env bash
# litellm 1.110.2: reasoning_effort for a Magistral model puts a system prompt of litellm's own before the conversation.
#
# It asks for another form of answer than a task may want (among others it forbids \boxed), and no parameter of the reply shows
# it. The caller's own system message is kept, but comes second, in the same message.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'litellm==1.110.2' 'openai==3.57.0'
cat >"$folder/expected" <<'TXT'
without: 1 system message, its text is ours: True
with reasoning_effort=low: 1 system message, its text is ours: False, speaks of \boxed: True
TXT
LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" -W ignore - 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

litellm.suppress_debug_info = True
asked = []
OURS = "Put the answer into a box."


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        choice = {"index": 0, "message": {"role": "assistant", "content": "2"}, "finish_reason": "stop"}
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
for name, more in (("without", {}), ("with reasoning_effort=low", {"reasoning_effort": "low"})):
    litellm.completion(
        model="mistral/magistral-small-latest",
        messages=[{"role": "system", "content": OURS}, {"role": "user", "content": "What is 1 + 1?"}],
        api_base=f"http://127.0.0.1:{server.server_port}/v1",
        api_key="none",
        **more,
    )
    system = [json.dumps(message["content"]) for message in asked[-1]["messages"] if message["role"] == "system"]
    said = "".join(system)
    shown = f"{name}: {len(system)} system message, its text is ours: {said == json.dumps(OURS)}"
    print(shown + (f", speaks of \\boxed: {'boxed' in said}" if more else ""))
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with litellm 1.110.2"
