"""Whether a door keeps to its own OpenAPI document, tried with requests made up from that document.

Good requests and bad ones, half of them about things that exist. No answer may be a fault of the server, of another
status or media type than documented, or out of its schema.
"""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import stepwell

from .served import UndisturbedServer, served

SOAK: Final = "STEPWELL_SOAK" in os.environ
CASES: Final = 5_000 if SOAK else 200
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

Known = Mapping[str, Sequence[Any]]
"""What cannot be guessed. Ids of things that exist, by the path up to the parameter that names one, or by the name of
a body's property; and bodies that are right, by method and path.
"""


@contextmanager
def served_in_thread(app: stepwell.App) -> Iterator[str]:
    """The URL of an app's server in a loop and a thread of its own, so that tests may block."""
    begun, stop = threading.Event(), threading.Event()
    url: list[str] = []

    async def serve() -> None:
        async with served(app.asgi(), server_type=UndisturbedServer) as found:
            url.append(found)
            begun.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert begun.wait(20), "the server has not started"
        yield url[0]
    finally:
        stop.set()
        thread.join(20)


def check_contract(
    url: str, document: str, *, known: Known, leave_out: str = "", checks: Sequence[Any] = CHECKS
) -> None:
    """Try at least `CASES` requests on the server at `url`, as many on each operation.

    `document` is the path of its OpenAPI document; paths that match `leave_out` are not tried.
    """
    schema = schemathesis.openapi.from_dict(httpx.get(url + document).json(), config=SchemathesisConfig())
    chosen = schema.exclude(path_regex=leave_out) if leave_out else schema
    operations = []
    for found in chosen.get_all_operations():
        assert isinstance(found, Ok), f"{document} has an operation that cannot be read"
        operations.append(found.ok())
    assert operations, f"{document} has no operations"
    session = requests.Session()
    for operation in operations:
        cases = -(-CASES // len(operations))
        asked = _try_operation(operation, url, session, known=known, cases=cases, checks=checks)
        assert asked, f"{operation.label} was not asked"


def _try_operation(
    operation: Any, url: str, session: requests.Session, *, known: Known, cases: int, checks: Sequence[Any]
) -> int:
    """How many requests were sent."""
    asked = 0
    modes = [
        operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]

    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=not SOAK,
        database=None,
        phases=(Phase.generate,),  # a case that fails is printed as it is: shrinking it would ask the server anew
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*modes), data=st.data())
    def try_one(case: Case[Any], data: Any) -> None:
        if case.operation.label in known and data.draw(st.booleans()):
            case.body, case.media_type = data.draw(st.sampled_from(known[case.operation.label])), "application/json"
        for place, name, ids in _places(case, known):
            if data.draw(st.booleans()):
                place[name] = data.draw(st.sampled_from(ids))
        nonlocal asked
        asked += 1
        case.validate_response(case.call(base_url=url, session=session), checks=list(checks))

    try_one()
    return asked


def _places(case: Case[Any], known: Known) -> Iterator[tuple[dict[str, Any], str, Sequence[Any]]]:
    """Where a request could name something that exists."""
    for name in case.path_parameters or {}:
        before, parameter, _ = case.operation.path.partition(f"{{{name}}}")
        if before + parameter in known:
            yield case.path_parameters, name, known[before + parameter]
    if isinstance(case.body, dict):
        for name in sorted(case.body.keys() & known.keys()):
            yield case.body, name, known[name]
