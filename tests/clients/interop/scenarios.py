"""What every client is taken through. Each scenario is told once; how a call is followed depends on the client."""

import asyncio
import contextlib
import shlex

from adapter import Adapter, Failed
from clients import Client
from servers import Fixture, Product

# What the clients are told to wait for one answer: longer than the server holds a call, shorter than the slow call.
PATIENCE_S = 15
SLOW_S = 18
EXIT = 7


class Case:
    """A client on a transport, connected to a product of its own."""

    def __init__(self, client: Client, transport: str, product: Product, adapter: Adapter, fixture: str):
        self.client, self.transport, self.product, self.adapter = client, transport, product, adapter
        self.fixture_binary, self.folder = fixture, product.home.parent

    async def connect(self, server: dict) -> None:
        opened = await self.adapter.ask("open", server=server, era=self.client.era, timeout_s=PATIENCE_S)
        self.version = opened["client"]
        spoken = opened["protocol"]
        expected = spoken == "2026-07-28" if self.client.era == "modern" else spoken < "2026"
        assert expected, f"a {self.client.era} client speaks {spoken}"

    async def connect_to_product(self) -> None:
        await self.connect(self.product.reached_by(self.transport))

    @contextlib.asynccontextmanager
    async def connected_to_fixture(self):
        """The same client at the fixture server meanwhile."""
        await self.adapter.ask("close")
        try:
            async with Fixture(self.fixture_binary, self.folder, self.transport) as server:
                await self.connect(server)
                try:
                    yield
                finally:
                    await self.adapter.ask("close")
        finally:
            await self.connect_to_product()

    async def call(self, tool: str, **arguments) -> dict:
        """The structured result of a call that the client makes the ordinary way."""
        return structured(await self.adapter.ask("call", tool=tool, arguments=arguments))

    async def followed(self, status: dict) -> tuple:
        """Exit code and output of a job of which the client knows the handle, or the end."""
        while status["state"] != "finished":
            waited = await self.call("job_wait", jobs=[status["job"]], cursor=status.get("cursor", "first"))
            status = {**waited["jobs"][0], "cursor": waited.get("cursor")}
        if "output" not in status:
            status = {**status, **await self.call("job_read", job=status["job"])}
        return status["outcome"].get("exit_code"), status["output"]


def structured(result: dict) -> dict:
    assert result["structured"] is not None, f"no structured content: {result}"
    return result["structured"]


class Work:
    """A command that tells that it runs, and ends when it may. It has its name from the scenario, as has its key."""

    # Nor does it outlive its folder.
    WAITS = "while [ -e runs ] && ! [ -e go ]; do sleep 0.1; done"

    def __init__(self, case: Case, name: str, script: str = WAITS):
        self.case, self.name = case, name
        self.folder = case.folder / name
        self.folder.mkdir()
        script = f"echo run >>runs; {script}; echo the end of {shlex.quote(name)}; exit {EXIT}"
        self.arguments = {"command": ["sh", "-c", script], "cwd": str(self.folder), "name": name, "key": name}
        self.end = (EXIT, f"the end of {name}\n")

    async def running(self, call: asyncio.Future | None = None) -> None:
        """Returns once the command runs."""
        while not (self.folder / "runs").exists():
            if call is not None and call.done():
                raise AssertionError(f"the command did not start: {call.result()}")
            await asyncio.sleep(0.02)

    def may_end(self) -> None:
        (self.folder / "go").touch()

    async def found(self) -> dict:
        """The job as the client finds it by its name."""
        listed = await self.case.call("job_list", text=self.name, all=True)
        assert len(listed["jobs"]) == 1, listed
        return listed["jobs"][0]

    async def check(self, end: tuple) -> None:
        """The end is the right one, to the client and to the daemon, and the command ran once."""
        assert end == self.end, f"expected {self.end}, found {end}"
        runs = (self.folder / "runs").read_text()
        assert runs == "run\n", f"the command ran {runs.count('run')} times"
        job = await self.case.product.job(self.name)
        assert job["report"]["exit_code"] == EXIT, job


async def list_tools(case: Case) -> str:
    """Each scenario returns what the table in README.md says of it."""
    tools = set(await case.adapter.ask("tools"))
    expected = {"run", "job_wait", "job_read", "job_list", "job_cancel"}
    assert tools == expected, f"expected {expected}, found {tools}"
    return "yes"


async def quick(case: Case) -> str:
    status = await case.call("run", command=["echo", "quick"], cwd=str(case.folder))
    assert status["state"] == "finished", status
    assert status["outcome"] == {"status": "succeeded", "exit_code": 0}, status
    assert status["output"] == "quick\n", status
    return "yes"


async def slow(case: Case) -> str:
    """A call that outlasts the client's patience comes to its end all the same, in every way that the client has."""
    ways = [slow_call(case), slow_task(case)] if case.client.tasks else [slow_call(case)]
    return ", ".join(await asyncio.gather(*ways))


async def slow_call(case: Case) -> str:
    work = Work(case, "slow-call", f"sleep {SLOW_S}")
    try:
        status = await case.call("run", **work.arguments)
        how = "in one call" if status["state"] == "finished" else "by its handle"
    except Failed:
        status, how = await work.found(), "cut off and found"
    await work.check(await case.followed(status))
    return how


async def slow_task(case: Case) -> str:
    work = Work(case, "slow-task", f"sleep {SLOW_S}")
    task = (await case.adapter.ask("start", tool="run", arguments=work.arguments))["task"]
    result = await case.adapter.ask("result", task=task)
    await work.check(await case.followed(structured(result)))
    return "as a task"


async def cancel(case: Case) -> str:
    """A running job is cancelled, by its task or by another call meanwhile."""
    work = Work(case, "cancel")
    if case.client.tasks:
        task = (await case.adapter.ask("start", tool="run", arguments=work.arguments))["task"]
        await work.running()
        await case.adapter.ask("cancel", task=task)
        while (status := (await case.adapter.ask("status", task=task))["status"]) == "working":
            await asyncio.sleep(0.02)
        assert status == "cancelled", status
        # A task of the older generation is cancelled at once, its job when all processes have ended.
        await case.followed({"job": (await work.found())["job"], "state": "unknown"})
    else:
        call = case.adapter.begin("call", tool="run", arguments=work.arguments)
        await work.running(call)
        job = (await work.found())["job"]
        await case.call("job_cancel", job=job)
        await case.followed({"job": job, "state": "unknown"})
        # What it says depends on the client; that it ends does not.
        await asyncio.wait([call])
    outcome = (await case.product.job(work.name))["outcome"]
    assert outcome["status"] == "cancelled", outcome
    return "the task" if case.client.tasks else "by job_cancel"


async def drop(case: Case) -> str:
    """The client gives up the call; the job goes on, and is found by its name."""
    work = Work(case, "drop")
    call = case.adapter.begin("call", tool="run", arguments=work.arguments)
    await work.running(call)
    case.adapter.abandon(call)
    try:
        raise AssertionError(f"the call was expected to be given up, and has an answer: {await call}")
    except Failed:
        work.may_end()
    await work.check(await case.followed(await work.found()))
    return "yes"


async def question(case: Case) -> str:
    """The product's prompt `explain` asks which of several failed jobs is meant."""
    failed = [await case.call("run", command=["sh", "-c", f"exit {code}"], cwd="/") for code in (3, 4)]
    meant = failed[0]["job"]
    result = await case.adapter.ask("prompt", name="explain", arguments={}, answer={"job": meant})
    assert meant in result["text"] and "exit code 3" in result["text"], result
    return "yes"


async def task_question(case: Case) -> str:
    """A job asks: the only one of today is the fixture server's."""
    async with case.connected_to_fixture():
        started = await case.adapter.ask("start", tool="confirm_delete", arguments={"filename": "it"})
        result = await case.adapter.ask("result", task=started["task"], answer={"confirm": True})
    assert result["text"] == 'it: {"confirm":true}', result
    return "yes"


async def kill(case: Case) -> str:
    """The daemon is killed in the middle of a slow call and started again; the result is collected."""
    work = Work(case, "kill")
    if case.client.tasks:
        task = (await case.adapter.ask("start", tool="run", arguments=work.arguments))["task"]
        follow = {"verb": "result", "task": task}
    else:
        follow = {"verb": "call", "tool": "run", "arguments": work.arguments}
    call = case.adapter.begin(**follow)
    await work.running(call)
    await case.product.kill()
    if case.transport == "http":
        await case.product.up()
    work.may_end()
    result = await (came_through(call) if case.transport == "stdio" else collected(case, call, follow))
    await work.check(await case.followed(structured(result)))
    return "came through" if case.transport == "stdio" else "collected"


async def came_through(call: asyncio.Future) -> dict:
    """The bridge starts the next daemon and hides the whole matter."""
    try:
        return await call
    except Failed as broken:
        raise AssertionError(f"the call broke over the bridge: {broken}") from None


async def collected(case: Case, call: asyncio.Future, follow: dict) -> dict:
    """Over HTTP a call may break. It is made again, on a new connection if the client gave up the old one as well."""
    try:
        return await call
    except Failed:
        pass
    try:
        return await case.adapter.ask(**follow)
    except Failed:
        await case.adapter.ask("close")
        await case.connect_to_product()
        return await case.adapter.ask(**follow)


SCENARIOS = {
    "list": list_tools,
    "quick": quick,
    "slow": slow,
    "cancel": cancel,
    "drop": drop,
    "question": question,
    "task question": task_question,
    "kill": kill,
}
