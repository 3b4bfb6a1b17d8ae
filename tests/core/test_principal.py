"""Principals: what each sees, what it may, and how the history names it."""

import pytest

from stepwell.core.history import Actor
from stepwell.core.principal import ALL_SCOPES, LOCAL, Principal, Scope

READER = Principal(type="api_key", id="anna", owner="anna", scopes=("read",), roles=("boss",))
ADMIN = Principal(type="user", id="root", owner="root", scopes=("admin",))

SEES: list[tuple[Principal, str | None, bool]] = [(READER, "anna", False), (ADMIN, None, True), (LOCAL, None, True)]


@pytest.mark.parametrize(("principal", "sees", "sees_bert"), SEES)
def test_only_an_admin_sees_the_runs_of_others(principal: Principal, sees: str | None, sees_bert: bool) -> None:
    assert principal.sees == sees
    assert principal.may_see("bert") is sees_bert
    assert principal.may_see(principal.owner)


@pytest.mark.parametrize("scope", ALL_SCOPES)
def test_admin_holds_every_scope_and_a_reader_one(scope: Scope) -> None:
    assert ADMIN.may(scope)
    assert READER.may(scope) is (scope == "read")


def test_history_names_who_it_was_and_from_where() -> None:
    assert READER.actor("10.0.0.1") == Actor(type="api_key", id="anna", ip="10.0.0.1", roles=("boss",))
