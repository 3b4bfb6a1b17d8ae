"""From options to an open engine: imports the user's app, applies the settings, opens the database."""

import importlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwell.app import App
from stepwell.cli.client import Client
from stepwell.cli.options import Target, Where
from stepwell.cli.remote import Remote
from stepwell.core.errors import StepwellError
from stepwell.engine import Engine
from stepwell.logs import set_up_logging
from stepwell.settings import LoadedSettings, Settings


class AppNotFoundError(StepwellError):
    """`--app` names nothing that can be used."""


def import_app(name: str) -> App:
    """The `stepwell.App` under `module:attribute`, with the working folder on the path. Raises `AppNotFoundError`."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise AppNotFoundError(f"--app {name}: expected module:attribute, like shop:app")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _import(module_name, name)
    found = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, App):
        kind = "nothing" if found is None else type(found).__name__
        raise AppNotFoundError(f"--app {name}: expected a stepwell.App under {attribute!r}, found {kind}")
    return found


def _import(module_name: str, name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as fault:
        raise AppNotFoundError(f"--app {name}: there is no module {fault.name!r} here ({os.getcwd()})") from None
    except Exception as fault:  # noqa: BLE001  # a user's module can raise anything while it is imported
        last = fault.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = f" at {last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else ""
        raise AppNotFoundError(f"--app {name}: importing it failed{where}: {type(fault).__name__}: {fault}") from None


def hosted_app(loaded: LoadedSettings, *, drive: bool) -> tuple[App, Settings]:
    """The app that `--app` names, or an empty one, under these settings; logging is set up for it.

    The app's own `db` holds unless a flag, the environment or the settings file names another.
    """
    set_up_logging(loaded.settings.log_level, loaded.settings.log_format)
    app = import_app(loaded.settings.app) if loaded.settings.app else App()
    settings = loaded.or_else("the app", db=app.db).settings
    app.configure(settings, drive=drive)
    return app, settings


@asynccontextmanager
async def open_engine(where: Where) -> AsyncIterator[Engine]:
    """The engine of a database that reads and commands only, beside whoever drives it."""
    settings = quiet(where.settings()).settings
    set_up_logging(settings.log_level, settings.log_format)
    async with App(settings=settings, drive=False) as app:
        yield app.engine


@asynccontextmanager
async def open_client(target: Target) -> AsyncIterator[Client]:
    """Whoever carries out a command: the engine of a database, or a server."""
    server = target.server
    if server is None:
        async with open_engine(target) as engine:
            yield engine
        return
    async with Remote(server, target.credential) as remote:
        yield remote


def quiet(loaded: LoadedSettings) -> LoadedSettings:
    """For commands whose own output says what happens: the log only warns, unless somebody set its level."""
    return loaded.or_else("the command", log_level="warning")
