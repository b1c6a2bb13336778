"""How fast seqdyn is beside others: every module is one benchmark, made of cases and the one measuring loop.

- ``protocol``: cases, the loop in which contestants take turns, and fresh processes;
- ``statistics``: medians, paired ratios, bootstrap intervals, bars;
- ``results``: one JSON file a benchmark, with every round of it;
- ``table``, ``figure``: what README.md shows, made from these files alone;
- the rest: benchmarks, each with ``measure(quick) -> list[Row]``.
"""

NAMES = ("cells", "fit", "linear", "long", "growth", "stream", "cold")
"""The benchmarks, in the order in which they are run and shown."""
