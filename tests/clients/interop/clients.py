"""The clients, and what each of them cannot do by its own nature."""

import dataclasses

TRANSPORTS = ("stdio", "http")
NO_TASKS = {"task question": "it has no tasks"}
NEW_TASKS = {"task question": "its tasks are those of 2026-07-28 only"}
NO_FORMS = dict.fromkeys(("question", "task question"), "its command line declares no elicitation")


@dataclasses.dataclass(frozen=True)
class Client:
    """One client in one era."""

    name: str
    era: str
    # Program and file of its adapter; `{tools}` and `{here}` are the folders of what is installed and of the sources.
    adapter: tuple[str, ...]
    # It has calls that start, follow, answer and cancel tasks.
    tasks: bool = False
    # Scenario -> why it is not offered by this client.
    lacks: dict[str, str] = dataclasses.field(default_factory=dict)


PYTHON, PYTHON_1, NODE = ("{tools}/venv/bin/python",), ("{tools}/venv-1/bin/python",), ("{tools}/node_modules/.bin/node",)

INSPECTOR = (*PYTHON, "{here}/adapters/inspector.py", *NODE, "{tools}/node_modules/@modelcontextprotocol/inspector")

CLIENTS = (
    Client("rmcp", "modern", ("{rmcp}",), tasks=True),
    Client("rmcp", "legacy", ("{rmcp}",), lacks=NEW_TASKS),
    Client("Python SDK 2", "modern", (*PYTHON, "{here}/adapters/python_2.py"), lacks=NO_TASKS),
    Client("Python SDK 2", "legacy", (*PYTHON, "{here}/adapters/python_2.py"), lacks=NO_TASKS),
    Client("Python SDK 1", "legacy", (*PYTHON_1, "{here}/adapters/python_1.py"), tasks=True),
    Client("FastMCP", "modern", (*PYTHON, "{here}/adapters/fastmcp_4.py"), tasks=True),
    Client("FastMCP", "legacy", (*PYTHON, "{here}/adapters/fastmcp_4.py"), lacks=NEW_TASKS),
    Client("TypeScript SDK 1", "legacy", (*NODE, "{tools}/typescript_1.mjs"), tasks=True),
    Client("TypeScript client 2", "modern", (*NODE, "{tools}/typescript_2.mjs"), lacks=NO_TASKS),
    Client("TypeScript client 2", "legacy", (*NODE, "{tools}/typescript_2.mjs"), lacks=NO_TASKS),
    Client("Inspector", "modern", INSPECTOR, lacks=NO_FORMS),
    Client("Inspector", "legacy", INSPECTOR, lacks=NO_FORMS),
)
