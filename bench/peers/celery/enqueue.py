"""Puts jobs into the queue: enqueue.py COUNT [SECONDS-BETWEEN]. Prints the time it took
and the CPU time, in seconds; with a pause, when each was put there."""

import sys
import time

from tasks import app, clock, noop

count = int(sys.argv[1])
with app.producer_or_acquire() as producer:
    noop.name  # loads the task
    began, cpu = time.time(), time.process_time()
    if len(sys.argv) == 2:
        for number in range(count):
            noop.apply_async((number,), producer=producer)
    else:
        for number in range(count):
            now = time.time_ns()
            clock.apply_async((number,), producer=producer)
            print(number, now)
            time.sleep(float(sys.argv[2]))
print(time.time() - began, time.process_time() - cpu)
