"""roi-bench: does a model know what its own thinking is worth?

Importing this package costs next to nothing; everything lives in its modules (see ``docs/architecture.md``).
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
