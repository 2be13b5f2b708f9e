"""Put the trained tiny models of a run into the package: ``python scripts/ship_tiny.py OUT``.

OUT is the folder of ``roi-bench train run tiny``. Weights are rounded to 16 bits; what was measured on them comes from
``OUT/shipped``, the folder of ``roi-bench train evaluate tiny --shipped --out OUT/shipped``, once that is there.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from roi_bench.exams.tiny import model_path
from roi_bench.tiny_family.base import name_tokenizer_for_transformers_4
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.stages.run import card_of

COPIED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""Files beside the weights that a model folder needs."""


def ship(out: Path, stage: str) -> Path:
    """Write the model of ``stage`` to its place in the package and return that."""
    import torch
    from transformers import AutoModelForCausalLM

    source, target = out / stage, model_path(stage)
    target.mkdir(parents=True, exist_ok=True)
    AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).to(torch.float16).save_pretrained(target)
    for name in COPIED:
        shutil.copyfile(source / name, target / name)
    name_tokenizer_for_transformers_4(target)
    record = json.loads((source / "training.json").read_text("utf-8"))
    (target / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    summary = out / "shipped" / "evaluation" / "stages.json"
    card = card_of(stage, load_recipe(str(out / "recipe.yaml")), record, summary if summary.exists() else None)
    (target / "README.md").write_text(card, "utf-8")
    for file in target.iterdir():
        file.chmod(0o644)
    return target


def main() -> None:
    """Ship both stages of the run that the command line names."""
    for stage in ("mft", "rarl"):
        print(ship(Path(sys.argv[1]), stage))


if __name__ == "__main__":
    main()
