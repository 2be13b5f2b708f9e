"""What the server of :mod:`tests.support.warm_process` does before it forks."""

import os
from functools import cache
from importlib import import_module

from roi_bench.api.gateway import import_litellm
from tests.support.warm_process import SET_BY_IMPORTS, remember_builtin_tasks

before = set(os.environ)

for name in (
    "lm_eval.__main__",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
    "matplotlib.pyplot",
    "roi_bench.analysis.reports.report",
    "roi_bench.cli.main",
    "roi_bench.harness.engines.api_model",
    "roi_bench.harness.run",
    "transformers.conversion_mapping",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3.modeling_qwen3",
):
    import_module(name)
import_litellm()
SET_BY_IMPORTS += sorted(set(os.environ) - before)
remember_builtin_tasks()
torchs = import_module("torch.utils.collect_env")
torchs.get_pretty_env_info = cache(torchs.get_pretty_env_info)  # type: ignore[attr-defined]  # stands in all results
torchs.get_pretty_env_info()
