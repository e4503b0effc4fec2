# SPDX-License-Identifier: MIT
"""Threads that allocate while the main thread waits, pass buffers on, and leave a daemon behind."""
import os
import queue
import threading
import time

ROUNDS = 200
kept = []


def produce(out):
    for _ in range(ROUNDS):
        out.put(bytearray(20011))  # @produce


def consume(source):
    while True:
        block = source.get()
        if block is None:
            return
        block = None  # @consume


def sleeper(done):
    time.sleep(0.05)
    kept.append(bytearray(3000017))  # @thread
    done.set()


def forever():
    while True:
        bytearray(1009)
        time.sleep(0.001)


def main():
    done = threading.Event()
    threading.Thread(target=sleeper, args=(done,)).start()
    while not done.is_set():
        time.sleep(0.01)  # @sleep
    pipe = queue.Queue(4)
    consumers = [threading.Thread(target=consume, args=(pipe,)) for _ in range(3)]
    producers = [threading.Thread(target=produce, args=(pipe,)) for _ in range(3)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()  # @join
    for _ in consumers:
        pipe.put(None)
    for thread in consumers:
        thread.join()
    threading.Thread(target=forever, daemon=True).start()
    time.sleep(0.02)
    print("done", flush=True)
    os._exit(0)


main()
