"""The servers that clients are driven against: the product, and the fixture server for what the product never asks."""

import asyncio
import json
import os
import pathlib
import signal
import socket

# Longest hold of a call: clients with short time-outs get their answer in time.
BUDGET_S = 4


async def output_of(*command: str, env: dict) -> bytes:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, f"{command} ended with {process.returncode}: {err.decode()}"
    return out


class Product:
    """A home of its own with a daemon: the real binary."""

    def __init__(self, binary: str, folder: pathlib.Path):
        self.binary, self.home = binary, folder / "home"
        self.env = {**os.environ, "LONGSHORE_HOME": str(self.home)}
        self.home.mkdir(mode=0o700)
        (self.home / "config.toml").write_text(f'call_budget = "{BUDGET_S}s"\n')

    async def longshore(self, *args: str) -> bytes:
        return await output_of(self.binary, *args, env=self.env)

    async def up(self) -> None:
        self.daemon = json.loads(await self.longshore("up", "--json"))

    async def down(self) -> None:
        await self.longshore("down")

    async def kill(self) -> None:
        """Kills the daemon with SIGKILL and waits until its port is closed."""
        host, port = self.daemon["listen"].split(":")
        os.kill(json.loads((self.home / "daemon.json").read_text())["pid"], signal.SIGKILL)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) != 0:
                    return
            await asyncio.sleep(0.02)

    def reached_by(self, transport: str) -> dict:
        """How a client reaches it."""
        if transport == "stdio":
            return {"command": [str(self.binary), "mcp"], "env": {"LONGSHORE_HOME": str(self.home)}}
        token = (self.home / "token").read_text().strip()
        return {"url": f"http://{self.daemon['listen']}/mcp", "token": token}

    async def job(self, name: str) -> dict:
        """The one job of that name."""
        lines = (await self.longshore("ls", "--json", "--all", "--text", name)).splitlines()
        assert len(lines) == 1, f"expected one job called {name}, found {len(lines)}"
        return json.loads(lines[0])


class Fixture:
    """The server of the conformance suite: the only one whose jobs ask."""

    def __init__(self, binary: str, folder: pathlib.Path, transport: str):
        self.binary, self.folder, self.transport = binary, folder / "fixture", transport

    async def __aenter__(self) -> dict:
        """How a client reaches it."""
        if self.transport == "stdio":
            return {"command": [str(self.binary), "stdio", str(self.folder)], "env": {}}
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "http", str(self.folder), "127.0.0.1:0",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        url = (await self.process.stdout.readline()).decode().strip()
        return {"url": url, "token": "interop"}

    async def __aexit__(self, *_) -> None:
        if self.transport == "http":
            # It ends with its input.
            self.process.stdin.close()
            await self.process.wait()
