"""The Python SDK 2: both eras, no tasks of its own. A modern call comes back to it by a signed state."""

import contextlib
from importlib.metadata import version

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from lines import Adapter, serve, text_of


class Python2(Adapter):
    @contextlib.asynccontextmanager
    async def connect(self, server, era, timeout_s):
        async with contextlib.AsyncExitStack() as stack:
            if "url" in server:
                headers = {"Authorization": f"Bearer {server['token']}"}
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout_s))
                target = streamable_http_client(server["url"], http_client=http)
            else:
                program, *arguments = server["command"]
                target = StdioServerParameters(command=program, args=arguments, env=server["env"])
            mode = "legacy" if era == "legacy" else "auto"
            client = Client(target, mode=mode, read_timeout_seconds=timeout_s, elicitation_callback=self.elicited)
            yield await stack.enter_async_context(client)

    def greeted(self, client):
        return {"client": f"mcp {version('mcp')}", "protocol": client.protocol_version}

    async def elicited(self, _context, _params):
        if self.answer is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=self.answer)

    async def tools(self):
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool, arguments):
        result = await self.client.call_tool(tool, arguments)
        return {
            "structured": result.structured_content,
            "text": text_of(result.content),
            "is_error": bool(result.is_error),
        }

    async def prompt(self, name, arguments):
        result = await self.client.get_prompt(name, arguments)
        return {"text": text_of(message.content for message in result.messages)}


serve(Python2())
