"""From the typed model to nodes: what `then` means becomes a position, names become what they stand for."""

from collections.abc import Mapping
from typing import Any

from stepwell.programs.flow import outside, shapes
from stepwell.programs.flow.checking import Definition
from stepwell.programs.flow.expressions import Expression, together
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.model import tasks
from stepwell.programs.flow.model.calls import OpenApiArguments
from stepwell.programs.flow.model.data import ErrorDefinition, RetryPolicy
from stepwell.programs.flow.model.kinds import kind_of_task
from stepwell.programs.flow.model.security import Authentication
from stepwell.programs.flow.model.walking import parts_in
from stepwell.programs.flow.model.workflow import Extension as ExtensionPart
from stepwell.programs.flow.model.workflow import Use
from stepwell.programs.flow.nodes import calls, plain
from stepwell.programs.flow.nodes.approvals import ApprovalNode
from stepwell.programs.flow.nodes.attempts import Handler, Retry, TryNode
from stepwell.programs.flow.nodes.authentication import Authorizer
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.emit import EmitNode
from stepwell.programs.flow.nodes.extended import ExtendedNode, Extension
from stepwell.programs.flow.nodes.fork import ForkNode
from stepwell.programs.flow.nodes.http_call import HttpCall, HttpNode
from stepwell.programs.flow.nodes.oauth import Tokens
from stepwell.programs.flow.nodes.openapi import Documents, OpenApiCall, OpenApiNode
from stepwell.programs.flow.nodes.scope import END, EXIT, Node
from stepwell.programs.flow.nodes.sequence import Entry, Sequence
from stepwell.programs.function_port import RegisteredFunctions
from stepwell.programs.http import HttpClient

Positions = Mapping[str, int]


class Compiler:
    """Compiles one definition. A definition that was checked always compiles."""

    def __init__(
        self,
        definition: Definition,
        *,
        functions: RegisteredFunctions | None,
        http: HttpClient | None,
        outside: outside.Outside = outside.NOTHING_OUTSIDE,
    ) -> None:
        self._definition = definition
        self._use = definition.workflow.use or Use(at="/use")
        self._functions = functions
        self._http = http
        self._outside = outside
        self._reusable: dict[tuple[str, bool], Node] = {}
        self._documents: Documents | None = None
        self._tokens = Tokens()
        self._extensions: dict[str, Extension] = {}
        self._in_extension = False

    def sequence(self, listed: tuple[tasks.Task, ...], *, exit_to: int | None = None) -> Sequence:
        """A list of tasks that lead to each other; `exit` leads behind the last one, or where it is told to."""
        positions = {task.name: position for position, task in enumerate(listed)}
        exit_to = len(listed) if exit_to is None else exit_to
        entries = [self._entry(task, position, positions, exit_to) for position, task in enumerate(listed)]
        return Sequence(entries, loops=_goes_back(listed, positions))

    def _entry(self, task: tasks.Task, position: int, positions: Positions, exit_to: int) -> Entry:
        node = self._task(task, position, positions, exit_to)
        follow = _position(task.then, position, positions, exit_to)
        return Entry(node, f"/{position}/{escape(task.name)}", task.at, follow)

    def _task(self, task: tasks.Task, position: int, positions: Positions, exit_to: int) -> Node:
        if isinstance(task, tasks.SwitchTask):
            node: Node = plain.SwitchNode(
                [
                    plain.SwitchCase(case.when, _position(case.then, position, positions, exit_to), case.at)
                    for case in task.switch
                ]
            )
        else:
            node = self._node(task)
        authorizer = self._authorizer(authentication_of(task))
        extended_by = [] if self._in_extension else self._extensions_of(task)
        if extended_by:
            node = ExtendedNode(node, [self._extension(given) for given in extended_by])
        return shapes.shaped(
            node,
            task,
            self._definition,
            skip_to=position + 1,
            authorizer=authorizer,
            extended_by=extended_by,
            described=not self._in_extension,
        )

    def _extensions_of(self, task: tasks.Task) -> list[ExtensionPart]:
        kind = kind_of_task(task)
        return [given for given in self._use.extensions if given.extend in (kind, "all")]

    def _extension(self, given: ExtensionPart) -> Extension:
        """Compiled once for all the tasks that it extends."""
        if given.at not in self._extensions:
            self._in_extension = True
            key = f"extensions/{given.at.split('/')[3]}"
            self._extensions[given.at] = Extension(
                at=given.at,
                key=key,
                when=given.when,
                before=self._extension_list(given.before),
                after=self._extension_list(given.after),
            )
            self._in_extension = False
        return self._extensions[given.at]

    def _extension_list(self, listed: tuple[tasks.Task, ...] | None) -> Sequence | None:
        """As `sequence`, but `exit` leaves the extended task too."""
        return None if listed is None else self.sequence(listed, exit_to=EXIT)

    def _branch(self, task: tasks.Task, position: int) -> Sequence:
        """A branch of a fork: a list of its own with one task, which keeps its place in the key."""
        follow = END if task.then == "end" else 1
        node = self._task(task, 0, {}, 1)
        return Sequence([Entry(node, f"/{position}/{escape(task.name)}", task.at, follow)], loops=False)

    def _node(self, task: tasks.Task) -> Node:
        match task:
            case tasks.SetTask():
                return plain.SetNode(task.set, task.at)
            case tasks.DoTask():
                return plain.DoNode(self.sequence(task.do))
            case tasks.ForTask():
                return plain.ForNode(
                    task.for_.in_,
                    self.sequence(task.do),
                    each=task.for_.each,
                    index=task.for_.at_,
                    condition=task.while_,
                    at=task.at,
                )
            case tasks.ForkTask():
                branches = {inner.name: self._branch(inner, place) for place, inner in enumerate(task.fork.branches)}
                return ForkNode(branches, compete=task.fork.compete)
            case tasks.TryTask():
                return TryNode(self.sequence(task.try_), self._handler(task.catch), task.at)
            case tasks.RaiseTask():
                return self._raise(task)
            case tasks.WaitTask():
                return plain.WaitNode(Length(task.wait), task.name)
            case tasks.EmitTask():
                return EmitNode(task.emit.event.with_, task.at)
            case tasks.ListenTask():
                return outside.listen_node(task, self._definition, self.sequence)
            case tasks.RunTask():
                return outside.run_node(task, self._outside)
        return self._call(task)

    def _call(self, task: tasks.Task) -> Node:
        match task:
            case tasks.CallHttp():
                return HttpNode(self._http_call(task), self._http, name=task.name, at=task.at)
            case tasks.CallOpenApi():
                return OpenApiNode(
                    self._openapi_call(task), self._http, self._api_documents(), name=task.name, at=task.at
                )
            case tasks.CallCallback():
                return outside.callback_node(task, self._http, self._outside)
            case tasks.CallApproval():
                return _approval(task)
            case tasks.CallLanguageModel():
                return outside.agent_node(task, self._functions, self._outside, self._definition)
            case tasks.CallFunction():
                return self._function(task)
        raise AssertionError(f"a checked definition has no {type(task).__name__}")

    def _function(self, task: tasks.CallFunction) -> Node:
        if task.call in self._use.functions:
            return calls.ReusableNode(
                self._reusable_body(task.call),
                task.with_,
                name=escape(task.call),
                at=task.at,
                body_at=self._use.functions[task.call].at,
            )
        function = self._functions.find(task.call) if self._functions is not None else None
        if function is None:
            return calls.MissingFunctionNode(task.call, task.at)
        if task.with_ is None:
            return calls.FunctionNode(function, function.work(), name=task.name)
        return calls.ArgumentsNode(function, task.with_, name=task.name, at=task.at)

    def _reusable_body(self, name: str) -> Node:
        """Compiled once for all its calls; that functions do not call themselves is checked before."""
        known = name, self._in_extension
        if known not in self._reusable:
            self._reusable[known] = self._task(self._use.functions[name], 0, {}, 1)
        return self._reusable[known]

    def _http_call(self, task: tasks.CallHttp) -> HttpCall:
        given, uri = task.with_, task.with_.endpoint.uri
        authorizer = self._authorizer(given.endpoint.authentication)
        arguments = _together(
            endpoint=uri,
            headers=given.headers,
            body=given.body,
            query=given.query,
            authentication=authorizer.expression if authorizer else None,
        )
        return HttpCall(
            method=given.method,
            arguments=arguments,
            is_template=uri.constant,
            output=given.output,
            redirect=given.redirect,
            authorizer=authorizer,
        )

    def _openapi_call(self, task: tasks.CallOpenApi) -> OpenApiCall:
        given, endpoint = task.with_, task.with_.document.endpoint
        authorizer, document_authorizer = (
            self._authorizer(given.authentication),
            self._authorizer(endpoint.authentication),
        )
        arguments = _together(
            document=endpoint.uri,
            parameters=given.parameters,
            authentication=authorizer.expression if authorizer else None,
            documentAuthentication=document_authorizer.expression if document_authorizer else None,
        )
        return OpenApiCall(
            operation_id=given.operation_id,
            arguments=arguments,
            is_template=endpoint.uri.constant,
            output=given.output,
            redirect=given.redirect,
            authorizer=authorizer,
            document_authorizer=document_authorizer,
        )

    def _api_documents(self) -> Documents | None:
        """One for the definition: each document is read once for all operations that are called."""
        if self._documents is None and self._http is not None:
            wanted = {
                part.operation_id
                for part in parts_in(self._definition.workflow)
                if isinstance(part, OpenApiArguments)
            }
            self._documents = Documents(self._http, wanted)
        return self._documents

    def _authorizer(self, given: Authentication | None) -> Authorizer | None:
        if given is None:
            return None
        policy = given if given.use is None else self._use.authentications[given.use]
        return Authorizer(policy, self._tokens)

    def _raise(self, task: tasks.RaiseTask) -> Node:
        error = task.raise_.error
        error = error if isinstance(error, ErrorDefinition) else self._use.errors[error]
        parts = {"type": error.type, "instance": error.instance, "title": error.title, "detail": error.detail}
        return plain.RaiseNode(error.status, _together(**parts), task.at)

    def _handler(self, catch: tasks.Catch) -> Handler:
        wanted = catch.errors.with_ if catch.errors else None
        members = (
            {
                "type": wanted.type,
                "status": wanted.status,
                "instance": wanted.instance,
                "title": wanted.title,
                "detail": wanted.details or wanted.detail,
            }
            if wanted
            else {}
        )
        policy = self._use.retries[catch.retry] if isinstance(catch.retry, str) else catch.retry
        return Handler(
            at=catch.at,
            variable=catch.as_,
            when=catch.when,
            except_when=catch.except_when,
            wanted={name: value for name, value in members.items() if value is not None},
            retry=_retry(policy) if policy else None,
            body=self.sequence(catch.do) if catch.do is not None else None,
        )


def _goes_back(listed: tuple[tasks.Task, ...], positions: Positions) -> bool:
    for position, task in enumerate(listed):
        cases = [case.then for case in task.switch] if isinstance(task, tasks.SwitchTask) else []
        if any(positions.get(then, position + 1) <= position for then in [task.then, *cases]):
            return True
    return False


def _position(then: str, position: int, positions: Positions, exit_to: int) -> int:
    """Where a directive leads."""
    match then:
        case "continue":
            return position + 1
        case "exit":
            return exit_to
        case "end":
            return END
    return positions[then]


def _retry(policy: RetryPolicy) -> Retry:
    limit, backoff, jitter = policy.limit, policy.backoff, policy.jitter
    attempt = limit.attempt if limit else None
    options: dict[str, Any] = {}
    if attempt is not None and attempt.count is not None:
        options["count"] = attempt.count
    if backoff is not None:
        options["backoff"] = next(name for name in backoff.EXACTLY_ONE if getattr(backoff, name) is not None)
    if jitter is not None:
        options["jitter"] = Length(jitter.from_), Length(jitter.to)
    return Retry(
        at=policy.at,
        when=policy.when,
        except_when=policy.except_when,
        delay=_length(policy.delay),
        attempt_limit=_length(attempt.duration if attempt else None),
        limit=_length(limit.duration if limit else None),
        **options,
    )


def _together(**parts: Expression | None) -> Expression:
    """The expressions that are there as one."""
    return together({name: part for name, part in parts.items() if part is not None})


def authentication_of(task: tasks.Task) -> Authentication | None:
    match task:
        case tasks.CallHttp():
            return task.with_.endpoint.authentication
        case tasks.CallOpenApi():
            return task.with_.authentication
    return None


def _length(duration: Any) -> Length | None:
    return None if duration is None else Length(duration)


def _approval(task: tasks.CallApproval) -> Node:
    given = task.with_
    names = (
        "prompt",
        "title",
        "schema",
        "context",
        "approvers",
        "required",
        "timeout_seconds",
        "allow_self_approval",
        "escalate_to",
    )
    arguments = {name: part for name in names if (part := getattr(given, name, None)) is not None}
    on_timeout = given.on_timeout if given else "fail"
    return ApprovalNode(together(arguments), on_timeout=on_timeout, name=task.name, at=task.at)
