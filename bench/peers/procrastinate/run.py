"""Whole no-op jobs per second with Procrastinate: this process enqueues, another one works.

run.py URL single|batch JOBS CALLERS WORKERS PAYLOAD        prints the figure
"""

import asyncio
import logging
import subprocess
import sys
import time

import procrastinate

WARM_UP = 100
BATCH = 500
CONNECTIONS = 32

URL, MODE, JOBS, CALLERS, WORKERS, PAYLOAD = sys.argv[1:7]
JOBS, CALLERS, WORKERS = int(JOBS), int(CALLERS), int(WORKERS)

# It warns of an app in the main module, which is all there is here.
logging.disable(logging.CRITICAL)
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL, max_size=CONNECTIONS))
ran = 0
all_ran = asyncio.Event()


@app.task(name="nothing")
async def nothing(payload):
    global ran
    ran += 1
    if ran == WARM_UP:
        print("warm", flush=True)
    if ran == WARM_UP + JOBS:
        all_ran.set()


async def work():
    """Says when it has run the warm-up, and ends once all ends are stored."""
    async with app.open_async():
        worker = asyncio.create_task(app.run_worker_async(concurrency=WORKERS, install_signal_handlers=False))
        await all_ran.wait()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def produce(mode, jobs, callers):
    left = jobs

    async def caller():
        nonlocal left
        while left > 0:
            take = 1 if mode == "single" else min(left, BATCH)
            left -= take
            if mode == "single":
                await nothing.defer_async(payload=PAYLOAD)
            else:
                await nothing.batch_defer_async(*({"payload": PAYLOAD} for _ in range(take)))

    await asyncio.gather(*(caller() for _ in range(callers)))


async def lead():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = subprocess.Popen([sys.executable, *sys.argv, "work"], stdout=subprocess.PIPE)
        await produce("single", WARM_UP, 10)
        await asyncio.to_thread(worker.stdout.readline)
        begin = time.perf_counter()
        await produce(MODE, JOBS, CALLERS)
        if await asyncio.to_thread(worker.wait) != 0:
            sys.exit("the worker failed")
        print(JOBS / (time.perf_counter() - begin))


asyncio.run(work() if "work" in sys.argv[7:] else lead())
