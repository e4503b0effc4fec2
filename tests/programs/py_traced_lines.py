# SPDX-License-Identifier: MIT
"""What tracemalloc says that each line of a file holds: for programs that are their own judge."""
import tracemalloc


def traced_lines(path):
    """{line: (bytes, blocks)}, of the innermost frame. tracemalloc stops."""
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    lines = {}
    for trace in snapshot.traces:
        frame = trace.traceback[0]
        if frame.filename == path:
            size, count = lines.get(frame.lineno, (0, 0))
            lines[frame.lineno] = (size + trace.size, count + 1)
    return lines
