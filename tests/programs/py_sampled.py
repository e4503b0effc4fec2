# SPDX-License-Identifier: MIT
"""Small objects by the hundred thousand, in many ways, each on its line; with an argument, on as many generated lines. Prints one line."""
import gc
import sys
import threading

gc.disable()
kept = []


def tuples(count):
    return [(i, i + 1) for i in range(count)]  # @tuples


def texts(count):
    return ["%d" % (100000 + i) for i in range(count)]  # @texts


def mixed(count):
    return [b"x" * (i % 480) for i in range(count)]  # @mixed


def plain(count):
    return [object() for _ in range(count)]  # @plain


def churn(count):
    for i in range(count):
        [i, (i, i)]  # @churn


def grown(count):
    lists = []
    for i in range(count):
        one = []
        for _ in range(i % 40):
            one.append(None)  # @grown
        lists.append(one)
    return lists


def large(count):
    return [bytearray(100003) for _ in range(count)]  # @large


def in_thread(count):
    kept.append([[i] for i in range(count)])  # @thread


def main():
    kept.append(tuples(100000))
    kept.append(texts(60000))
    kept.append(mixed(20000))
    kept.append(large(20))
    gone = plain(150000)  # @call_plain
    churn(150000)
    kept.append(grown(20000))
    del gone  # @del
    threads = [threading.Thread(target=in_thread, args=(40000,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def generated(lines):
    source = "def work(keep):\n" + "".join("    keep([(i, 1.5) for i in range(%d)])\n" % (5000 + 37 * i) for i in range(lines))
    space = {}
    exec(compile(source, "<generated>", "exec"), space)
    space["work"](kept.append)


if len(sys.argv) > 1:
    generated(int(sys.argv[1]))
else:
    main()
print("done")
