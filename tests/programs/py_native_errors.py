# SPDX-License-Identifier: MIT
"""Rare paths of the evaluation loop, whose code compilers move to another place: errors of all kinds, and tracing."""
import sys


def deletes(a):
    del a.b


def sets(a):
    a.b = 1


def unpacks(a):
    x, y = a, a, a


def calls(a):
    calls(*a)


def calls_by_name(a):
    calls(**{a: 2})


def enters(a):
    with a:
        pass


def forgets(a):
    del unknown


def raises(a):
    raise KeyError(a) from ValueError(a)


def imports(a):
    from os import nothing


def asserts(a):
    assert a == 2


def adds(a):
    return "a" + a


def yields():
    try:
        yield 1
    except GeneratorExit:
        raise


def main():
    for function in (deletes, sets, unpacks, calls, calls_by_name, enters, forgets, raises, imports, asserts, adds):
        for _ in range(20):
            try:
                function(1)
            except Exception:
                pass
    generator = yields()
    next(generator)
    generator.close()


main()
sys.settrace(lambda *arguments: None)
main()
print("done")
