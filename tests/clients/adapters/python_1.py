"""The Python SDK 1: the legacy era with its tasks."""

import contextlib
from datetime import timedelta
from importlib.metadata import version

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ElicitResult

from lines import Adapter, serve, text_of


def told(result: CallToolResult) -> dict:
    return {"structured": result.structuredContent, "text": text_of(result.content), "is_error": result.isError}


class Python1(Adapter):
    @contextlib.asynccontextmanager
    async def connect(self, server, era, timeout_s):
        async with contextlib.AsyncExitStack() as stack:
            if "url" in server:
                headers = {"Authorization": f"Bearer {server['token']}"}
                http = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=timeout_s))
                transport = streamable_http_client(server["url"], http_client=http)
            else:
                program, *arguments = server["command"]
                transport = stdio_client(StdioServerParameters(command=program, args=arguments, env=server["env"]))
            streams = (await stack.enter_async_context(transport))[:2]
            session = ClientSession(
                *streams, read_timeout_seconds=timedelta(seconds=timeout_s), elicitation_callback=self.elicited
            )
            await stack.enter_async_context(session)
            self.initialized = await session.initialize()
            yield session

    def greeted(self, client):
        return {"client": f"mcp {version('mcp')}", "protocol": self.initialized.protocolVersion}

    async def elicited(self, _context, _params):
        if self.answer is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=self.answer)

    async def tools(self):
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool, arguments):
        return told(await self.client.call_tool(tool, arguments))

    async def prompt(self, name, arguments):
        result = await self.client.get_prompt(name, arguments)
        return {"text": text_of(message.content for message in result.messages)}

    async def start(self, tool, arguments):
        created = await self.client.experimental.call_tool_as_task(tool, arguments)
        return {"task": created.task.taskId}

    async def status(self, task):
        return {"status": (await self.client.experimental.get_task(task)).status}

    async def result(self, task):
        async for state in self.client.experimental.poll_task(task):
            if state.status == "input_required":
                # It is asked on the stream of the result.
                break
        return told(await self.client.experimental.get_task_result(task, CallToolResult))

    async def cancel(self, task):
        await self.client.experimental.cancel_task(task)


serve(Python1())
