"""What a `run` task runs: containers, scripts, shell commands, other workflows. Read; not supported yet."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from stepwell.programs.flow.binding import Part, Unsupported
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


class Script(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("code", "source")

    language: str
    code: str | None = None
    source: ExternalResource | None = None
    stdin: Text | None = None
    arguments: tuple[Text, ...] = ()
    environment: Fields | None = None


class Shell(Part, frozen=True, kw_only=True):
    command: Text
    stdin: Text | None = None
    arguments: tuple[Text, ...] = ()
    environment: Fields | None = None


class WorkflowProcess(Part, frozen=True, kw_only=True):
    namespace: str
    name: str
    version: str = "latest"
    input: Value | None = None


class Process(Part, frozen=True, kw_only=True):
    """`run`. With `await: false` the task's output is its input."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("container", "script", "shell", "workflow")

    container: Annotated[Container, Unsupported("run: container")] | None = None
    script: Annotated[Script, Unsupported("run: script")] | None = None
    shell: Annotated[Shell, Unsupported("run: shell")] | None = None
    workflow: Annotated[WorkflowProcess, Unsupported("run: workflow")] | None = None
    await_: bool = field(name="await", default=True)
    return_: Literal["stdout", "stderr", "code", "all", "none"] = field(name="return", default="stdout")
