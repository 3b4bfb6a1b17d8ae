"""NiceGUI as the console uses it: set up once per process, started and stopped with each server.

Importing this module imports NiceGUI and all pages.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from nicegui import app, dependencies, ui
from starlette.types import ASGIApp

from stepwell.console import approvals, overview, playground, run, runs, workflows

_ELEMENTS: Final = Path(__file__).parent / "elements"
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#3d6fe8" stroke-width="2.6"'
    ' stroke-linejoin="round"><path d="M2 4h5v5h5v5h5v5h5"/></svg>'
)
PAGES: Final = (runs.page, run.page, approvals.page, workflows.page, playground.page, overview.page)
"""Every page; each registers itself with NiceGUI when its module is imported."""


@cache
def _shell() -> FastAPI:
    """The application that has NiceGUI in it."""
    dependencies.register_esm("stepwell-elements", _ELEMENTS, max_time=_ELEMENTS.stat().st_mtime)
    app.config.socket_io_js_transports = ["websocket"]  # polling would send what changes something as plain requests
    app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    shell = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        shell,
        title="Stepwell",
        favicon=_ICON,
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=10.0,
        show_welcome_message=False,
    )
    return shell


@asynccontextmanager
async def running() -> AsyncIterator[ASGIApp]:
    """The application, for as long as a server runs."""
    shell = _shell()
    async with shell.router.lifespan_context(shell):
        yield shell
