"""``python -m roi_bench`` is ``roi-bench``."""

from roi_bench.cli.main import main

if __name__ == "__main__":
    main()
