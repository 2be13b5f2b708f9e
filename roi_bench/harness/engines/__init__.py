"""Engines: what generates responses, each behind the one protocol that a run needs (:mod:`.protocol`)."""
