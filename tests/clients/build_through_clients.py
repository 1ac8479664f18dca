"""Runs one real build directly and through each real client, and compares what came out.

Every client gets a time-out shorter than the build. The result must be the same to the byte: exit code, output, and
the program that was built.
"""

import argparse
import asyncio
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
import httpx2

FILES = 10
CLIENT_TIMEOUT_S = 2.0


def write_sources(folder: pathlib.Path) -> None:
    """A C project that takes an optimising compiler several seconds and always gives the same bytes."""
    folder.mkdir(parents=True)
    objects = []
    for number in range(FILES):
        lines = ["#include <stdio.h>"]
        for function in range(100):
            lines.append(
                f"double f{number}_{function}(double x, int n) {{ double s = {function}.5; "
                "for (int i = 0; i < n; i++) { for (int j = 0; j < 8; j++) "
                f"s += x * i / (j + {number + 1}) - s * 0.{function + 1:03}; }} return s; }}"
            )
        (folder / f"part{number}.c").write_text("\n".join(lines) + "\n")
        objects.append(f"part{number}.o")
    (folder / "main.c").write_text(
        "#include <stdio.h>\ndouble f0_0(double, int);\n"
        'int main(void) { printf("%.3f\\n", f0_0(1.5, 10)); return 0; }\n'
    )
    makefile = f"app: main.o {' '.join(objects)}\n\tcc -o app $^\n\t@echo built with warnings >&2; exit 7\n"
    makefile += "%.o: %.c\n\tcc -O3 -funroll-loops -c -o $@ $<\n"
    (folder / "Makefile").write_text(makefile)


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Case:
    """One client: its own copy of the sources, at the same path for each so that nothing else differs."""

    def __init__(self, options, sources: pathlib.Path, place: pathlib.Path, home: pathlib.Path):
        self.options, self.sources, self.place, self.home = options, sources, place, home
        self.env = {**os.environ, "LONGSHORE_HOME": str(home)}

    def fresh(self) -> str:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.sources, self.place)
        return str(self.place)

    def longshore(self, *args: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.options.binary, *args], env=self.env, capture_output=True)

    def job(self, job_id: str) -> dict:
        shown = self.longshore("show", "--json", job_id)
        assert shown.returncode == 0, shown.stderr.decode()
        return json.loads(shown.stdout)

    def collect(self, job_id: str) -> tuple:
        job = self.job(job_id)
        assert job["state"] == "finished", job["state"]
        output = self.longshore("logs", job_id).stdout
        return job["outcome"]["exit_code"], output, digest(self.place / "app")


def directly(case: Case) -> tuple:
    ended = subprocess.run(["make"], cwd=case.fresh(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ended.returncode, ended.stdout, digest(case.place / "app")


def structured(result) -> dict:
    assert result.structured_content is not None, result
    return result.structured_content


async def poll_to_the_end(session: ClientSession, job_id: str) -> dict:
    cursor = None
    while True:
        arguments = {"jobs": [job_id], "wait_s": 1}
        if cursor:
            arguments["cursor"] = cursor
        waited = structured(await session.call_tool("job_wait", arguments))
        cursor = waited.get("cursor")
        if waited["jobs"][0]["state"] == "finished":
            return waited["jobs"][0]


async def with_handle(session: ClientSession, case: Case) -> tuple:
    """The call answers with a handle before the client's time-out; the rest is polled."""
    handle = structured(
        await session.call_tool("run", {"command": ["make"], "cwd": case.fresh(), "wait_s": 1, "name": "build"})
    )
    assert handle["state"] != "finished", handle
    await poll_to_the_end(session, handle["job"])
    return case.collect(handle["job"])


async def cut_in_mid_call(connect, case: Case) -> tuple:
    """The client gives up on the call and goes away; a new one finds the job and collects it."""
    async with connect() as streams, ClientSession(*streams[:2], read_timeout_seconds=CLIENT_TIMEOUT_S) as session:
        await session.initialize()
        try:
            await session.call_tool("run", {"command": ["make"], "cwd": case.fresh(), "name": "cut"})
            raise AssertionError("the call was expected to be cut by the client")
        except MCPError:
            pass
    async with connect() as streams, ClientSession(*streams[:2], read_timeout_seconds=CLIENT_TIMEOUT_S) as session:
        await session.initialize()
        listed = structured(await session.call_tool("job_list", {"all": True, "text": "cut", "limit": 1}))
        job_id = listed["jobs"][0]["job"]
        await poll_to_the_end(session, job_id)
        return case.collect(job_id)


async def python_sdk(case: Case, transport: str, daemon: dict) -> dict:
    def connect():
        if transport == "stdio":
            parameters = StdioServerParameters(
                command=case.options.binary, args=["mcp"], env={"LONGSHORE_HOME": str(case.home)}
            )
            return stdio_client(parameters)
        token = (case.home / "token").read_text().strip()
        client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        return streamable_http_client(f"http://{daemon['listen']}/mcp", http_client=client)

    async with connect() as streams, ClientSession(*streams[:2], read_timeout_seconds=CLIENT_TIMEOUT_S) as session:
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"run", "job_wait", "job_read", "job_list", "job_cancel"} <= tools, tools
        handle = await with_handle(session, case)
    return {"handle": handle, "cut": await cut_in_mid_call(connect, case)}


def inspector(case: Case, target: list, era: str) -> tuple:
    def call(tool: str, arguments: dict) -> dict:
        command = [case.options.node, case.options.inspector, "--cli", *target, "--protocol-era", era]
        command += ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
        ended = subprocess.run([*command, "--format", "json"], env=case.env, capture_output=True, timeout=60)
        try:
            answer = json.loads(ended.stdout)
        except json.JSONDecodeError:
            raise AssertionError(f"{ended.stdout!r} {ended.stderr.decode()}") from None
        return (answer.get("result") or answer)["structuredContent"]

    # The Inspector knows tasks of both generations: it comes back with the end of the job, not with a handle.
    handle = call("run", {"command": ["make"], "cwd": case.fresh(), "wait_s": 1})
    while handle["state"] != "finished" and call("job_wait", {"jobs": [handle["job"]], "wait_s": 5})["jobs"][0]["state"] != "finished":
        pass
    return case.collect(handle["job"])


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("binary", "node", "inspector"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_sources(folder / "sources")
        case = Case(options, folder / "sources", folder / "build", folder / "home")
        started = time.monotonic()
        expected = directly(case)
        took = time.monotonic() - started
        print(f"directly: exit {expected[0]}, {len(expected[1])} bytes, {took:.1f} s; client time-out {CLIENT_TIMEOUT_S} s")
        assert took > CLIENT_TIMEOUT_S, "the build must outlast the client's patience for this to prove anything"
        assert case.longshore("up").returncode == 0
        daemon = json.loads(case.longshore("doctor", "--json").stdout)
        found = {}
        try:
            for transport in ("stdio", "http"):
                for name, result in asyncio.run(python_sdk(case, transport, daemon)).items():
                    found[f"Python SDK 2.3.0, {transport}, {name}"] = result
            token = (case.home / "token").read_text().strip()
            http = ["--server-url", f"http://{daemon['listen']}/mcp", "--transport", "http",
                    "--header", f"Authorization: Bearer {token}"]
            stdio = [options.binary, "mcp", "-e", f"LONGSHORE_HOME={case.home}"]
            for era in ("legacy", "modern"):
                found[f"Inspector 2.12.0, stdio, {era}"] = inspector(case, stdio, era)
                found[f"Inspector 2.12.0, http, {era}"] = inspector(case, http, era)
        finally:
            case.longshore("down")
        wrong = 0
        for name, result in found.items():
            same = result == expected
            wrong += not same
            print(f"{'same' if same else 'DIFFERENT'}: {name}: exit {result[0]}, {len(result[1])} bytes")
        print(f"{len(found) - wrong} passed, {wrong} failed")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
