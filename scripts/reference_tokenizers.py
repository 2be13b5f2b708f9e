"""Pack public tokenizers into ``roi_bench/data/reference_tokenizers``, small enough to ship.

python scripts/reference_tokenizers.py NAME FILE …    FILE: a ``tokenizer.json``, or tiktoken's list of tokens

Only the names of :data:`KNOWN` are packed: public ones under permissive licences. A packed file is what
:mod:`roi_bench.leaderboard.checks.reference_tokens` reads: one line of JSON, then one merge a line, compressed by xz.
"""

from __future__ import annotations

import base64
import json
import lzma
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[1] / "roi_bench" / "data" / "reference_tokenizers"

QWEN = tuple(
    f"Qwen/Qwen2.5{kind}-{size}{tuned}"
    for kind, sizes in (("", "0.5B 1.5B 3B 7B 14B 32B 72B"), ("-Coder", "0.5B 1.5B 3B 7B 14B 32B"))
    for size in sizes.split()
    for tuned in ("-Instruct", "")
)
SMOLLM2 = tuple(
    f"HuggingFaceTB/SmolLM2-{size}{tuned}" for size in ("135M", "360M", "1.7B") for tuned in ("-Instruct", "")
)
"""Models on the hub that share one tokenizer."""

CL100K = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
"""How tiktoken cuts text into words, from ``tiktoken_ext/openai_public.py`` (MIT)."""

KNOWN: dict[str, dict[str, Any]] = {
    "o200k_base": {"source": "openai/tiktoken", "licence": "MIT", "hub": (), "pattern": O200K},
    "cl100k_base": {"source": "openai/tiktoken", "licence": "MIT", "hub": (), "pattern": CL100K},
    "deepseek-v3": {"source": "deepseek-ai/DeepSeek-V3", "licence": "MIT", "hub": ()},
    "qwen2.5": {"source": "Qwen/Qwen2.5-0.5B-Instruct", "licence": "Apache-2.0", "hub": QWEN},
    "smollm2": {"source": "HuggingFaceTB/SmolLM2-135M-Instruct", "licence": "Apache-2.0", "hub": SMOLLM2},
}


def letters() -> list[str]:
    """Return the character that stands for each byte in byte-level BPE, as GPT-2 chose them."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


def merges_of_ranks(tokens: list[bytes]) -> list[str]:
    """Return the merge that makes each token of more than one byte: its last two parts when only earlier ones merge."""
    rank, letter = {token: number for number, token in enumerate(tokens)}, letters()
    found = []
    for number, token in enumerate(tokens):
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            pairs = [(rank.get(a + b, number), i) for i, (a, b) in enumerate(pairwise(parts))]
            best, i = min(pairs)
            if best >= number:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            found.append(" ".join("".join(letter[byte] for byte in part) for part in parts))
    return found


def pack(name: str, file: Path) -> bytes:
    """Return the content of the packed file of a tokenizer."""
    about = KNOWN[name]
    header: dict[str, Any] = {"name": name, "source": about["source"], "licence": about["licence"], "hub": about["hub"]}
    if "pattern" in about:
        merges = merges_of_ranks([base64.b64decode(line.split()[0]) for line in file.read_bytes().splitlines()])
        split = {"type": "Split", "pattern": {"Regex": about["pattern"]}, "behavior": "Isolated", "invert": False}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        header |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "added_tokens": []}
        header |= {"ignore_merges": True}
    else:
        found = json.loads(file.read_text(encoding="utf-8"))
        pairs = [one.split(" ") if isinstance(one, str) else one for one in found["model"]["merges"]]
        merges = [" ".join(pair) for pair in pairs]
        header |= {"pre_tokenizer": found["pre_tokenizer"], "ignore_merges": False}
        header |= {"added_tokens": sorted(one["content"] for one in found["added_tokens"])}
    text = "\n".join([json.dumps(header), *merges]) + "\n"
    return lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME)


def main(arguments: list[str]) -> None:
    """Pack each NAME from its FILE."""
    OUT.mkdir(exist_ok=True)
    for name, file in zip(arguments[::2], map(Path, arguments[1::2]), strict=True):
        content = pack(name, file)
        (OUT / f"{name}.xz").write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
