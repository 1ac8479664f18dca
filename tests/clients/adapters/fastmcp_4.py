"""FastMCP 4 with fastmcp-tasks: both eras, tasks in the modern one."""

import contextlib
from importlib.metadata import version

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from fastmcp_tasks.client import ToolTask, call_tool_task
from mcp_types import ElicitResult

from lines import Adapter, serve, text_of


def told(result) -> dict:
    return {
        "structured": result.structured_content,
        "text": text_of(result.content),
        "is_error": result.is_error,
    }


class FastMcp4(Adapter):
    def __init__(self):
        # What is kept of a task, so that a new connection goes on with it.
        self.created: dict[str, tuple] = {}

    @contextlib.asynccontextmanager
    async def connect(self, server, era, timeout_s):
        if "url" in server:
            transport = StreamableHttpTransport(server["url"], auth=server["token"])
        else:
            program, *arguments = server["command"]
            transport = StdioTransport(program, arguments, env=server["env"], keep_alive=False)
        mode = "legacy" if era == "legacy" else "auto"
        async with Client(transport, mode=mode, timeout=timeout_s, elicitation_handler=self.elicited) as client:
            yield client

    def greeted(self, client):
        names = ("fastmcp", "fastmcp-tasks")
        return {
            "client": ", ".join(f"{name} {version(name)}" for name in names),
            "protocol": client.session.protocol_version,
        }

    async def elicited(self, _message, _type, _params, _context):
        if self.answer is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=self.answer)

    async def tools(self):
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, tool, arguments):
        return told(await self.client.call_tool(tool, arguments, raise_on_error=False))

    async def prompt(self, name, arguments):
        result = await self.client.get_prompt(name, arguments)
        return {"text": text_of(message.content for message in result.messages)}

    async def start(self, tool, arguments):
        task = await call_tool_task(self.client, tool, arguments, raise_on_error=False)
        self.created[task.task_id] = (tool, task.create_result)
        return {"task": task.task_id}

    def handle(self, task) -> ToolTask:
        return ToolTask(self.client, *self.created[task], raise_on_error=False)

    async def status(self, task):
        return {"status": (await self.handle(task).status()).status}

    async def result(self, task):
        return told(await self.handle(task).result())

    async def cancel(self, task):
        await self.handle(task).cancel()


serve(FastMcp4())
