"""`stepwell events send`: a CloudEvent to the runs and workflows of a database that listen. A server on the same
database takes it there.
"""

import asyncio
import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from stepwell.cli.opening import open_client
from stepwell.cli.options import THERE, Json, JsonText, Target, read_json
from stepwell.cli.output import instant, say, write_json
from stepwell.core.errors import InvalidInputError
from stepwell.doors.events.wire import checked
from stepwell.engine.ids import new_id

app = App(name="events", help="Send events to runs and workflows that listen.")


@app.command
def send(
    *,
    type: Annotated[str, Parameter(help="What kind of event it is, like com.example.order.placed.")],
    source: Annotated[str, Parameter(help="Where it happened: a URI reference.")],
    data: Annotated[JsonText, Parameter(help="Its data: JSON, @file, or - for stdin.")] = None,
    id: Annotated[str | None, Parameter(help="The same source and id twice is one event.")] = None,
    subject: Annotated[str | None, Parameter(help="What it is about.")] = None,
    attribute: Annotated[
        list[str] | None, Parameter(name="--attribute", help="Another attribute as name=value; may be repeated.")
    ] = None,
    json: Json = False,
    where: Target = THERE,
) -> None:
    """Send a CloudEvent. It is on disk when the command ends, and taken to all who listen soon after."""
    event: dict[str, Any] = {"type": type, "source": source, **_attributes(attribute or [])}
    if subject is not None:
        event["subject"] = subject
    if data is not None:
        event["data"] = read_json(data, option="--data")
    sent = asyncio.run(_send(event, id, where))
    if json:
        write_json(sent)
    else:
        say(f"event {sent['id']} is accepted")


def _attributes(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInputError(f"--attribute: expected name=value, found {text!r}")
        found[name] = value
    return found


async def _send(event: dict[str, Any], id: str | None, where: Target) -> dict[str, Any]:
    async with open_client(where) as client:
        now = time.time()
        whole = {"specversion": "1.0", "id": id if id is not None else new_id(now), "time": instant(now), **event}
        await client.send_event(checked(whole))  # as who sends it over HTTP: the engine itself is not as strict
        return whole
