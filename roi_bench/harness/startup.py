"""The code that the interpreter runs at start once roi-bench is installed: all of ``roi_bench_bridge.pth``.

Python 3.15 to 3.17 prefer ``roi_bench_bridge.start`` beside it, and 3.18 reads nothing else (PEP 829): that file names
a function, :func:`install` in a copy of this module at the top of ``site-packages``.

It puts a finder on ``sys.meta_path`` that does nothing until lm_eval itself imports one of the two modules named here;
only then is :mod:`roi_bench.harness.bridge` imported, which does the work. Until that moment nothing is imported, not
even roi_bench, so that a checkout is never shadowed by an installed copy. The cost is measured in
``docs/measurements.md``; ``ROI_BENCH_NO_BRIDGE=1`` switches the bridge off.

The build hook (``hatch_build.py``) copies this source into the ``.pth`` file, where it must stand alone, in ASCII.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would cost more than everything else here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class RoiBenchFinder:
    """Finds the modules that the bridge changes, by way of the other finders."""

    roi_bench_bridge = True

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a bridged module, or None: not ours, or roi-bench cannot be imported (half removed)."""
        if fullname != "lm_eval.models" and fullname != "lm_eval.tasks.manager":
            return None
        try:
            from roi_bench.harness.bridge import find_spec

            return find_spec(fullname, path, target)
        except Exception:  # noqa: BLE001 - somebody else's import must not fail because of us; `roi-bench doctor` tells
            return None


def install() -> None:
    """Add the finder, unless there is one."""
    if not any(getattr(finder, "roi_bench_bridge", False) for finder in sys.meta_path):
        sys.meta_path.insert(0, RoiBenchFinder)


install()
