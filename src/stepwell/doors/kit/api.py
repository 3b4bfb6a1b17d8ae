"""One door: its operations, its prefixes, its error table, and how it words a success.

An operation is an async function over a `Call`, with its body and query as typed parameters: what they are annotated
with is what is read, refused and documented.

    @api.post("/api/v1/things", summary="Make a thing", answers={201: Answer(type=Thing)})
    async def make_thing(call: Call, body: NewThing) -> Reply: ...
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from stepwell.doors.kit.answers import Reply, json_response
from stepwell.doors.kit.calls import Call
from stepwell.doors.kit.errors import ErrorTable
from stepwell.doors.kit.operations import JSON_TYPE, Answer, Endpoint, Operation, routes_of
from stepwell.doors.kit.reading import body_of, read_body, read_query
from stepwell.engine import Engine
from stepwell.engine.duties.loop import Duty
from stepwell.security.authentication import DoorRules
from stepwell.security.doors import Door

Handler = Callable[..., Awaitable[Reply | Response]]
"""`(call)`, with `body` and `query` where it takes them."""
H = TypeVar("H", bound=Handler)

NewDuty = Callable[[Engine], Duty]
"""Makes a background duty of a door."""
Render = Callable[[Request, Reply], Response]
KEYED: Final = ("POST", "PUT", "PATCH")
"""Methods that take an idempotency key."""
KEY_HEADER: Final = {"Idempotency-Key": "the same text on a repeat of this request makes it happen once"}


def _plain(_request: Request, reply: Reply) -> Response:
    return json_response(reply)


class Api:
    """A door. `prefixes` are its paths, each with all below it; `error_type` is the shape of its failures."""

    def __init__(
        self,
        name: str,
        *,
        title: str,
        prefixes: Sequence[str],
        errors: ErrorTable,
        error_type: Any,
        error_media_type: str = JSON_TYPE,
        render: Render = _plain,
        rules: DoorRules | None = None,
        duties: Sequence[NewDuty] = (),
    ) -> None:
        self.name = name
        self.duties = duties
        self.title = title
        self.prefixes = tuple(prefixes)
        self.errors = errors
        self.error_type = error_type
        self.error_media_type = error_media_type
        self.operations: list[Operation] = []
        self.rules = rules if rules is not None else DoorRules()
        self._render = render

    @property
    def routes(self) -> list[BaseRoute]:
        return routes_of(self.operations)

    @property
    def door(self) -> Door:
        """The door as `security/` knows it."""
        return Door(prefixes=self.prefixes, refuse=self.errors.refuse, rules=self.rules)

    # --- declaring operations ---------------------------------------------------------------------------------------

    def get(self, path: str, **declared: Any) -> Callable[[H], H]:
        """`declared` as for `operation`."""
        return self.operation("GET", path, **declared)

    def post(self, path: str, **declared: Any) -> Callable[[H], H]:
        return self.operation("POST", path, **declared)

    def put(self, path: str, **declared: Any) -> Callable[[H], H]:
        return self.operation("PUT", path, **declared)

    def patch(self, path: str, **declared: Any) -> Callable[[H], H]:
        return self.operation("PATCH", path, **declared)

    def delete(self, path: str, **declared: Any) -> Callable[[H], H]:
        return self.operation("DELETE", path, **declared)

    def operation(
        self,
        method: str,
        path: str,
        *,
        summary: str,
        answers: Mapping[int, Answer],
        fails: Mapping[int, str] | None = None,
        bodies: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        keyed: bool | None = None,
    ) -> Callable[[H], H]:
        """Declare what the decorated function does.

        A function without a `body` parameter that reads the body itself declares it in `bodies` (media type to type)
        and says `keyed=False`: it calls `call.once` when it has read it.
        """
        keyed = method in KEYED if keyed is None else keyed

        def declare(handler: H) -> H:
            hints = get_type_hints(handler)
            body, query = hints.get("body"), hints.get("query")
            self.operations.append(
                Operation(
                    name=handler.__name__,
                    method=method,
                    path=path,
                    endpoint=self._endpoint(handler, body=body, query=query, keyed=keyed),
                    summary=summary,
                    description=inspect.getdoc(handler) or "",
                    tag=self.name,
                    query=query,
                    bodies=bodies if bodies is not None else {JSON_TYPE: body} if body is not None else {},
                    needs_body=bodies is not None or _has_required(body),
                    headers={**(KEY_HEADER if method in KEYED else {}), **(headers or {})},
                    answers=answers,
                    fails=fails or {},
                )
            )
            return handler

        return declare

    def add(self, operation: Operation) -> None:
        """An operation that is a Starlette endpoint of its own."""
        self.operations.append(msgspec.structs.replace(operation, tag=operation.tag or self.name))

    # --- answering --------------------------------------------------------------------------------------------------

    def _endpoint(self, handler: Handler, *, body: Any, query: Any, keyed: bool) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            call = Call(request)
            try:
                read: dict[str, Any] = {}
                if query is not None:
                    read["query"] = read_query(request.query_params, query)
                if body is not None:
                    read["body"] = await read_body(request, body)

                async def work() -> Response:
                    return await self._answer(handler, call, read)

                return await (call.once(await body_of(request), work) if keyed else work())
            except Exception as error:  # noqa: BLE001  the door's table knows every kind, and logs the unforeseen
                return self.errors.answer(request.scope, error)

        return endpoint

    async def _answer(self, handler: Handler, call: Call, read: Mapping[str, Any]) -> Response:
        """A refusal is an answer too: one that a repeat with the same key gets again."""
        try:
            answer = await handler(call, **read)
        except Exception as error:  # noqa: BLE001  as above
            return self.errors.answer(call.request.scope, error)
        return answer if isinstance(answer, Response) else self._render(call.request, answer)


def _has_required(body: Any) -> bool:
    is_struct = isinstance(body, type) and issubclass(body, msgspec.Struct)
    return is_struct and any(field.required for field in msgspec.structs.fields(body))


def api_of(apis: Sequence[Api], path: str) -> Api | None:
    """Whose path it is; None when it is nobody's."""
    found = [
        (len(prefix), api)
        for api in apis
        for prefix in api.prefixes
        if path == prefix or path.startswith(f"{prefix.rstrip('/')}/")
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None
