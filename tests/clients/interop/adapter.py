"""The harness's side of the talk with an adapter: one JSON object a line, answered by the same `id` in any order."""

import asyncio
import json
import os
import pathlib


class Failed(Exception):
    """The client reported an error."""


class Adapter:
    """A running adapter, one process for one client. Leaving the context ends it."""

    def __init__(self, command: list[str], log: pathlib.Path):
        self.command, self.log = command, log
        self.waiting: dict[int, asyncio.Future] = {}

    async def __aenter__(self) -> "Adapter":
        with open(self.log, "ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 24,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_) -> None:
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self.reading

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            waiting = self.waiting.pop(said["id"])
            if waiting.cancelled():
                continue
            if "error" in said:
                waiting.set_exception(Failed(said["error"]))
            else:
                waiting.set_result(said["ok"])
        for waiting in self.waiting.values():
            waiting.set_exception(Failed(f"the adapter ended: see {self.log}"))

    def begin(self, verb: str, **arguments) -> asyncio.Future:
        """Says a verb; the future is its answer, or `Failed`. It has the number of the call as `id`."""
        answered = asyncio.get_running_loop().create_future()
        answered.id = self.next = getattr(self, "next", 0) + 1
        self.waiting[answered.id] = answered
        # A verb that nobody waits for any more may fail.
        answered.add_done_callback(lambda answered: answered.cancelled() or answered.exception())
        self.process.stdin.write(json.dumps({"id": answered.id, "verb": verb, **arguments}).encode() + b"\n")
        return answered

    async def ask(self, verb: str, **arguments):
        """Says a verb and waits for its answer."""
        return await self.begin(verb, **arguments)

    def abandon(self, call: asyncio.Future) -> None:
        """The client gives up a call under way; the call's own answer is then an error."""
        self.process.stdin.write(json.dumps({"id": 0, "verb": "abandon", "call": call.id}).encode() + b"\n")
