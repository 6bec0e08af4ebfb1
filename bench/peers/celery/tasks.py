"""Tasks that do nothing, for bench/queue_test.go. Celery as fast as it goes: no
results, no events, JSON, messages fetched ahead, a broker that keeps nothing on disk."""

import os
import time

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    task_serializer="json",
    accept_content=["json"],
    broker_pool_limit=10,
    broker_connection_retry_on_startup=True,
)

CLOCK = os.environ.get("BENCH_CLOCK")


@app.task
def noop(number):
    pass


@app.task
def clock(number):
    now = time.time_ns()
    with open(CLOCK, "a") as file:
        file.write(f"{number} {now}\n")
