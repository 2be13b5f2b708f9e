"""roi-api keeps a provider as busy as its delay allows, in memory that does not grow with its requests."""

from __future__ import annotations

import pytest

from benchmarks.api_client import memory, throughput


@pytest.mark.slow
def test_the_rate_is_bound_by_the_providers_delay() -> None:
    shares = []
    while len(shares) < 3 and max(shares, default=0.0) < 0.8:  # another process may have had the processors meanwhile
        shares.append(throughput(concurrency=32, delay=1.0, count=640))
    assert max(shares) >= 0.8, shares


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_requests() -> None:
    readings = memory(4000)
    (first, low), (last, high) = readings[2], readings[-1]
    assert (high - low) / (last - first) < 3 * 1024  # bytes a request: its line in the record, and no more
