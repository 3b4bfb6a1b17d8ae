"""`stepwell worker`: a node that drives runs and has no doors."""

import asyncio
import signal
from contextlib import ExitStack
from typing import Annotated

from cyclopts import Parameter

from stepwell.app import App
from stepwell.cli.opening import hosted_app
from stepwell.cli.options import HERE, AppName, Where
from stepwell.cli.serve import loop_factory
from stepwell.cli.watchdog import Watchdog
from stepwell.databases import is_postgres
from stepwell.settings import Settings, SettingsError
from stepwell.tuning import tune_interpreter


def worker(
    *,
    app: AppName = None,
    flows: Annotated[str | None, Parameter(help="Flow document, or folder of them, to load.")] = None,
    where: Where = HERE,
) -> None:
    """Drive runs of a PostgreSQL database beside other nodes, until SIGTERM or Ctrl-C."""
    loaded = where.settings(app=app, flows=flows)
    hosted, settings = hosted_app(loaded, drive=True)
    if not is_postgres(settings.db):
        raise SettingsError("a worker needs a database for many nodes: --db postgresql://user@host/database")
    if settings.flows:
        hosted.load(settings.flows)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_drive_until_stopped(hosted, settings))


async def _drive_until_stopped(app: App, settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with app:
        with ExitStack() as stack:
            if settings.watchdog_s:
                stack.enter_context(Watchdog(settings.watchdog_s))
            tune_interpreter()
            print("stepwell drives runs", flush=True)
            await stopped.wait()
