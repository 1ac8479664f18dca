"""FastMCP's own gateway in front of the server that MCP_PACK_UPSTREAM starts; with `http`, prints its URL first."""

import os
import shlex
import socket
import sys

import uvicorn
from fastmcp.client.transports import StdioTransport
from fastmcp.server import create_proxy

command, *arguments = shlex.split(os.environ["MCP_PACK_UPSTREAM"])
gateway = create_proxy(StdioTransport(command, arguments), name="fastmcp-gateway")
if sys.argv[1:] == ["http"]:
    # Whoever connects from now on is served as soon as it is up.
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(gateway.http_app(path="/mcp"), log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])
else:
    gateway.run(show_banner=False)
