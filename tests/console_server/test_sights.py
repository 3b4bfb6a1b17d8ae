"""What pages that show the same are told, made once for all of them: the whole, or what has changed."""

import json
from typing import Any

from stepwell.console.pulse import Pulse
from stepwell.console.sights import Sight, Sights


class Idle:
    """An engine in which nothing happens."""

    writes_seen = (0, 0)


def sight(*rows: tuple[str, str], total: int = 0) -> Sight:
    return Sight([{"id": id, "status": status} for id, status in rows], {"total": total})


def patched(before: list[dict[str, Any]], change: str) -> list[str]:
    """The ids in their order after a change, as the script of the page comes to them."""
    news = json.loads(change)
    left = [row["id"] for row in before if row["id"] not in news["gone"]]
    fresh = [row["id"] for row in news["rows"] if row["id"] not in left]
    found: list[str] = news.get("order") or fresh + left
    return found


def rows_of(shown: Sight) -> list[dict[str, Any]]:
    return list(json.loads(shown.whole)["rows"])


def test_a_new_run_pushes_the_oldest_out() -> None:
    before = sight(("c", "running"), ("b", "running"), ("a", "completed"))
    after = sight(("d", "pending"), ("c", "running"), ("b", "running"))
    change = after.since(before)
    assert change is not None
    assert json.loads(change) == {"rows": [{"id": "d", "status": "pending"}], "gone": ["a"], "around": {}}
    assert patched(rows_of(before), change) == ["d", "c", "b"]


def test_only_what_has_changed_is_told() -> None:
    before = sight(("b", "running"), ("a", "running"), total=1)
    change = sight(("b", "completed"), ("a", "running"), total=2).since(before)
    assert json.loads(change or "") == {
        "rows": [{"id": "b", "status": "completed"}],
        "gone": [],
        "around": {"total": 2},
    }


def test_a_run_that_comes_between_others_tells_the_order() -> None:
    before = sight(("c", "failed"), ("a", "failed"))
    change = sight(("c", "failed"), ("b", "failed"), ("a", "failed")).since(before)
    assert change is not None
    assert patched(rows_of(before), change) == ["c", "b", "a"]


def test_the_whole_is_told_when_most_of_it_is_new() -> None:
    assert sight(("d", "running"), ("c", "running")).since(sight(("b", "running"), ("a", "running"))) is None


async def test_a_view_that_looks_the_same_is_the_same_sight() -> None:
    pulse = Pulse(Idle())  # type: ignore[arg-type]
    sights, shown = Sights(pulse), [sight(("a", "running")), sight(("a", "running")), sight(("a", "completed"))]

    async def make() -> Sight:
        return shown.pop(0)

    first = await sights.of("view", make)
    pulse.forget()
    assert await sights.of("view", make) is first
    pulse.forget()
    assert await sights.of("view", make) is not first
    assert await sights.of("view", make) is not first, "made once for a beat"
    assert not shown
