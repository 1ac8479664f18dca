"""A gateway that passes: it copies bytes, and of a list of tools it keeps those that strict clients take.

In front of the server that MCP_PACK_UPSTREAM starts; with `http`, prints its URL first. Python's own library is enough.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}
OF_SCHEMAS = {"properties", "patternProperties", "$defs", "definitions"}


def schema(part, whole):
    """Whether a part of a schema is one; references must lead to something within the whole."""
    if not isinstance(part, dict):
        return isinstance(part, bool)
    types = part.get("type", [])
    named = [part.get(member, {}) for member in OF_SCHEMAS]
    return (
        (types in TYPES if isinstance(types, str) else isinstance(types, list) and TYPES.issuperset(types))
        and isinstance(part.get("required", []), list)
        and leads_somewhere(part.get("$ref", "#"), whole)
        and all(isinstance(parts, dict) and all(schema(inner, whole) for inner in parts.values()) for parts in named)
        and schema(part.get("items", True), whole)
    )


def leads_somewhere(reference, whole):
    if not reference.startswith("#"):
        return True
    for step in reference.split("/")[1:]:
        if not isinstance(whole, dict) or step not in whole:
            return False
        whole = whole[step]
    return True


def of_object(whole):
    return isinstance(whole, dict) and whole.get("type") == "object" and schema(whole, whole)


def acceptable(tool):
    return (
        isinstance(tool, dict)
        and isinstance(tool.get("name"), str)
        and tool["name"] != ""
        and isinstance(tool.get("description", ""), str)
        and isinstance(tool.get("annotations", {}), dict)
        and of_object(tool.get("inputSchema"))
        and ("outputSchema" not in tool or of_object(tool["outputSchema"]))
    )


def passed_on(request, answer):
    """The answer as it came, but for lists of tools."""
    if request.get("method") != "tools/list":
        return answer
    message = json.loads(answer)
    kept = {}
    for tool in filter(acceptable, message["result"]["tools"]):
        kept.setdefault(tool["name"], tool)
    message["result"]["tools"] = list(kept.values())
    return json.dumps(message).encode() + b"\n"


class Upstream:
    """The server behind, which answers in the order of the questions."""

    def __init__(self):
        command = ["sh", "-c", "exec " + os.environ["MCP_PACK_UPSTREAM"]]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.turn = threading.Lock()

    def ask(self, line):
        """The answer to a line, which must be a message; a notification has none."""
        request = json.loads(line)
        with self.turn:
            self.process.stdin.write(line.rstrip(b"\n") + b"\n")
            self.process.stdin.flush()
            return passed_on(request, self.process.stdout.readline()) if "id" in request else None


class Door(BaseHTTPRequestHandler):
    """One message in each POST; there is no stream to open and no session to end."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        answer = upstream.ask(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(202 if answer is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, *_):
        pass


upstream = Upstream()
if sys.argv[1:] == ["http"]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    print(f"http://127.0.0.1:{server.server_port}/mcp", flush=True)
    server.serve_forever()
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(upstream.ask(line) or b"")
    sys.stdout.buffer.flush()
