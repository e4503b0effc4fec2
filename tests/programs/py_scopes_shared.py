"""One scope object in many hands at once, at the limit of recursion, and when exceptions come in between."""
import signal
import threading

import peakline

stage = peakline.scope("stage")


def work():
    for _ in range(3000):
        with stage:
            held = bytearray(10007)
        held = bytearray(20011)  # not in the scope
    return held


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()


def walk():
    with peakline.scope("walk"):
        walk()


try:
    walk()
except RecursionError:
    print("too deep")


class Tick(Exception):
    pass


def ticks(number, frame):
    raise Tick


def interrupted(rounds):
    """Enters and leaves a scope until a signal's handler raises, so often."""
    for number in range(rounds):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + number % 50 * 1e-5)
            while True:
                with peakline.scope("interrupted"):
                    pass
        except Tick:
            pass


signal.signal(signal.SIGALRM, ticks)
interrupted(200)
later = bytearray(3000017)  # @later
print("end")
