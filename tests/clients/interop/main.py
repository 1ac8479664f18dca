"""Drives the real program with real clients, each over each transport that it can, and prints what was seen.

    main.py --binary LONGSHORE --fixture CONFORMANCE_SERVER --tools FOLDER --logs FOLDER [--only TEXT]
"""

import argparse
import asyncio
import os
import pathlib
import shutil
import sys
import tempfile
import traceback

from adapter import Adapter
from clients import CLIENTS, TRANSPORTS, Client
from scenarios import SCENARIOS, Case, folder_of
from servers import Product

HERE = pathlib.Path(__file__).resolve().parent.parent
# Cases at once: most of the time they wait.
AT_ONCE = 6
# Nothing that works takes as long as this.
SCENARIO_S = 180


class Run:
    """All cases, and what was seen of each."""

    def __init__(self, options, root: pathlib.Path):
        self.options, self.root, self.room = options, root, asyncio.Semaphore(AT_ONCE)
        self.failures = 0

    async def case(self, client: Client, transport: str) -> None:
        async with self.room:
            title = f"{client.name}, {client.era}, {transport}"
            try:
                await self.drive(client, transport, title)
            except Exception as error:
                self.failed(title, "the case", error)

    async def drive(self, client: Client, transport: str, title: str) -> None:
        folder = folder_of(client, transport, self.root)
        product = Product(self.options.binary, folder)
        command = [part.format(tools=self.options.tools, here=HERE) for part in client.adapter]
        await product.up()
        try:
            async with Adapter(command, self.options.logs / f"{folder.name}.log") as adapter:
                case = Case(client, transport, product, adapter, self.options.fixture)
                await case.connect_to_product()
                for name, scenario in SCENARIOS.items():
                    if reason := client.lacks.get(name):
                        print(f"-      {title}: {name}: not offered by this client: {reason}", flush=True)
                        continue
                    try:
                        seen = await asyncio.wait_for(scenario(case), SCENARIO_S)
                        print(f"ok     {title} ({case.version}): {name}{': ' if seen else ''}{seen}", flush=True)
                    except Exception as error:
                        self.failed(title, name, error)
        finally:
            await product.down()
            shutil.copy(product.home / "log" / "daemon.log", self.options.logs / f"{folder.name}.daemon.log")

    def failed(self, title: str, name: str, error: Exception) -> None:
        self.failures += 1
        traceback.print_exception(error)
        print(f"FAILED {title}: {name}: {type(error).__name__}: {error}", flush=True)


async def run(options) -> int:
    with tempfile.TemporaryDirectory() as root:
        run = Run(options, pathlib.Path(root))
        cases = [(client, transport) for client in CLIENTS for transport in TRANSPORTS]
        named = [(c, t) for c, t in cases if options.only in f"{c.name}, {c.era}, {t}"]
        await asyncio.gather(*(run.case(client, transport) for client, transport in named))
    print(f"{run.failures} failed" if run.failures else "every client came through")
    return 1 if run.failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("binary", "fixture", "tools", "logs"):
        parser.add_argument(f"--{name}", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--only", default="", help="cases whose title contains this")
    options = parser.parse_args()
    options.logs.mkdir(exist_ok=True)
    # What runs the checks may itself run under a client.
    os.environ.pop("LONGSHORE_CONVERSATION", None)
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
