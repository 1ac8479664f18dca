"""The clients, and what each of them cannot do by its own nature."""

import dataclasses

TRANSPORTS = ("stdio", "http")
NO_TASKS = "it drives no tasks"


@dataclasses.dataclass(frozen=True)
class Client:
    """One client in one era."""

    name: str
    era: str
    # Program and file of its adapter; `{tools}` and `{here}` are the folders of what is installed and of the sources.
    adapter: tuple[str, ...]
    # It starts, follows, answers and cancels tasks.
    tasks: bool = False
    # Scenario -> why it is not offered by this client.
    lacks: dict[str, str] = dataclasses.field(default_factory=dict)


PYTHON = "{tools}/venv/bin/python"

CLIENTS = (
    Client("Python SDK 2", "modern", (PYTHON, "{here}/adapters/python_2.py"), lacks={"task question": NO_TASKS}),
    Client("Python SDK 2", "legacy", (PYTHON, "{here}/adapters/python_2.py"), lacks={"task question": NO_TASKS}),
)
