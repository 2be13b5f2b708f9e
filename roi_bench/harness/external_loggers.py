"""Sending results to Weights & Biases or Trackio with lm_eval's own loggers, where the command line asks for it."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def log_externally(config: Any, results: dict[str, Any], samples: dict[str, Any]) -> None:
    """Log results and samples to the services that ``config`` (lm_eval's) names; a failure there is only a warning."""
    loggers = []
    if config.wandb_args:
        from lm_eval.loggers import WandbLogger

        loggers.append(("Weights & Biases", WandbLogger(config.wandb_args, config.wandb_config_args)))
    if config.trackio_args:
        from lm_eval.loggers import TrackioLogger

        loggers.append(("Trackio", TrackioLogger(config.trackio_args)))
    for name, service in loggers:
        try:
            service.post_init(results)
            service.log_eval_result()
            service.log_eval_samples(samples)
            finish = getattr(service, "finish", None) or service.run.finish
            finish()
        except Exception as error:  # noqa: BLE001 - the services fail in their own ways, and the results are safe on disk
            logger.warning("logging to %s failed: %s", name, error)
