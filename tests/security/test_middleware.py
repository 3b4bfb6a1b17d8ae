"""Authentication and rate limits in front of an application; refusals in each door's own words."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from stepwell.core.principal import Principal
from stepwell.security.authentication import AccessRules
from stepwell.security.limits.rates import MAX_BUCKETS, Buckets
from stepwell.security.limits.slots import Slots
from stepwell.security.refusals import AccessError

from .apps import BEARER, Clock, application

PEER = ("192.0.2.7", 5000)


def client(*, peer: tuple[str, int] = PEER, **options: Any) -> TestClient:
    return TestClient(application(**options), client=peer, base_url="http://api.example")


def test_route_learns_who_asks_and_from_where() -> None:
    found = client().get("/api/v1/workflows", headers=BEARER)
    assert found.json() == {"id": "ada", "ip": "192.0.2.7", "query": ""}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/workflow-runs", {"error": "expected a token or an API key", "code": "missing_credential"}),
        ("/api/v1/workflow-runs/1", {"error": "expected a token or an API key", "code": "missing_credential"}),
        (
            "/api/v1/workflows/1",
            {"data": None, "errors": [{"code": "MISSING_CREDENTIAL", "message": "expected a token or an API key"}]},
        ),
    ],
)
def test_refusal_is_in_the_doors_own_shape(path: str, body: dict[str, Any]) -> None:
    found = client().get(path)
    assert (found.status_code, found.json()) == (401, body)
    assert found.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/workflowsx", "/health/", "/healthx", "/api/v1/workflow-callbacks"]
)
def test_path_of_no_door_is_locked_too(path: str) -> None:
    found = client().get(path)
    assert (found.status_code, found.text.startswith("{")) == (401, path.endswith("callbacks"))


def test_open_paths_need_nobody() -> None:
    assert client().get("/health").status_code == 200
    assert client().post("/api/v1/workflow-callbacks/abc", headers={"Authorization": "Bearer bad"}).status_code == 200


def test_token_in_the_query_does_not_reach_the_door() -> None:
    found = client().get("/api/v1/workflow-runs/1/stream?after=3&token=good")
    assert found.json() == {"id": "ada", "ip": "192.0.2.7", "query": "after=3"}


def test_anonymous_on_loopback_reaches_every_door() -> None:
    rules = AccessRules(bind="127.0.0.1", configured=False)
    found = client(rules=rules, peer=("127.0.0.1", 1)).get("/api/v1/workflows")
    assert found.json()["id"] == "local"
    assert client(rules=rules, peer=PEER).get("/api/v1/workflows").status_code == 401


def test_websocket_needs_a_principal_too() -> None:
    with client().websocket_connect("/socket", headers=BEARER) as socket:
        assert socket.receive_text() == "ada"
    with pytest.raises(WebSocketDisconnect) as refused, client().websocket_connect("/socket"):
        pass
    assert refused.value.code == 1008


# --- rate limits ----------------------------------------------------------------------------------------------------


def test_without_a_limit_nothing_is_said_about_one() -> None:
    found = client().get("/x", headers=BEARER)
    assert not [name for name in found.headers if "ratelimit" in name]


def test_limit_counts_down_refuses_and_fills_again() -> None:
    clock = Clock()
    asked = client(per_minute=3, clock=clock)
    left = [asked.get("/x", headers=BEARER).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = asked.get("/api/v1/workflows", headers=BEARER)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "RATE_LIMITED")
    assert (refused.headers["retry-after"], refused.headers["x-ratelimit-limit"]) == ("20", "3")
    clock.now += 20
    assert asked.get("/x", headers=BEARER).status_code == 200


def test_open_paths_are_not_counted() -> None:
    asked = client(per_minute=1)
    assert [asked.get("/health").status_code for _ in range(5)] == [200] * 5


def test_wrong_credentials_are_bounded_per_peer() -> None:
    asked = client(failures=2)
    wrong = {"Authorization": "Bearer bad"}
    assert [asked.get("/x", headers=wrong).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert asked.get("/x", headers=BEARER).status_code == 429  # the peer, not the credential
    assert client(failures=2).get("/x", headers=BEARER).status_code == 200


def test_callers_do_not_share_a_bucket_and_are_forgotten_in_the_end() -> None:
    buckets = Buckets(1)
    assert buckets.take("a", 0).allowed
    assert not buckets.take("a", 1).allowed
    assert buckets.take("b", 1).allowed
    for n in range(MAX_BUCKETS):
        buckets.take(f"c{n}", 1)
    assert buckets.take("a", 1).allowed


def test_clock_that_is_set_back_takes_nothing_away() -> None:
    buckets = Buckets(2)
    assert buckets.take("a", 1000).allowed
    assert buckets.take("a", 0).allowed
    assert not buckets.take("a", 0).allowed


# --- slots ----------------------------------------------------------------------------------------------------------


def test_streams_per_principal_are_bounded() -> None:
    slots = Slots(2)
    ada, eve = (Principal(type="user", id=name, owner=name) for name in ("ada", "eve"))
    with slots.hold(ada), slots.hold(ada), slots.hold(eve), pytest.raises(AccessError), slots.hold(ada):
        pass
    with slots.hold(ada), slots.hold(ada):
        pass


def test_local_principal_has_no_limit() -> None:
    slots = Slots(0)
    with slots.hold(Principal(type="local", id="local")):
        pass
