# SPDX-License-Identifier: MIT
"""Run by python_again.c, which gives it a number: makes that many small objects more each time."""


def first(number):
    return [bytes(101) for _ in range(10000)]  # @first


def second(number):
    return [bytes(103) for _ in range(10000)]  # @second


def third(number):
    return [bytes(107) for _ in range(10000)]  # @third


kept = (first, second, third)[number](number)  # noqa: F821
