"""The original server of LlamaIndex workflows, whichever version is installed: argument DATABASE, or `memory`.

Runs in an environment that has it and not Stepwell. Prints the URL it serves.
"""

import socket
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.rivals.llama_workflow import Trivial

uvicorn: Any = import_module("uvicorn")


def new_server(database: str) -> Any:
    """The server with a store in a file, or with its default, which is memory."""
    package: Any = import_module("llama_agents.server" if find_spec("llama_agents") else "workflows.server")
    if database == "memory":
        return package.WorkflowServer()
    return package.WorkflowServer(workflow_store=package.SqliteWorkflowStore(database))


def main(database: str) -> None:
    server = new_server(database)
    server.add_workflow("trivial", Trivial(timeout=120))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        print(f"serves http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(server.app, log_level="error")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
