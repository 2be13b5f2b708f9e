"""What makes two runs the same run: only then may one continue the journal of the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.exams.exam import EXAM_VERSION, sha256_text
from roi_bench.harness.engines.protocol import Engine
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import Header, canonical_json, parse_header
from roi_bench.scoring.prompts import PROMPT_VERSION

SECRETS = ("api_key", "auth_token", "hf_token", "token", "header")
"""Model arguments that are recorded as their hash."""

VERSIONS = {"reading_rule": READING_RULE, "prompt_version": PROMPT_VERSION}
"""What of a run changes with this package; a journal says it."""

SAMPLED_BYTES = 1 << 20
"""Of a large file, this much is hashed at its beginning, middle and end; any training step changes all three."""


def run_header(
    model: str, model_args: Mapping[str, Any], engine: Engine, seed: int | None, about: Mapping[str, Any]
) -> Header:
    """Return the journal header of a run.

    Responses depend on the model, its arguments, its weights and the seed; everything else (prompt, chat template,
    generation arguments) is part of each request's own key.

    Args:
        model: lm_eval's name of the backend.
        model_args: Its arguments.
        engine: The engine; one that says itself what shapes its responses (``identity``) is taken at its word.
        seed: Seed of sampling.
        about: Facts for the reader, besides those of the engine.
    """
    identity, facts = engine.identity, dict(engine.facts)
    model_args = model_args if identity is None else identity
    run = {
        "model": model,
        "model_args": {name: _public(name, value) for name, value in sorted(model_args.items())},
        "model_files": model_files(model_args, engine.lm) if identity is None else {},
        "seed": seed,
        "exam_version": EXAM_VERSION,
        **VERSIONS,
    }
    return Header(
        run, {"roi_bench_version": __version__, "engine": facts, "batch_size": facts.get("batch_size"), **about}
    )


def run_digest(header: Header) -> str:
    """Return eight hexadecimal digits that name the run."""
    return sha256_text(canonical_json(header.run))[:8]


def journals_of_other_versions(folder: Path) -> list[str]:
    """Return a line for each journal in ``folder`` of another reading rule or prompt version.

    No run of this package goes on with it.
    """
    lines = []
    for path in sorted(folder.glob("journal-*.jsonl")):
        try:
            with path.open("rb") as stream:
                run = parse_header(stream.readline()).run
        except (OSError, ValueError):
            continue  # damaged, or just begun: who opens it says so
        found = {name: run.get(name, 1) for name in VERSIONS}  # journals of version 1 do not say it
        if others := [name for name, version in VERSIONS.items() if found[name] != version]:
            theirs, ours = (
                " and ".join(f"{name.replace('_', ' ')} {versions[name]}" for name in others)
                for versions in (found, VERSIONS)
            )
            lines.append(
                f"{path} is a journal of {theirs}, this package has {ours}, and the two are never mixed: its requests "
                "are asked anew"
            )
    return lines


def model_files(model_args: Mapping[str, Any], lm: Any) -> dict[str, str]:
    """Return a fingerprint of every file or folder that the arguments name, and the commit of a model from the hub.

    A checkpoint that is trained further in the same folder is another model.
    """
    prints = {
        name: fingerprint(Path(value))
        for name, value in sorted(model_args.items())
        if isinstance(value, str) and value and Path(value).exists()
    }
    commit = getattr(getattr(lm, "config", None), "_commit_hash", None)
    return {**prints, "commit": commit} if isinstance(commit, str) else prints


def fingerprint(path: Path) -> str:
    """Return a hash of a file, or of the files directly in a folder, by name, size and (sampled) content.

    Pages (``*.md``) are left out: a model's card is written when its results are known, and changes none of them.
    """
    digest = hashlib.sha256()
    files = (
        [path] if path.is_file() else sorted(item for item in path.iterdir() if item.is_file() and item.suffix != ".md")
    )
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name if path.is_dir() else ''}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= 4 * SAMPLED_BYTES:
                digest.update(stream.read())
            else:
                for start in (0, size // 2, size - SAMPLED_BYTES):
                    stream.seek(start)
                    digest.update(stream.read(SAMPLED_BYTES))
    return digest.hexdigest()[:16]


def _public(name: str, value: Any) -> Any:
    return f"sha256:{sha256_text(str(value))[:8]}" if name in SECRETS else value
