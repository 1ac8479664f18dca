"""The Inspector's command line: one process for each request, in both eras. A task of the modern era it follows itself."""

import asyncio
import json
import os
import pathlib
import signal
import sys
import tempfile

from lines import Adapter, serve


class Inspector(Adapter):
    def __init__(self, node: str, package: str):
        self.command = [node, f"{package}/clients/launcher/build/index.js", "--cli"]
        self.version = json.loads(pathlib.Path(package, "package.json").read_text())["version"]
        self.folder = tempfile.TemporaryDirectory()

    async def open(self, server, era, timeout_s):
        entry = {"protocolEra": era, "requestTimeout": int(timeout_s * 1000)}
        if "url" in server:
            entry |= {"type": "streamable-http", "url": server["url"]}
            entry["headers"] = {"Authorization": f"Bearer {server['token']}"}
        else:
            program, *arguments = server["command"]
            entry |= {"type": "stdio", "command": program, "args": arguments, "env": server["env"]}
        self.config = pathlib.Path(self.folder.name, "servers.json")
        self.config.write_text(json.dumps({"mcpServers": {"interop": entry}}))
        hello = await self.request("initialize")
        return {"client": f"Inspector {self.version}", "protocol": hello["protocolVersion"]}

    async def close(self):
        pass

    async def request(self, method: str, *options: str) -> dict:
        command = [*self.command, "--config", str(self.config), "--server", "interop"]
        process = await asyncio.create_subprocess_exec(
            *command, "--method", method, *options, "--format", "json",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            # What it keeps of its own stays apart.
            env={**os.environ, "HOME": self.folder.name},
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            # As a person would: Ctrl-C.
            process.send_signal(signal.SIGINT)
            await process.wait()
            raise
        sys.stderr.write(err.decode())
        try:
            said = json.loads(out)
        except json.JSONDecodeError:
            raise RuntimeError(f"exit code {process.returncode}: {out.decode()}{err.decode()}") from None
        return said["result"] if "result" in said else said

    async def tools(self):
        return [tool["name"] for tool in (await self.request("tools/list"))["tools"]]

    async def call(self, tool, arguments):
        options = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        result = await self.request("tools/call", *options)
        texts = [block["text"] for block in result["content"] if block["type"] == "text"]
        is_error = result.get("isError", False)
        return {"structured": result.get("structuredContent"), "text": "\n".join(texts), "is_error": is_error}


serve(Inspector(*sys.argv[1:]))
