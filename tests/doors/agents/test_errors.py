"""The agents door in other words: the envelope, its codes, the id of a request."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import stepwell
from stepwell.core.approvals import StandingDecision
from stepwell.core.definitions import Fault as DefinitionFault
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import (
    InvalidInputError,
    RefusedError,
    RunNotFoundError,
    StorageUnavailableError,
    WorkflowNotFoundError,
)
from stepwell.core.status import Status
from stepwell.doors.agents.errors import ERRORS, Failure
from stepwell.doors.agents.statuses import run_status, run_statuses
from stepwell.doors.agents.template_service import RevisionError, TemplateInUseError, TemplateStateError
from stepwell.doors.kit import Fault, InvalidRequestError, KeyPendingError, KeyReusedError, MissingError
from stepwell.security.refusals import AccessError, Reason

from ..operations.test_operations import served

TEMPLATES = "/api/v1/workflow-templates"
REJECTED = StandingDecision(decision="rejected", actor="ann", comment="no", at=0.0)
SCOPE = {"type": "http", "method": "POST", "path": "/api/v1/workflows/x/pause", "headers": []}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with served(stepwell.App(db=f"sqlite:///{tmp_path}/door.db")) as client:
        yield client


def failure_of(answer: httpx.Response) -> dict[str, Any]:
    """The one error of an answer that is in the envelope."""
    failure = msgspec.json.decode(answer.content, type=Failure)
    assert failure.meta.version == "1.0"
    assert failure.meta.request_id == answer.headers["x-request-id"]
    assert datetime.fromisoformat(failure.meta.timestamp).tzinfo is not None
    (error,) = answer.json()["errors"]
    found: dict[str, Any] = error
    return found


def worded(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and error that an exception is answered with."""
    response = ERRORS.answer(dict(SCOPE), error)
    return response.status_code, msgspec.json.decode(bytes(response.body))["errors"][0]


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/api/v1/workflow-templates/a/b/c", {}, 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1/workflows/no/such/path", {}, 404, "ROUTE_NOT_FOUND"),
        ("GET", f"{TEMPLATES}/abc", {}, 404, "NOT_FOUND"),
        ("DELETE", TEMPLATES, {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"{TEMPLATES}?limit=0", {}, 422, "VALIDATION_ERROR"),
        ("POST", TEMPLATES, {"content": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", TEMPLATES, {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "BAD_REQUEST"),
        ("POST", TEMPLATES, {"json": {"name": "x" * 2_000_000}}, 413, "PAYLOAD_TOO_LARGE"),
        ("GET", TEMPLATES, {"headers": {"x-api-key": "ap_wrong"}}, 401, "UNAUTHORIZED"),
        ("GET", TEMPLATES, {"headers": {"x-long": "x" * 40_000}}, 431, "HEADERS_TOO_LARGE"),
    ],
)
async def test_every_failure_under_its_paths_is_in_the_envelope(
    client: httpx.AsyncClient, method: str, path: str, sent: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.request(method, path, **sent)

    assert answer.status_code == status
    assert failure_of(answer)["code"] == code


async def test_details_name_every_field_and_field_names_the_only_one(client: httpx.AsyncClient) -> None:
    one = failure_of(await client.get(f"{TEMPLATES}?limit=0"))
    two = failure_of(await client.get(f"{TEMPLATES}?limit=0&status=x"))

    assert one["details"] == {"limit": ["expected a whole number >= 1, found '0'"]}
    assert one["field"] == "limit"
    assert two["details"].keys() == {"limit", "status"}
    assert "field" not in two


async def test_request_id_is_the_clients_own_or_a_new_one(client: httpx.AsyncClient) -> None:
    own = await client.get(TEMPLATES, headers={"x-request-id": "req_mine-1"})
    odd = await client.get(TEMPLATES, headers={"x-request-id": "a b\tc"})
    none = [await client.get(TEMPLATES) for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in (odd, *none)]

    assert own.headers["x-request-id"] == "req_mine-1"
    assert all(re.fullmatch("req_[0-9a-f]{32}", id) for id in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    "accept", ['application/json; profile="envelope"', "text/html, application/json;profile=envelope"]
)
async def test_success_stands_in_the_envelope_when_asked_for(client: httpx.AsyncClient, accept: str) -> None:
    bare = (await client.get(TEMPLATES)).json()
    full = (await client.get(TEMPLATES, headers={"accept": accept})).json()

    assert bare == {"data": [], "meta": {"pagination": {"total_count": 0, "has_more": False, "cursor": None}}}
    assert full["data"] == []
    assert full["errors"] == []
    assert full["meta"].keys() == {"version", "timestamp", "request_id", "pagination"}


@pytest.mark.parametrize(
    ("error", "status", "code", "details"),
    [
        (InvalidRequestError([Fault(path=("a", 0), message="is odd")]), 422, "VALIDATION_ERROR", {"a.0": ["is odd"]}),
        (
            InvalidDefinitionError([DefinitionFault(pointer="/steps/0/key", line=0, message="is taken")]),
            422,
            "VALIDATION_ERROR",
            {"steps.0.key": ["is taken"]},
        ),
        (InvalidInputError("size: is large"), 422, "VALIDATION_ERROR", {"input": ["size: is large"]}),
        (KeyReusedError(), 422, "IDEMPOTENCY_MISMATCH", {}),
        (KeyPendingError(), 409, "IDEMPOTENCY_PENDING", {}),
        (MissingError("template", "t"), 404, "NOT_FOUND", {"id": "t"}),
        (WorkflowNotFoundError("w"), 404, "NOT_FOUND", {"id": "w"}),
        (RunNotFoundError("r"), 404, "NOT_FOUND", {"reason": "not_found"}),
        (
            RefusedError("wrong_status", "no", status="completed", allowed_from=("running", "waiting", "stopping")),
            409,
            "INVALID_STATE_TRANSITION",
            {
                "reason": "wrong_status",
                "from": "completed",
                "action": "pause",
                "allowed_from": ["running", "waiting_approval"],
            },
        ),
        (RefusedError("not_an_approver", "no"), 403, "FORBIDDEN", {"reason": "not_an_approver"}),
        (RefusedError("self_approval", "no"), 403, "FORBIDDEN", {"reason": "self_approval"}),
        (
            RefusedError("approval_already_decided", "no", standing=REJECTED),
            409,
            "APPROVAL_ALREADY_DECIDED",
            {
                "reason": "approval_already_decided",
                "decision": {
                    "decision": "rejected",
                    "actor_id": "ann",
                    "comment": "no",
                    "at": "1970-01-01T00:00:00.000Z",
                },
            },
        ),
        (
            RefusedError("approval_expired", "no"),
            409,
            "APPROVAL_EXPIRED",
            {"reason": "approval_expired"},
        ),
        (
            TemplateStateError("archived", "edit", ("draft",)),
            409,
            "INVALID_STATE_TRANSITION",
            {"from": "archived", "action": "edit", "allowed_from": ["draft"]},
        ),
        (TemplateInUseError("r"), 409, "TEMPLATE_IN_USE", {"run_id": "r"}),
        (RevisionError(1, 2), 412, "PRECONDITION_FAILED", {"expected": 1, "found": 2}),
        (AccessError(Reason.INSUFFICIENT_SCOPE, "no"), 403, "FORBIDDEN", {"reason": "insufficient_scope"}),
        (AccessError(Reason.RATE_LIMITED, "no"), 429, "RATE_LIMIT_EXCEEDED", {"reason": "rate_limited"}),
        (StorageUnavailableError("the disk is full"), 503, "SERVICE_UNAVAILABLE", {}),
        (ZeroDivisionError("secret"), 500, "INTERNAL_ERROR", {}),
    ],
)
def test_every_kind_of_failure_has_its_code(
    error: Exception, status: int, code: str, details: dict[str, Any]
) -> None:
    found_status, found = worded(error)

    assert (found_status, found["code"], found["details"]) == (status, code, details)
    assert "secret" not in found["message"]


@pytest.mark.parametrize("reason", list(Reason))
def test_whatever_stands_before_the_door_has_a_code(reason: Reason) -> None:
    status, error = worded(AccessError(reason, "no"))

    assert status >= 400
    assert error["code"]


def test_waiting_has_two_words() -> None:
    assert run_status(Status.WAITING, "approval") == "waiting_approval"
    assert run_status(Status.WAITING, "timer") == "running"
    assert run_statuses(["scheduled", "pending", "waiting"]) == ["pending", "running", "waiting_approval"]
