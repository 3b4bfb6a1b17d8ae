"""An execution as it is asked for: the body read, the workflow found, its inputs checked, its files on disk.

All that can be wrong with it is found before there is a run.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from stepwell.doors.kit import Call, MediaTypeError, media_type, read_body, read_value
from stepwell.doors.kit.inputs import check_input
from stepwell.doors.runs.inputs import run_input
from stepwell.doors.runs.parts import MULTIPART
from stepwell.doors.runs.uploads import Upload, read_upload
from stepwell.doors.runs.wire import ExecuteRequest
from stepwell.doors.runs.workflows import Startable, Workflows
from stepwell.files import FileReference, Files
from stepwell.store.model import NAME_LABEL

JSON: Final = "application/json"
DOOR: Final = "runs"


class ExecuteForm(ExecuteRequest, frozen=True, kw_only=True):
    """The same as a form: `inputs` and `envs` are JSON texts, files are parts named after their input."""


class Order(msgspec.Struct, kw_only=True):
    """A run to be started. `fingerprint` tells requests apart."""

    run_id: str
    startable: Startable
    input: dict[str, Any]
    cancels_on_disconnect: bool
    fingerprint: bytes
    files: Files | None = None
    """Where the run's files lie, if it has any."""
    begun: bool = False

    async def once(self, call: Call, work: Callable[[], Awaitable[Response]]) -> Response:
        """What `work` answers, which starts the run; with an idempotency key only the first time."""
        try:
            return await call.once(self.fingerprint, work)
        finally:
            if not self.begun:
                await self.discard()

    async def start(self, call: Call) -> str:
        """Start the run; it is on disk on return. Its id: a repeat with the same key finds the first one's."""
        self.begun = True
        name = self.startable.name
        try:
            started = await call.engine.start(
                self.startable.workflow,
                self.input,
                version=self.startable.version,
                run_id=self.run_id,
                start_key=call.start_key,
                owner=call.principal.owner,
                door=DOOR,
                labels={} if name == self.startable.workflow else {NAME_LABEL: name},
                actor=call.actor,
            )
        except Exception:  # whatever it was, its files belong to no run; the door words it
            await self.discard()
            raise
        if started.run_id != self.run_id:
            await self.discard()
        return started.run_id

    async def discard(self) -> None:
        """There will be no such run: its files go."""
        if self.files is not None:
            await self.files.drop([self.run_id])


async def read_order(call: Call) -> Order:
    """What a request asks for. Raises `InvalidRequestError` and its like, `MissingError`, `TooLargeError`."""
    run_id = call.engine.new_run_id(owner=call.principal.owner, start_key=call.start_key)
    if media_type(call.request) != MULTIPART:
        return await _from_json(call, run_id)
    files: Files | None = call.request.app.state.files
    async with read_upload(call.request, files, run_id) as upload:
        return await _from_form(call, run_id, upload, files if upload.files else None)


async def _from_json(call: Call, run_id: str) -> Order:
    try:
        body = await read_body(call.request, ExecuteRequest)
    except MediaTypeError as fault:
        raise MediaTypeError([MULTIPART, *fault.expected], fault.found) from None
    return await _order(call, run_id, body, fingerprint=await call.body())


async def _from_form(call: Call, run_id: str, upload: Upload, files: Files | None) -> Order:
    body = read_value(upload.values, ExecuteRequest)
    return await _order(call, run_id, body, upload.files, fingerprint=upload.fingerprint, kept=files)


async def _order(
    call: Call,
    run_id: str,
    body: ExecuteRequest,
    files: Sequence[tuple[str, FileReference]] = (),
    *,
    fingerprint: bytes,
    kept: Files | None = None,
) -> Order:
    startable = await Workflows(call.engine, call.principal).startable(body.workflow_id.lower())
    input = run_input(startable.plan, body.inputs, files=files, envs=body.envs, saved_env=startable.env)
    if startable.plan is None:  # of a plan that is done
        definition = await call.engine.workflows.find(startable.workflow, startable.version)
        await check_input(call, definition, input, "inputs")
    return Order(
        run_id=run_id,
        startable=startable,
        input=input,
        cancels_on_disconnect=body.on_disconnect == "cancel",
        fingerprint=fingerprint,
        files=kept,
    )
