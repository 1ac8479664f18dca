"""Drives the real program with real clients, each over each transport that it can, and compares what was seen with the
table in README.md.

    main.py --binary LONGSHORE --fixture CONFORMANCE_SERVER --rmcp CLIENT --tools FOLDER --logs FOLDER [--only TEXT]
"""

import argparse
import asyncio
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

from adapter import Adapter
from clients import CLIENTS, TRANSPORTS, Client
from scenarios import SCENARIOS, Case
from servers import Product

HERE = pathlib.Path(__file__).resolve().parent.parent
# Cases at once: most of the time they wait.
AT_ONCE = 8
# Nothing that works takes as long as this.
SCENARIO_S = 180
# A case that failed while the machine stood still for so long is repeated.
STILL_S = 5
ATTEMPTS_MAX = 3


class Run:
    """All cases, and what was seen of each."""

    def __init__(self, options, root: pathlib.Path):
        self.options, self.root, self.room = options, root, asyncio.Semaphore(AT_ONCE)
        self.table = (HERE / "README.md").read_text().splitlines()
        self.pulse = Pulse()
        self.failures = 0

    async def case(self, client: Client, transport: str) -> None:
        async with self.room:
            for attempt in range(1, ATTEMPTS_MAX + 1):
                still = self.pulse.still_s
                failures = await Attempt(self, client, transport, attempt).run()
                still = self.pulse.still_s - still
                if not failures or not still:
                    break
                print(f"again  {client.name}, {client.era}, {transport}: the machine stood still for {still:.0f} s", flush=True)
            self.failures += failures


class Pulse:
    """Notices when the whole machine stood still, as a paused virtual one does: then every time-out has run out at once."""

    def __init__(self):
        self.still_s = 0.0
        self.beating = asyncio.create_task(self.beat())

    async def beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(1)
            late = time.monotonic() - before - 1
            if late > STILL_S:
                self.still_s += late


class Attempt:
    """One client taken through all scenarios."""

    def __init__(self, of: Run, client: Client, transport: str, number: int):
        self.options, self.table, self.client, self.transport = of.options, of.table, client, transport
        self.title = f"{client.name}, {client.era}, {transport}"
        # A short path: there are sockets in it.
        self.folder = of.root / f"{self.title}-{number}".lower().replace(",", "").replace(" ", "-")
        self.failures = 0

    async def run(self) -> int:
        """How much failed."""
        try:
            self.folder.mkdir()
            seen = await self.drive(Product(self.options.binary, self.folder))
            row = "| " + " | ".join([self.client.name, self.client.era, self.transport, *seen]) + " |"
            assert row in self.table, f"README.md has another row than {row}"
        except Exception as error:
            self.failed(self.title, error)
        return self.failures

    async def drive(self, product: Product) -> list[str]:
        """What was seen of each scenario."""
        paths = {"tools": self.options.tools, "rmcp": self.options.rmcp, "here": HERE}
        command = [part.format(**paths) for part in self.client.adapter]
        logs = self.options.logs / self.folder.name
        try:
            await product.up()
            async with Adapter(command, logs.with_suffix(".log")) as adapter:
                case = Case(self.client, self.transport, product, adapter, self.options.fixture)
                await case.connect_to_product()
                return [await self.scenario(case, name) for name in SCENARIOS]
        finally:
            await product.down()
            if (log := product.home / "log" / "daemon.log").exists():
                shutil.copy(log, logs.with_suffix(".daemon.log"))

    async def scenario(self, case: Case, name: str) -> str:
        if reason := self.client.lacks.get(name):
            print(f"-      {self.title}: {name}: not offered by this client: {reason}", flush=True)
            return "–"
        try:
            seen = await asyncio.wait_for(SCENARIOS[name](case), SCENARIO_S)
        except Exception as error:
            self.failed(f"{self.title}: {name}", error)
            return "FAILED"
        print(f"ok     {self.title} ({case.version}): {name}: {seen}", flush=True)
        return seen

    def failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        traceback.print_exception(error)
        print(f"FAILED {what}: {type(error).__name__}: {error}", flush=True)


def scratch() -> tempfile.TemporaryDirectory:
    """Homes are in memory where that is possible: a disk that stalls says nothing about clients."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


async def run(options) -> int:
    with scratch() as root:
        run = Run(options, pathlib.Path(root))
        cases = [(client, transport) for client in CLIENTS for transport in TRANSPORTS]
        named = [(c, t) for c, t in cases if options.only in f"{c.name}, {c.era}, {t}"]
        await asyncio.gather(*(run.case(client, transport) for client, transport in named))
    print(f"{run.failures} failed; logs: {options.logs}" if run.failures else "every client came through")
    return 1 if run.failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("binary", "fixture", "rmcp", "tools", "logs"):
        parser.add_argument(f"--{name}", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--only", default="", help="cases whose title contains this")
    options = parser.parse_args()
    shutil.rmtree(options.logs, ignore_errors=True)
    options.logs.mkdir()
    # What runs the checks may itself run under a client.
    os.environ.pop("LONGSHORE_CONVERSATION", None)
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
