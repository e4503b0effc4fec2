# SPDX-License-Identifier: MIT
"""Anonymous mappings are counted apart from the heap, to the page."""
from harness import *

PAGE = 4096


@cases("", "all-gone")
def test_mappings(argument):
    process = record(program("mappings"), argument).process
    expect(process.totals, mapped_peak_bytes=2923 * PAGE, peak_bytes=0, allocations=0)
    last = process["timeline"][-1]
    assert last[2] == (0 if argument else 1013 * PAGE), last
