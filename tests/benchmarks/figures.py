"""How figures are taken and printed: quantiles, and ratios of rounds run side by side in the same minute.

In:  measured numbers. Out: lines for the terminal. Not here: judging them; these machines are noisy, people read them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latency(name: str, seconds: Sequence[float]) -> str:
    """Return a line with p50 and p99 in milliseconds."""
    p50, p99 = quantile(seconds, 0.5) * 1000, quantile(seconds, 0.99) * 1000
    return f"  {name:<44} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   ({len(seconds)} samples)"


def rate(name: str, per_second: Sequence[float]) -> str:
    """Return a line with the median rate and the range over the rounds."""
    low, high = min(per_second), max(per_second)
    return (
        f"  {name:<44} {statistics.median(per_second):9,.0f} /s   ({low:,.0f} to {high:,.0f}, {len(per_second)} rounds)"
    )


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return a line with the median of the ratios, round by round."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return f"  {name:<44} {statistics.median(ratios):9.2f} x    ({min(ratios):.2f} to {max(ratios):.2f})"
