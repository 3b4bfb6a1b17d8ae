"""`stepwell doctor`: whether this machine and these settings are good for a server, each finding with what to do."""

import asyncio
import importlib.util
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from stepwell.brokers.options import BrokerOptions, KafkaOptions
from stepwell.cli.faults import REFUSED, ExitError
from stepwell.cli.opening import open_engine
from stepwell.cli.options import HERE, Json, Where
from stepwell.cli.output import write_json, write_table
from stepwell.connections import read_connections
from stepwell.core.errors import StepwellError
from stepwell.databases import file_of, store_of
from stepwell.settings import Settings
from stepwell.store.model import RunQuery

OPEN_FILES: Final = 4_096
"""A server with a thousand streams, brokers and its database needs about this many."""
FREE_BYTES: Final = 1_000_000_000
FIRST_DAY: Final = 1_760_000_000.0
"""In October 2025: no clock that is right shows an earlier instant."""
CONNECT_S: Final = 3.0

Verdict = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, how it is, and what to do about it where it is not well."""

    what: str
    verdict: Verdict
    text: str


def doctor(*, json: Json = False, where: Where = HERE) -> None:
    """Check the database, the clock, the brokers and the limits. Exit code 2 when something is at fault."""
    settings = where.settings().settings
    findings = [*limits(), *libraries(), *disk(settings), *asyncio.run(_connected(where, settings))]
    if json:
        write_json(findings)
    else:
        write_table(("what", "verdict", "finding"), [(f.what, f.verdict, f.text) for f in findings], empty="nothing")
    if any(finding.verdict == "fault" for finding in findings):
        raise ExitError(REFUSED)


async def _connected(where: Where, settings: Settings) -> list[Finding]:
    return [*await database(where, settings), *await brokers(settings)]


async def database(where: Where, settings: Settings) -> list[Finding]:
    """Can it be opened and read, and does its newest run agree with the clock."""
    now = time.time()
    if now < FIRST_DAY:
        return [Finding(what="clock", verdict="fault", text="it is years behind: timers would not fire; set it")]
    path = file_of(store_of(settings))
    if path is not None and not path.exists():
        text = f"{path} does not exist yet: the first server or run creates it"
        return [Finding(what="database", verdict="warning", text=text), Finding(what="clock", verdict="ok", text="")]
    try:
        async with open_engine(where) as engine:
            newest = await engine.list_runs(RunQuery(limit=1))
    except StepwellError as fault:
        return [Finding(what="database", verdict="fault", text=str(fault))]
    found = [Finding(what="database", verdict="ok", text="opened and read")]
    ahead = newest[0].created_at - now if newest else 0.0
    if ahead > 1:
        text = f"the newest run is {ahead:.0f} s in the future: clocks differ; synchronise them (NTP)"
        return [*found, Finding(what="clock", verdict="fault", text=text)]
    return [*found, Finding(what="clock", verdict="ok", text="agrees with the newest run" if newest else "")]


async def brokers(settings: Settings) -> list[Finding]:
    """Can every broker of the connections file be reached."""
    try:
        connections = read_connections(settings.connections)
    except StepwellError as fault:
        return [Finding(what="connections", verdict="fault", text=str(fault))]
    return [await _broker(f"{type} {name}", options) for (type, name), options in connections.brokers.items()]


async def _broker(what: str, options: BrokerOptions) -> Finding:
    faults = []
    for host, port in _addresses(options):
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except (OSError, TimeoutError) as fault:
            faults.append(f"{host}:{port} ({fault or 'no answer'})")
        else:
            return Finding(what=what, verdict="ok", text=f"{host}:{port} answers")
    return Finding(what=what, verdict="fault", text=f"cannot be reached: {', '.join(faults)}")


def _addresses(options: BrokerOptions) -> Iterator[tuple[str, int]]:
    if not isinstance(options, KafkaOptions):
        yield options.host, options.port
        return
    for address in options.bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        yield host.strip("[]"), int(port) if port.isdigit() else 9092


def limits() -> Iterator[Finding]:
    """How many files the process may open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < OPEN_FILES:
        text = f"{most}: many streams need more; raise it (ulimit -n {OPEN_FILES}, LimitNOFILE of systemd)"
        yield Finding(what="open files", verdict="warning", text=text)
    else:
        yield Finding(what="open files", verdict="ok", text=str(most))


def libraries() -> Iterator[Finding]:
    """Which extras are there."""
    yield Finding(what="python", verdict="ok", text=sys.version.split()[0])
    extras = {
        "console": "nicegui",
        "postgres": "asyncpg",
        "kafka": "aiokafka",
        "rabbitmq": "aio_pika",
        "llama": "workflows",
    }
    there = [name for name, module in extras.items() if importlib.util.find_spec(module) is not None]
    yield Finding(what="extras", verdict="ok", text=", ".join(there) or "none")


def disk(settings: Settings) -> Iterator[Finding]:
    """Is there room, and may the folder be written."""
    path = file_of(store_of(settings))
    if path is None:
        return
    folder = Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding(
            what="disk", verdict="fault", text=f"{folder} cannot be written: create it, or make it writable"
        )
        return
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        yield Finding(what="disk", verdict="warning", text=f"only {free // 1_000_000} MB are free in {folder}")
    else:
        yield Finding(what="disk", verdict="ok", text=f"{free // 1_000_000_000} GB free")
