"""`stepwell keys`: API keys of a database. A new key is shown once; afterwards only its hash exists."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from cyclopts import App, Parameter

from stepwell.cli.opening import open_engine
from stepwell.cli.options import HERE, Json, Where
from stepwell.cli.output import instant, local_time, say, write_json, write_table
from stepwell.core.approvals import ROLE
from stepwell.core.errors import InvalidInputError
from stepwell.core.principal import READ_WRITE, Scope
from stepwell.databases import store_of
from stepwell.security.keys import ApiKey, ApiKeys, new_key
from stepwell.store.model import Record
from stepwell.store.port import Store

app = App(name="keys", help="API keys: create, list, revoke.")

Keys = ApiKeys[Record]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command
def create(
    name: Annotated[str, Parameter(help="What the key is for, as it shows in lists.")],
    /,
    *,
    owner: Annotated[str | None, Parameter(help="Whose runs it may see and start; the name unless given.")] = None,
    scope: Annotated[tuple[Scope, ...], Parameter(help="read, write, admin (everybody's runs); repeatable.")] = (),
    role: Annotated[tuple[str, ...], Parameter(help="A role it approves with; repeatable.")] = (),
    organisation: Annotated[tuple[str, ...], Parameter(help="One it may act for; repeatable.")] = (),
    expires_in: Annotated[str | None, Parameter(help="Like 90d, 12h, 30m or 45s; without it, never.")] = None,
    json: Json = False,
    where: Where = HERE,
) -> None:
    """Make a key. It is shown now and never again."""
    now = time.time()
    made, text = new_key(
        _text(name, "name"),
        now=now,
        owner=_owner(name if owner is None else owner),
        scopes=scope or READ_WRITE,
        roles=role,
        organisations=organisation,
        expires_at=None if expires_in is None else now + _seconds(expires_in),
    )
    first = _with_keys(_created_store(where), lambda keys: _create(keys, made))
    if json:
        write_json({**_object(made, now), "key": text})
        return
    print(text, flush=True)
    say(f"key {made.id} acts for {made.owner}; it is not shown again")
    if first:
        say("it is the first: from now on the server asks everybody for a token or a key")


@app.command(name="list")
def list_keys(*, json: Json = False, where: Where = HERE) -> None:
    """List all keys, without what they open with."""
    now = time.time()
    found: list[ApiKey] = _with_keys(_store(where), lambda keys: keys.list())
    if json:
        write_json([_object(key, now) for key in found])
        return
    rows = [
        (key.id, key.name, key.owner, " ".join(key.scopes), key.state(now), _ends(key), local_time(key.last_used_at))
        for key in found
    ]
    write_table(("id", "name", "owner", "scopes", "state", "expires", "last used"), rows, empty="no keys")


@app.command
def revoke(
    id: Annotated[str, Parameter(help="The key's id, as listed.")], /, *, json: Json = False, where: Where = HERE
) -> None:
    """Take a key back, at once and for good."""
    now = time.time()
    key: ApiKey | None = _with_keys(_store(where), lambda keys: keys.revoke(id, now))
    if key is None:
        raise InvalidInputError(f"there is no key {id}: `stepwell keys list` shows them")
    if json:
        write_json(_object(key, now))
    else:
        say(f"key {key.id} ({key.name}) is revoked")


async def _create(keys: Keys, key: ApiKey) -> bool:
    """Whether it is the first one."""
    first = not await keys.exist()
    await keys.create(key)
    return first


def _with_keys(opening: AbstractAsyncContextManager[Store], work: Callable[[Keys], Awaitable[Any]]) -> Any:
    async def do() -> Any:
        async with opening as store:
            return await work(ApiKeys(store, row=Record))

    return asyncio.run(do())


@asynccontextmanager
async def _store(where: Where) -> AsyncIterator[Store]:
    async with open_engine(where) as engine:
        yield engine.store


@asynccontextmanager
async def _created_store(where: Where) -> AsyncIterator[Store]:
    """The database is made when there is none: a first key comes before a server that asks for one."""
    store = store_of(where.settings().settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _text(given: str, what: str) -> str:
    if not given.strip() or given != given.strip() or not given.isprintable() or len(given) > 255:
        raise InvalidInputError(f"{what}: expected a text of up to 255 characters, found {given!r}")
    return given


def _owner(given: str) -> str:
    """A person, or an organisation; a name of a role would approve as everybody who has it."""
    if given.startswith(ROLE):
        raise InvalidInputError(f"--owner: expected a name, found a role; {given!r} is given with --role")
    return _text(given, "--owner")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise InvalidInputError(f"--expires-in: expected a time like 90d, 12h, 30m or 45s, found {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _ends(key: ApiKey) -> str:
    return local_time(key.expires_at) or "never"


def _object(key: ApiKey, now: float) -> dict[str, Any]:
    """A key for programs: all of it but its hash."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "scopes": key.scopes,
        "roles": key.roles,
        "organisations": key.organisations,
        "state": key.state(now),
        "created_at": instant(key.created_at),
        "expires_at": instant(key.expires_at),
        "revoked_at": instant(key.revoked_at),
        "last_used_at": instant(key.last_used_at),
    }
