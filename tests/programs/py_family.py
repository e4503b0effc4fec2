# SPDX-License-Identifier: MIT
"""Makes processes in the way that the first argument names; they hold 3000017 bytes, the parent 1000003."""
import os
import subprocess
import sys

kept = []


def work(size=3000017):
    block = bytearray(size)  # @child
    return len(block)


def check(pid, expected):
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == expected, status


def by_multiprocessing(method):
    import multiprocessing

    context = multiprocessing.get_context(method)
    process = context.Process(target=work)
    process.start()
    process.join(30)
    assert process.exitcode == 0, process.exitcode


def by_pool():
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(work, [2000003] * 6) == [2000003] * 6


def by_executor():
    import concurrent.futures

    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(work, [2000003] * 4)) == [2000003] * 4


def by_subprocess():
    done = subprocess.run([sys.executable, __file__, "leaf"], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"leaf\n"


def by_shell():
    assert os.system("'%s' '%s' leaf" % (sys.executable, __file__)) == 0


def by_fork():
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(7)
    check(pid, 7)


def by_fork_exit():
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(8)
    check(pid, 8)


def by_exec():
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, __file__, "leaf"])


def by_fork_exec():
    pid = os.fork()
    if pid == 0:
        by_exec()
    check(pid, 0)


def by_posix_spawn():
    check(os.posix_spawn(sys.executable, [sys.executable, __file__, "leaf"], os.environ), 0)


def main():
    how = sys.argv[1]
    if how == "leaf":
        work()
        print("leaf")
        return
    kept.append(bytearray(1000003))  # @parent
    if how in ("fork", "spawn", "forkserver"):
        by_multiprocessing(how)
    else:
        globals()["by_" + how]()
    kept.append(bytearray(700001))  # @after
    print("done")


if __name__ == "__main__":
    main()
