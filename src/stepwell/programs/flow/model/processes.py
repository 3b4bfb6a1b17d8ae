"""What a `run` task runs: scripts, shell commands, other workflows; containers are read only.

Scripts and commands are local processes: they are refused unless the server runs them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from stepwell.programs.flow.binding import Part, Reader, Unsupported, reader_of
from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.model.data import ExternalResource
from stepwell.programs.flow.model.durations import TimeSpan
from stepwell.programs.flow.model.text import Fields, Text, Value


class Lifetime(Part, frozen=True, kw_only=True):
    cleanup: Literal["always", "never", "eventually"]
    after: TimeSpan | None = None


class Container(Part, frozen=True, kw_only=True):
    image: Text
    name: Text | None = None
    command: Text | None = None
    ports: Mapping[str, Any] | None = None
    volumes: Mapping[str, Any] | None = None
    environment: Fields | None = None
    stdin: Text | None = None
    arguments: tuple[Text, ...] = ()
    lifetime: Lifetime | None = None
    pull_policy: Literal["ifNotPresent", "always", "never"] = field(name="pullPolicy", default="ifNotPresent")


LANGUAGES: Mapping[str, Literal["javascript", "python"]] = {
    "js": "javascript",
    "javascript": "javascript",
    "python": "python",
}
"""The standard's table says `js`, its examples say `javascript`."""


def read_language(value: Any, at: str, check: Check) -> Any:
    if not isinstance(value, str):
        return check.fault(at, f"expected the name of a language, found {describe(value)}")
    if value not in LANGUAGES:
        check.unsupported(at, f"the script language {describe(value)}")
    return value


class Script(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("code", "source")

    language: Annotated[str, read_language]
    code: str | None = None
    source: Annotated[ExternalResource, Unsupported("a script outside of the definition")] | None = None
    stdin: Text | None = None
    arguments: tuple[Text, ...] = ()
    environment: Fields | None = None


class Shell(Part, frozen=True, kw_only=True):
    command: Text
    stdin: Text | None = None
    arguments: tuple[Text, ...] = ()
    environment: Fields | None = None


class WorkflowProcess(Part, frozen=True, kw_only=True):
    """Another workflow of this server. Names are unique on it, so the namespace finds nothing by itself."""

    namespace: str
    name: str
    version: str = "latest"
    input: Value | None = None


def local(kind: type[Part], what: str) -> Reader:
    """A reader of something that is run by a local process."""

    def read(value: Any, at: str, check: Check) -> Any:
        found = reader_of(kind)(value, at, check)
        if not check.processes:
            check.fault(at, f"{what} is not supported: running local processes is off on this server")
        return found

    return read


class Process(Part, frozen=True, kw_only=True):
    """`run`. With `await: false` the task's output is its input."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("container", "script", "shell", "workflow")

    container: Annotated[Container, Unsupported("run: container")] | None = None
    script: Annotated[Script, local(Script, "run: script")] | None = None
    shell: Annotated[Shell, local(Shell, "run: shell")] | None = None
    workflow: WorkflowProcess | None = None
    await_: bool = field(name="await", default=True)
    return_: Literal["stdout", "stderr", "code", "all", "none"] = field(name="return", default="stdout")
