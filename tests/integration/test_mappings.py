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


def test_ranges_that_go_from_thread_to_thread():
    """What one thread gives back, another one has in the next moment; what fails changes nothing."""
    process = record(program("mapping_race")).process
    assert process["timeline"][-1][2] == (101 + 102 + 103 + 104) * PAGE, process["timeline"][-1]
    assert 410 * PAGE <= process.totals["mapped_peak_bytes"] <= (4 * 104 + 4 * 5) * PAGE, process.totals
    expect(process.totals, lost_events=0)
