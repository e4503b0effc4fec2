# SPDX-License-Identifier: MIT
"""Random programs against their own books: every number of every line, to the byte."""
import oracle
from harness import *


def entries(process, account, path):
    """The report's entries for a line, named by its number, or for a function."""
    if account.isdigit():
        return [e for e in process["lines"] if e["line"] == int(account) and os.path.basename(e["file"] or "") == path]
    return [e for e in process["functions"] if e["function"] == account and os.path.basename(e["file"] or "") == path]


def compare(process, wanted, path, fields, native):
    """Every line and function of the books must be in the report with the same numbers."""
    wrong = []
    for account, books in sorted(wanted["lines"].items()):
        if native and account == "f%d" % oracle.FUNCTIONS:
            account = "main"
        if account == "<module>":
            continue  # the interpreter's dictionary of globals grows there
        found = entries(process, account, path)
        if len(found) != 1:
            wrong.append("%s: %d entries" % (account, len(found)))
            continue
        for kind in ("self", "total"):
            for field in fields:
                if found[0][kind][field] != books[kind][field]:
                    wrong.append("%s: %s %s is %s, not %s" % (account, kind, field, found[0][kind][field], books[kind][field]))
            if native and not found[0][kind]["peak_exact"]:
                wrong.append("%s: %s peak is a bound" % (account, kind))
        if native and (books["mem_usage_bytes"] or None) != found[0]["mem_usage_bytes"]:
            wrong.append("%s: mem usage is %s, not %s" % (account, found[0]["mem_usage_bytes"], books["mem_usage_bytes"]))
    # Nothing else allocates in these functions.
    for entry in process["lines"]:
        if entry["function"] != "<module>" and os.path.basename(entry["file"] or "") == path and str(entry["line"]) not in wanted["lines"]:
            wrong.append("line %s is not in the books: %s" % (entry["line"], entry["total"]))
    assert not wrong, "%d differences:\n  " % len(wrong) + "\n  ".join(wrong[:20])


@cases(*((seed, flags) for seed in (1, 2, 4, 5, 6, 7) for flags in ("-O0", "-O1 -fno-inline -fomit-frame-pointer")))
def test_native(seed, flags):
    with open("random.c", "w") as file:
        file.write(oracle.native_program(seed))
    subprocess.run(["gcc", "-g", *flags.split(), "-fno-builtin", "-w", "-o", "random", "random.c"], check=True)
    wanted = json.loads(subprocess.run(["./random", "oracle"], stdout=subprocess.PIPE, check=True).stdout)
    process = record("./random", options=["--frees"]).process
    expect(process.totals, peak_bytes=wanted["peak"], live_at_exit_bytes=wanted["live"], lost_events=0)
    fields = (
        "live_at_exit_bytes", "peak_bytes", "at_peak_bytes", "allocated_bytes", "allocations", "freed_bytes", "frees",
        "temporary_allocations")
    compare(process, wanted, "random.c", fields, native=True)


@cases(*((version, seed) for version in python_cases()(lambda: 0).cases for seed in (1, 2)))
def test_python(version, seed):
    run_python(version, oracle.python_program(seed))


@cases(*((version, seed) for version in python_cases()(lambda: 0).cases for seed in (3, 4, 5)))
def test_mixed(version, seed):
    """Stacks of two languages, with recursion through both: what Python did is the same."""
    process = run_python(version, oracle.python_program(seed, mixed=True), "--native")
    assert process["losses"]["unspliced_stacks"] == 0, process["losses"]
    (bsearch,) = [each for each in process["functions"] if each["function"] == "bsearch"]
    assert bsearch["total"]["allocated_bytes"] > 0, bsearch


def run_python(version, text, *options):
    need_malloc(version)
    with open("random_program.py", "w") as file:
        file.write(text)
    interpreter = python(version)
    oracle_run = subprocess.run(
        [interpreter, "random_program.py", "oracle"], stdout=subprocess.PIPE, check=True, env=clean_environment())
    wanted = json.loads(oracle_run.stdout)
    process = record(interpreter, "random_program.py", options=["--python-objects=off", *options]).process
    fields = ("live_at_exit_bytes", "peak_bytes", "allocated_bytes", "allocations", "freed_bytes", "frees")
    # At the process's peak there are the interpreter's own blocks as well: at_peak_bytes is not comparable.
    compare(process, wanted, "random_program.py", fields, native=False)
    return process
