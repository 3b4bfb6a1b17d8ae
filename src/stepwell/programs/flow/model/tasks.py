"""The twelve kinds of task. A task has one of their names among its properties; `read_tasks` picks the part."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import field

from stepwell.programs.flow.binding import Names, Part, Unsupported
from stepwell.programs.flow.expressions.templates import unescape
from stepwell.programs.flow.model import calls
from stepwell.programs.flow.model.data import (
    ErrorDefinition,
    ErrorFilter,
    Export,
    ExternalResource,
    Input,
    Output,
    RetryPolicy,
    Timeout,
)
from stepwell.programs.flow.model.durations import TimeSpan
from stepwell.programs.flow.model.events import EmitTarget, ListenTarget
from stepwell.programs.flow.model.lists import BranchList, CaseList, TaskList
from stepwell.programs.flow.model.processes import Process
from stepwell.programs.flow.model.references import ErrorName, RetryName, TimeoutName
from stepwell.programs.flow.model.security import Authentication
from stepwell.programs.flow.model.text import Condition, Data, Fields, Variable


class Task(Part, frozen=True, kw_only=True):
    """What every task may have. `then` is checked with the list that the task stands in."""

    if_: Condition | None = field(name="if", default=None)
    input: Input | None = None
    output: Output | None = None
    export: Export | None = None
    timeout: Timeout | TimeoutName | None = None
    then: str = "continue"
    metadata: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return unescape(self.at.rpartition("/")[2])


class DoTask(Task, frozen=True, kw_only=True):
    do: TaskList


class SetTask(Task, frozen=True, kw_only=True):
    set: Data


class Case(Part, frozen=True, kw_only=True):
    """One way out of a `switch`; without `when` the one that is taken when no other is."""

    then: str
    when: Condition | None = None


class SwitchTask(Task, frozen=True, kw_only=True):
    switch: CaseList


class Loop(Part, frozen=True, kw_only=True):
    in_: Condition = field(name="in")
    each: Variable = "item"
    at_: Variable = field(name="at", default="index")


class ForTask(Task, frozen=True, kw_only=True):
    """Runs `do` for each item, while `while` holds; each round's input is the output of the one before."""

    for_: Loop = field(name="for")
    do: TaskList
    while_: Condition | None = field(name="while", default=None)

    @classmethod
    def local_names(cls, value: Mapping[str, Any]) -> Names:
        loop = value["for"] if isinstance(value.get("for"), dict) else {}
        names = (str(loop.get("each", "item")), str(loop.get("at", "index")))
        return {"do": names, "while": names}


class Fork(Part, frozen=True, kw_only=True):
    branches: BranchList
    compete: bool = False


class ForkTask(Task, frozen=True, kw_only=True):
    fork: Fork


class CaughtErrors(Part, frozen=True, kw_only=True):
    with_: ErrorFilter | None = field(name="with", default=None)


class Catch(Part, frozen=True, kw_only=True):
    """Which errors to catch, and what then: try again, and when that is over or not wanted, `do`."""

    errors: CaughtErrors | None = None
    as_: Variable = field(name="as", default="error")
    when: Condition | None = None
    except_when: Condition | None = field(name="exceptWhen", default=None)
    retry: RetryPolicy | RetryName | None = None
    do: TaskList | None = None

    @classmethod
    def local_names(cls, value: Mapping[str, Any]) -> Names:
        names = (str(value.get("as", "error")),)
        return {"when": names, "exceptWhen": names, "retry": names, "do": names}


class TryTask(Task, frozen=True, kw_only=True):
    try_: TaskList = field(name="try")
    catch: Catch


class Raise(Part, frozen=True, kw_only=True):
    error: ErrorDefinition | ErrorName


class RaiseTask(Task, frozen=True, kw_only=True):
    raise_: Raise = field(name="raise")


class WaitTask(Task, frozen=True, kw_only=True):
    wait: TimeSpan


class EmitTask(Task, frozen=True, kw_only=True):
    emit: EmitTarget


class SubscriptionIterator(Part, frozen=True, kw_only=True):
    """What to do with each event or message as it comes."""

    item: Variable = "item"
    at_: Variable = field(name="at", default="index")
    do: TaskList | None = None
    output: Output | None = None
    export: Export | None = None

    @classmethod
    def local_names(cls, value: Mapping[str, Any]) -> Names:
        names = (str(value.get("item", "item")), str(value.get("at", "index")))
        return {"do": names, "output": names, "export": names}


class ListenTask(Task, frozen=True, kw_only=True):
    listen: ListenTarget
    foreach: SubscriptionIterator | None = None


class RunTask(Task, frozen=True, kw_only=True):
    run: Process


class CallFunction(Task, frozen=True, kw_only=True):
    """A call of a registered function or of one in `use.functions`."""

    call: str
    with_: Fields | None = field(name="with", default=None)


class CallHttp(Task, frozen=True, kw_only=True):
    call: str
    with_: calls.HttpArguments = field(name="with")


class CallApproval(Task, frozen=True, kw_only=True):
    call: str
    with_: Annotated[calls.ApprovalArguments, calls.read_approval] | None = field(name="with", default=None)


class CallCallback(Task, frozen=True, kw_only=True):
    call: str
    with_: calls.CallbackArguments | None = field(name="with", default=None)


class CallGrpc(Task, frozen=True, kw_only=True):
    call: Annotated[str, Unsupported("call: grpc")]
    with_: calls.GrpcArguments = field(name="with")


class CallOpenApi(Task, frozen=True, kw_only=True):
    call: str
    with_: calls.OpenApiArguments = field(name="with")


class AsyncApiSubscription(Part, frozen=True, kw_only=True):
    consume: calls.Consumption
    filter: Condition | None = None
    foreach: SubscriptionIterator | None = None


class AsyncApiArguments(Part, frozen=True, kw_only=True):
    document: ExternalResource
    channel: str | None = None
    operation: str | None = None
    server: calls.AsyncApiServer | None = None
    protocol: str | None = None
    message: calls.AsyncApiMessage | None = None
    subscription: AsyncApiSubscription | None = None
    authentication: Authentication | None = None


class CallAsyncApi(Task, frozen=True, kw_only=True):
    call: Annotated[str, Unsupported("call: asyncapi")]
    with_: AsyncApiArguments = field(name="with")


class CallMcp(Task, frozen=True, kw_only=True):
    call: Annotated[str, Unsupported("call: mcp")]
    with_: calls.McpArguments = field(name="with")


class CallAgent(Task, frozen=True, kw_only=True):
    """Agent to agent: the standard's `a2a`."""

    call: Annotated[str, Unsupported("call: a2a")]
    with_: calls.AgentArguments = field(name="with")


class CallLanguageModel(Task, frozen=True, kw_only=True):
    """`call: agent`, which the standard does not have."""

    call: str
    with_: Annotated[calls.LanguageModelArguments, calls.read_language_model] = field(name="with")
