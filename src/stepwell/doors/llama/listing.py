"""Runs of every door, as handlers."""

import msgspec

from stepwell.doors.kit import Answer, Api, Call, Reply
from stepwell.doors.llama import wire
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.handlers import Handlers
from stepwell.doors.llama.hosted import engine_names
from stepwell.doors.llama.mapping import handler_of, statuses_of
from stepwell.doors.llama.reading import Reader
from stepwell.store.model import RunQuery, RunRow


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operation."""
    summary = "List handlers"
    path = f"{dialect.prefix}/handlers"

    if dialect.filters:

        @api.get(path, summary=summary, answers={200: Answer(type=wire.ReadableHandlers)})
        async def list_handlers(call: Call, query: wire.FilteredPage) -> Reply:
            """The caller's runs of every kind, through whichever API they were started."""
            statuses = statuses_of(query.status)
            if query.status and not statuses:
                return Reply(body=wire.ReadableHandlers(handlers=[]))
            wanted = RunQuery(statuses=statuses)
            rows = await _rows(call, query, wanted, set(query.workflow_name))
            return Reply(body={"handlers": await _handlers(call, dialect, rows)})

        return

    @api.get(path, summary=summary, answers={200: Answer(type=wire.Handlers)})
    async def list_all_handlers(call: Call, query: wire.Page) -> Reply:
        """The caller's runs of every kind, through whichever API they were started."""
        rows = await _rows(call, query, RunQuery(), set())
        return Reply(body={"handlers": await _handlers(call, dialect, rows)})


async def _rows(call: Call, page: wire.Page, wanted: RunQuery, names: set[str]) -> list[RunRow]:
    """One page. Raises `HandlerMissingError` for a `before` that is no handler."""
    before = None if page.before is None else await Handlers(call.engine, call.principal).run_id(page.before)
    return await call.engine.list_runs(
        msgspec.structs.replace(
            wanted,
            owner=call.principal.sees,
            workflows=engine_names(call.principal, names),
            before=before,
            limit=page.limit,
        )
    )


async def _handlers(call: Call, dialect: Dialect, rows: list[RunRow]) -> list[wire.Handler]:
    reader = Reader(call.engine, Handlers(call.engine, call.principal), dialect)
    return [handler_of(shown, dialect) for shown in await reader.shown_rows(rows)]
