# SPDX-License-Identifier: MIT
"""Allocations in every shape of Python code, each with a size of its own."""
import functools
import os
import threading

kept = []


def function():
    kept.append(bytearray(10007))  # @function


class Shapes:
    kept.append(bytearray(10009))  # @class_body

    def method(self):
        kept.append(bytearray(10037))  # @method

    @classmethod
    def of_class(cls):
        kept.append(bytearray(10039))  # @classmethod

    @property
    def attribute(self):
        kept.append(bytearray(10061))  # @property


def generator():
    kept.append(bytearray(10067))  # @generator_first
    yield
    kept.append(bytearray(10069))  # @generator_second
    yield


def delegating():
    yield from generator()  # @yield_from


def comprehensions():
    kept.append([bytearray(10079) for _ in range(3)])  # @list
    kept.append({i: bytearray(10091) for i in range(3)})  # @dict
    kept.extend(bytearray(10093) for _ in range(3))  # @generator_expression


def closure(size):
    def inner():
        kept.append(bytearray(size))  # @closure

    return inner


def decorated(function):
    @functools.wraps(function)
    def wrapper():
        kept.append(bytearray(10111))  # @wrapper
        return function()

    return wrapper


@decorated
def inner_function():
    kept.append(bytearray(10133))  # @decorated


def in_thread():
    kept.append(bytearray(10139))  # @thread


def threads():
    started = [threading.Thread(target=in_thread) for _ in range(5)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def executed():
    exec("kept.append(bytearray(10141))", {"kept": kept})  # @exec
    code = "\n\ndef made_up(kept):\n    kept.append(bytearray(10151))\n\nmade_up(kept)\n"
    exec(compile(code, "<made up>", "exec"), {"kept": kept})  # @exec_compiled
    for i in range(50):  # the code objects are likely to share one address
        exec(compile("\n" * i + "kept.append(bytearray(10159))", "<again %d>" % i, "exec"), {"kept": kept})


class Final:
    def __del__(self):
        kept.append(bytearray(10163))  # @del


def recursive(depth):
    kept.append(bytearray(1013))  # @recursive
    if depth > 1:
        recursive(depth - 1)  # @recursive_call


def raising(depth):
    local = bytearray(10169)  # @raising
    if depth == 0:
        raise ValueError(len(local))
    raising(depth - 1)


def exceptions():
    for _ in range(10):
        try:
            raising(5)
        except ValueError:
            kept.append(bytearray(10177))  # @except


def main():
    function()
    shapes = Shapes()
    shapes.method()
    Shapes.of_class()
    shapes.attribute
    for _ in delegating():
        pass
    comprehensions()
    closure(10099)()
    (lambda: kept.append(bytearray(10103)))()  # @lambda
    inner_function()
    threads()
    executed()
    final = Final()
    final = None
    recursive(100)
    exceptions()
    return final


main()
print(len(kept), flush=True)
# Without the interpreter's last clean-up: what is kept is alive at the exit.
os._exit(0)
