#!/usr/bin/env bash
# litellm 1.110.2: thinking={"type": "disabled"} reaches no Gemini model as a switch; nor does a budget of 0 reach Gemini 3.
#
# What is sent to Gemini 3 says only that thoughts are not to be shown. For Gemini 2.5 the configuration is empty, so that the
# provider's default holds; a budget of 0 arrives there. Nothing is said, and drop_params is off. Claude gets the switch as it
# was given. Seen in the bodies of requests; what the provider makes of them was not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'litellm==1.110.2' 'openai==3.57.0'
cat >"$folder/expected" <<'TXT'
gemini/gemini-3-flash-preview, disabled: {"includeThoughts": false}
gemini/gemini-3-flash-preview, budget 0: {"includeThoughts": false}
gemini/gemini-2.5-flash, disabled: {}
gemini/gemini-2.5-flash, budget 0: {"thinkingBudget": 0}
anthropic/claude-sonnet-4-5, disabled: {"type": "disabled"}
TXT
LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/venv/bin/python" -W ignore - 2>"$folder/log" >"$folder/seen" <<'PY' || { cat "$folder/log"; exit 1; }
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

litellm.suppress_debug_info = True
litellm.drop_params = False
bodies = []


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(400)  # what is asked is all that matters here
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
OFF, NOTHING = {"type": "disabled"}, {"type": "enabled", "budget_tokens": 0}
for model, thinking in (
    ("gemini/gemini-3-flash-preview", OFF),
    ("gemini/gemini-3-flash-preview", NOTHING),
    ("gemini/gemini-2.5-flash", OFF),
    ("gemini/gemini-2.5-flash", NOTHING),
    ("anthropic/claude-sonnet-4-5", OFF),
):
    with contextlib.suppress(litellm.exceptions.BadRequestError):
        litellm.completion(
            model=model,
            messages=[{"role": "user", "content": "What is 1 + 1?"}],
            api_base=f"http://127.0.0.1:{server.server_port}",
            api_key="none",
            thinking=thinking,
            max_tokens=64,
        )
    body = bodies.pop()
    sent = body["generationConfig"]["thinkingConfig"] if "generationConfig" in body else body["thinking"]
    print(f"{model}, {'disabled' if thinking is OFF else 'budget 0'}: {json.dumps(sent)}")
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with litellm 1.110.2"
