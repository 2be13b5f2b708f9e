"""The three numbers of the demo that matter, model by model, and what they say: python scripts/demo_numbers.py RUNS."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

STAGES = {"base": "base", "mft": "MFT", "rarl": "MFT + RARL"}


def hard_order(folder: Path) -> dict[str, Any]:
    """Return lm_eval's results of the task in hard order below ``folder``."""
    (path,) = folder.rglob("results_*.json")
    results: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    (found,) = (values for name, values in results.items() if "_hard_" in name)
    return found


def main() -> None:
    """Print the table and a sentence."""
    found = {name: hard_order(Path(sys.argv[1]) / stage) for stage, name in STAGES.items()}
    lines = ["model       score in hard order  score in easy order  regret"]
    for name, values in found.items():
        hard, easy, regret = (values[f"{key},none"] for key in ("score", "score_easy", "regret"))
        lines.append(f"{name:<12}{hard:>19.2f}{easy:>21.2f}{_share(regret):>8}")
    base, best = (found[name] for name in ("base", "MFT + RARL"))
    lost = [_share(values["regret,none"]) for values in (base, best)]
    lines.append(
        f"\nThe same three problems, the hardest first: the base model loses {lost[0]} of what it solves\n"
        f"in easy order, the trained one {lost[1]}: it skips what it cannot afford and spends its tokens on the others."
    )
    sys.stdout.write("\n".join(lines) + "\n")


def _share(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float | int) else str(value)


if __name__ == "__main__":
    main()
