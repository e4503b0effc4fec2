# SPDX-License-Identifier: MIT
"""Far more lines than a recording keeps, as imports of large packages have them: modules of many functions, each of whose
lines runs once, allocates little and keeps some of it. Then an evaluation, and, if asked to, more imports after it.

py_imports.py LINES LINES_AFTER
"""
import sys

FUNCTIONS, LINES = 50, 20  # of a module, of a function


def module(number):
    text = []
    for function in range(FUNCTIONS):
        text.append("def function_%d():" % function)
        for line in range(LINES):
            text.append("    x = bytearray(%d)" % (2 * (function * LINES + line) % 701 + 40))
        text.append("    kept.append(x)")
    text.extend("function_%d()" % function for function in range(FUNCTIONS))
    return compile("\n".join(text), "<module %d>" % number, "exec")


def imports(first, lines):
    for number in range(first, first + lines // (FUNCTIONS * LINES)):
        exec(module(number), {"kept": kept})


def load(size):
    return bytearray(size)  # @load


def predict(part):
    buffer = bytearray(300006)  # @buffer
    del buffer  # @del
    return load(len(part) // 10)  # @predict


def evaluate():
    whole = load(5000002)  # @whole
    small = bytearray(76)  # @small
    results = [None] * 7
    for i in range(7):
        part = load(700000)  # @part
        results[i] = predict(part)  # @result
    part = None
    kept.append(small)
    return whole, results


kept = []
imports(0, int(sys.argv[1]))
answer = evaluate()  # @evaluate
imports(1000, int(sys.argv[2]))
