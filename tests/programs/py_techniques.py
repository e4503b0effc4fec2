# SPDX-License-Identifier: MIT
"""The four techniques of a careful evaluation script, with buffers of odd sizes.

bytearray(N) is one block of N + 1 bytes and one object of bytearray.__basicsize__ bytes.
"""
import gc


def chunks(count):
    for _ in range(count):
        yield bytearray(100003)  # @chunk


def chunked():
    total = 0
    for chunk in chunks(20):  # @loop
        total += len(chunk)
    return total  # @chunked_return


def whole():
    parts = list(chunks(20))  # @whole
    return sum(len(part) for part in parts)


def deleting():
    first = bytearray(5000011)  # @first
    del first  # @del
    second = bytearray(3000017)  # @second
    second = None  # @rebind
    return second


def collecting():
    gc.collect()
    gc.disable()
    for _ in range(5):
        node = {}
        node["self"] = node
        node["data"] = bytearray(700001)  # @cycle
    node = None
    count = gc.collect()  # @collect
    gc.enable()
    return count


def early_peak():
    """Its own peak is far above what it holds when the process is at its highest."""
    large = bytearray(2000003)  # @early_large
    small = bytearray(40009)  # @early_small
    del large  # @early_del
    return small


def highest():
    return len(bytearray(9000011))  # @highest


def main():
    assert chunked() == 20 * 100003  # @call_chunked
    assert whole() == 20 * 100003
    deleting()
    assert collecting() >= 5
    kept = early_peak()  # @call_early
    highest()
    print("kept", len(kept))


main()
