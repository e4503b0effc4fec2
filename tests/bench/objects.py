# SPDX-License-Identifier: MIT
"""Small objects without end: JSON, dictionaries, lists, strings."""
import json
import sys


def documents(count):
    return [
        {"id": i, "name": "name %d" % i, "tags": ["a%d" % (i % 7), "b%d" % (i % 11)], "values": [i * 0.5, i * 0.25, float(i)]}
        for i in range(count)
    ]


def index(items):
    by_tag = {}
    for item in items:
        for tag in item["tags"]:
            by_tag.setdefault(tag, []).append(item["id"])
    return by_tag


def main(rounds):
    total = 0
    for _ in range(rounds):
        text = json.dumps(documents(10000))
        items = json.loads(text)
        total += sum(len(ids) for ids in index(items).values())
        words = sorted({word for item in items for word in item["name"].split()})
        total += len(words)
    print(total)


main(int(sys.argv[1]))
