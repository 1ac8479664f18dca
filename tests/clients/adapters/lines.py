"""The adapters' side of the talk with the harness, for clients in Python. See "The talk" in ../README.md."""

import asyncio
import json
import sys
import traceback


class Adapter:
    """One connection at a time of one client. A verb is a method; its arguments are the members of the line."""

    # What a person would fill into the next forms; nothing = declines.
    answer: dict | None = None

    def connect(self, server: dict, era: str, timeout_s: float):
        """An asynchronous context whose value is the connected client."""
        raise NotImplementedError

    def greeted(self, client) -> dict:
        """Name and version of the client, and the version of the protocol that was agreed on."""
        raise NotImplementedError

    async def open(self, **how) -> dict:
        opened, self.closing = asyncio.get_running_loop().create_future(), asyncio.Event()
        # What these libraries enter in one task they must leave in the same.
        self.holding = asyncio.create_task(self._hold(opened, how))
        await asyncio.wait([self.holding, opened], return_when=asyncio.FIRST_COMPLETED)
        if self.holding.done():
            self.holding.result()
        self.client = opened.result()
        return self.greeted(self.client)

    async def _hold(self, opened, how) -> None:
        async with self.connect(**how) as client:
            opened.set_result(client)
            await self.closing.wait()

    async def close(self) -> None:
        self.closing.set()
        await asyncio.wait([self.holding])


async def _serve(adapter: Adapter) -> None:
    verbs: dict[int, asyncio.Task] = {}

    async def do(id: int, verb: str, arguments: dict) -> None:
        try:
            adapter.answer = arguments.pop("answer", adapter.answer)
            said = {"ok": await getattr(adapter, verb)(**arguments)}
        except asyncio.CancelledError:
            said = {"error": "given up"}
        except Exception as error:
            traceback.print_exc()
            said = {"error": "".join(traceback.format_exception_only(error)).strip()}
        print(json.dumps({"id": id, **said}), flush=True)

    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        asked = json.loads(line)
        id, verb = asked.pop("id"), asked.pop("verb")
        if verb == "abandon":
            verbs[asked["call"]].cancel()
        else:
            verbs[id] = asyncio.create_task(do(id, verb, asked))


def serve(adapter: Adapter) -> None:
    """Answers the harness until it closes standard input."""
    asyncio.run(_serve(adapter))


def text_of(blocks) -> str:
    """The text of content blocks."""
    return "\n".join(block.text for block in blocks if block.type == "text")
