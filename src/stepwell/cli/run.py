"""`stepwell run`: one document, or a run that was left, to its end.

The output is JSON on stdout; all else is on stderr, which on failure ends with the problem as one line of JSON.
"""

import asyncio
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from stepwell.app import App
from stepwell.cli.actor import local_actor
from stepwell.cli.faults import CANCELLED, COMPLETED, FAILED, ExitError
from stepwell.cli.live import Follower
from stepwell.cli.opening import hosted_app, quiet
from stepwell.cli.options import HERE, AppName, Json, JsonText, Where, read_json
from stepwell.cli.output import problem_object, say, write_json
from stepwell.cli.pipelines import PipelineFollower, executions_of
from stepwell.core.errors import InvalidInputError
from stepwell.core.status import Status
from stepwell.documents import Document, check_document
from stepwell.engine import RunResult
from stepwell.engine.ids import new_id

GRACE_S = 2.0
"""What steps in flight get after Ctrl-C: a person is waiting, and what is cut off is done again."""
EXIT_CODES = {Status.COMPLETED: COMPLETED, Status.FAILED: FAILED, Status.CANCELLED: CANCELLED}


def run(
    file: Annotated[Path | None, Parameter(help="Document of a flow or a pipeline, YAML or JSON.")] = None,
    /,
    *,
    input: Annotated[JsonText, Parameter(help="The run's input: JSON, @file, or - for stdin.")] = None,
    resume: Annotated[str | None, Parameter(help="Id of a run to go on with, in place of a new one.")] = None,
    json: Json = False,
    app: AppName = None,
    where: Where = HERE,
) -> None:
    """Run a document, or go on with a run, to its end."""
    if (file is None and resume is None) or (resume is not None and input is not None):
        raise InvalidInputError("expected a document, or --resume RUN_ID (which has its input already)")
    value = read_json(input, option="--input")
    hosted, _ = hosted_app(quiet(where.settings(app=app)), drive=True)
    document = check_document(file, hosted.parts.kinds) if file is not None else None
    session = Session(hosted, document, resume, quiet=json)
    try:
        result = asyncio.run(session.run(value))
    except (KeyboardInterrupt, asyncio.CancelledError):
        session.say_how_to_go_on(file, app, where)
        raise KeyboardInterrupt from None
    report(result, pretty=not json and sys.stdout.isatty())
    raise ExitError(EXIT_CODES[result.status])


def report(result: RunResult, *, pretty: bool) -> None:
    """The output on stdout, or the problem as the last line of stderr."""
    if result.status is Status.COMPLETED:
        write_json(result.output, pretty=pretty)
    elif result.error is not None:
        say(msgspec.json.encode(problem_object(result.error)).decode())


class Session:
    """One run in this process, from opening the database to the run's end."""

    def __init__(self, app: App, document: Document | None, resume: str | None, *, quiet: bool) -> None:
        self._app = app
        self._document = document
        self._resume = resume
        self._quiet = quiet
        self._run_id = resume or new_id(time.time())
        self._exists = resume is not None

    async def run(self, input: Any) -> RunResult:
        task = asyncio.current_task()
        assert task is not None
        # A stop by the system is like one by the person at the terminal: the run is kept.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await self._app.open(only=self._run_id)
        try:
            await (self._start(input) if self._resume is None else self._take_up())
            self._exists = True
            say(f"run {self._run_id}")
            engine = self._app.engine
            state = await engine.state(self._run_id)
            follower: Follower | PipelineFollower = Follower(options=self._db_option())
            executions = await executions_of(engine, state)
            if executions is not None:
                follower = PipelineFollower(executions)
            await follower.follow(engine.watch(self._run_id), live=not self._quiet)
            return await engine.result(self._run_id)
        finally:
            await self._app.close(grace_s=GRACE_S)

    async def _start(self, input: Any) -> None:
        engine, document = self._app.engine, self._document
        assert document is not None, "without a document there is a run to resume"
        # Not `engine.save`: it is run once and now; what it says about starting by itself is for servers.
        await engine.workflows.save(
            kind=document.kind,
            name=document.name,
            version=document.version,
            text=document.text,
            now=engine.clock.now(),
        )
        await engine.start(
            document.name,
            input,
            version=document.version,
            run_id=self._run_id,
            door="cli",
            actor=local_actor(),
        )

    async def _take_up(self) -> None:
        """Check that the run exists and can be driven here; a paused one goes on."""
        engine = self._app.engine
        state = await engine.state(self._run_id)
        if self._document is not None and self._document.name != state.workflow:
            raise InvalidInputError(f"run {self._run_id} is of {state.workflow}, not of {self._document.name}")
        if not state.terminal:
            await engine.workflows.compiled(state.definition)
        if state.phase is Status.PAUSED:
            await engine.resume(self._run_id, actor=local_actor())

    def say_how_to_go_on(self, file: Path | None, app: str | None, where: Where) -> None:
        if not self._exists:
            return
        words = ["stepwell", "run", *([str(file)] if file else [])]
        for option, value in (("--db", where.db), ("--config", where.config), ("--app", app)):
            words += [option, value] if value else []
        say(f"stopped; the run is kept, go on with: {shlex.join([*words, '--resume', self._run_id])}")

    def _db_option(self) -> str:
        return f" --db {shlex.quote(self._app.settings.db)}"
