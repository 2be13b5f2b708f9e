"""What the start-up file of the bridge costs every start of the interpreter.

    python benchmarks/startup_cost.py [PAIRS]

Two empty virtual environments that differ in nothing but the start-up file take turns in running ``python -c pass``
(order alternating), PAIRS times each. Printed are the median whole-process times, and the median of the paired
differences with a 95 % interval from the binomial order statistics of that median. ``-X importtime`` shows the rest.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path, start_up: str | None) -> Path:
    """Make an empty environment, with the start-up line or without, and return its interpreter."""
    venv.create(folder, with_pip=False)
    if start_up is not None:
        (site_packages,) = folder.glob("lib/python*/site-packages")
        (site_packages / "roi_bench_bridge.pth").write_text(start_up, encoding="ascii")
    return folder / "bin" / "python"


def seconds(python: Path) -> float:
    """Return the wall time of one start of the interpreter."""
    begin = time.perf_counter()
    subprocess.run([str(python), "-c", "pass"], check=True)
    return time.perf_counter() - begin


def main(pairs: int) -> None:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    from hatch_build import STARTUP_SOURCE, pth_line

    line = pth_line((ROOT / STARTUP_SOURCE).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        without = environment(Path(folder, "without"), None)
        with_it = environment(Path(folder, "with"), line)
        for python in (without, with_it) * 5:
            seconds(python)
        rows = []
        for pair in range(pairs):
            if pair % 2:
                rows.append((seconds(without), seconds(with_it)))
            else:
                late = seconds(with_it)
                rows.append((seconds(without), late))
        imported = subprocess.run([str(with_it), "-X", "importtime", "-c", "pass"], capture_output=True, check=True)
    differences = sorted(after - before for before, after in rows)
    reach = math.ceil(0.98 * math.sqrt(pairs))  # 1.96 · √n / 2 ranks to either side of the median
    low, high = differences[max(pairs // 2 - reach, 0)], differences[min(pairs // 2 + reach, pairs - 1)]
    print(f"python -c pass, {pairs} pairs, Python {sys.version.split()[0]}")
    print(f"  without {1e3 * statistics.median(before for before, _ in rows):.2f} ms")
    print(f"  with    {1e3 * statistics.median(after for _, after in rows):.2f} ms")
    print(f"  paired difference {1e3 * statistics.median(differences):.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]")
    print(f"  modules of roi-bench imported: {imported.stderr.count(b'roi_bench')}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
