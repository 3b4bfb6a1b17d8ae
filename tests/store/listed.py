# ruff: noqa: ARG005  # some filters look at no run
"""Two hundred runs of all kinds, and what to ask of a listing of them."""

from random import Random
from typing import Any

from stepwell.core.status import TERMINAL, Status, WaitReason
from stepwell.engine.ids import new_id
from stepwell.store.model import NAME_LABEL, Batch, RunRow
from stepwell.store.port import Store
from stepwell.store.postgres import PostgresStore

from .batches import T0, create, creation

WORKFLOWS = ("order", "Report", "invoice_daily")
NAMES = (None, "Order intake", "100% ÄRGER", "a_b")
COLOURS = ("red", "Blue", "dark green")


def labels_of(rng: Random) -> dict[str, str]:
    """A colour, and for some the name that the workflow had."""
    name = rng.choice(NAMES)
    return {"colour": rng.choice(COLOURS)} | ({NAME_LABEL: name} if name else {})


async def two_hundred(store: Store) -> list[RunRow]:
    """Newest first."""
    rng, reasons = Random(7), Random(8)
    made = []
    for n in range(200):
        at = T0 + n * 977.0
        status = rng.choice(list(Status))
        batch = creation(
            new_id(at), at=at, status=status, owner=rng.choice(("anna", "bert", "")), workflow=rng.choice(WORKFLOWS),
            door=rng.choice(("runs", "agents")), parent_id=rng.choice((None, "parent-1")),
            labels=labels_of(rng), ended_at=at + 5 if status in TERMINAL else None, seq=1,
            reason=reasons.choice(list(WaitReason)) if status is Status.WAITING else None,
        )  # fmt: skip
        assert batch.row is not None
        made.append(batch)
    if isinstance(store, PostgresStore):
        await create_far_apart(store, made)
    else:
        await create(store, *made)
    return [batch.row for batch in reversed(made) if batch.row is not None]


async def create_far_apart(store: PostgresStore, made: list[Batch]) -> None:
    """A text is looked up in blocks of runs, by its rarest trigrams, as far as it is known which they are, and by its
    series, unless the run is older than that.
    """
    async with store._writing.use() as connection:
        for first in range(0, len(made), 5):
            await create(store, *made[first : first + 5])
            await connection.execute("SELECT setval('run_id_seq', nextval('run_id_seq') + 20000)")
        await connection.execute("UPDATE run_text SET series = NULL WHERE run < (SELECT avg(id) FROM run)")
        await connection.execute("ANALYZE run_text")


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda run: True),
    ({"owner": "anna"}, lambda run: run.owner == "anna"),
    ({"owner": ""}, lambda run: run.owner == ""),
    ({"owner": "nobody"}, lambda run: False),
    ({"workflows": ("order", "Report")}, lambda run: run.workflow in ("order", "Report")),
    ({"statuses": (Status.FAILED, Status.WAITING)}, lambda run: run.status in (Status.FAILED, Status.WAITING)),
    ({"statuses": (Status.FAILED, Status.FAILED)}, lambda run: run.status is Status.FAILED),
    ({"owner": "anna", "statuses": (Status.WAITING,), "reasons": (WaitReason.TIMER, WaitReason.TIMER)},
     lambda run: run.owner == "anna" and run.reason == "timer"),
    ({"owner": "bert", "workflows": ("order",), "statuses": (Status.PAUSED, Status.FAILED)},
     lambda run: run.owner == "bert" and run.workflow == "order" and run.status in (Status.PAUSED, Status.FAILED)),
    ({"door": "runs"}, lambda run: run.door == "runs"),
    ({"reasons": (WaitReason.APPROVAL,)}, lambda run: run.reason in (None, "approval")),
    ({"statuses": (Status.WAITING, Status.FAILED), "reasons": (WaitReason.APPROVAL, WaitReason.TIMER)},
     lambda run: run.status is Status.FAILED or run.reason in ("approval", "timer")),
    ({"owner": "anna", "statuses": (Status.WAITING, Status.PAUSED), "reasons": (WaitReason.CALLBACK,)},
     lambda run: run.owner == "anna" and (run.status is Status.PAUSED or run.reason == "callback")),
    ({"owner": "anna", "statuses": (Status.PAUSED,), "reasons": (WaitReason.CALLBACK,)},
     lambda run: run.owner == "anna" and run.status is Status.PAUSED),
    ({"workflows": ("order",), "reasons": (WaitReason.CHILD,), "statuses": (Status.WAITING,)},
     lambda run: run.workflow == "order" and run.reason == "child"),
    ({"origins": ("child",)}, lambda run: run.parent_id is not None),
    ({"origins": ("runs",)}, lambda run: run.parent_id is None and run.door == "runs"),
    ({"origins": ("agents", "child"), "owner": "bert"},
     lambda run: run.owner == "bert" and (run.parent_id is not None or run.door == "agents")),
    ({"parent_id": "parent-1"}, lambda run: run.parent_id == "parent-1"),
    ({"created_from": T0 + 100_000}, lambda run: run.created_at >= T0 + 100_000),
    ({"created_to": T0 + 50_000}, lambda run: run.created_at < T0 + 50_000),
    ({"created_from": T0 + 977.0, "created_to": T0 + 3 * 977.0}, lambda run: 977 <= run.created_at - T0 < 3 * 977),
    ({"search": "invoice"}, lambda run: run.workflow == "invoice_daily"),
    ({"search": "REPORT"}, lambda run: run.workflow == "Report"),
    ({"search": "blue"}, lambda run: run.labels["colour"] == "Blue"),
    ({"search": "k gre"}, lambda run: run.labels["colour"] == "dark green"),
    ({"search": "green", "owner": "anna", "statuses": (Status.COMPLETED,)},
     lambda run: run.labels["colour"] == "dark green" and run.owner == "anna" and run.status is Status.COMPLETED),
    ({"search": "red", "workflows": ("order",)},
     lambda run: run.workflow == "order" and run.labels["colour"] == "red"),
    ({"search": "rt"}, lambda run: run.workflow == "Report"),
    ({"named": "ORDER"}, lambda run: "order" in run.workflow_name.lower()),
    ({"named": "ärger"}, lambda run: run.workflow_name == "100% ÄRGER"),
    ({"named": "%"}, lambda run: "%" in run.workflow_name),
    ({"named": "a_b"}, lambda run: run.workflow_name == "a_b"),
    ({"named": "_"}, lambda run: "_" in run.workflow_name),
    ({"named": "e"}, lambda run: "e" in run.workflow_name.lower()),
    ({"named": "order", "owner": "anna", "workflows": ("Report", "order"), "statuses": (Status.FAILED,)},
     lambda run: "order" in run.workflow_name.lower() and run.owner == "anna"
     and run.workflow in ("Report", "order") and run.status is Status.FAILED),
    ({"named": "order", "door": "runs"}, lambda run: "order" in run.workflow_name.lower() and run.door == "runs"),
    ({"named": "order", "search": "green"},
     lambda run: "order" in run.workflow_name.lower() and "green" in run.labels["colour"]),
    ({"named": "nothing like it"}, lambda run: False),
    ({"search": "no such thing"}, lambda run: False),
    ({"search": '"; DROP'}, lambda run: False),
    ({"owner": "anna", "search": "order", "created_from": T0 + 50_000, "door": "agents"},
     lambda run: run.owner == "anna" and "order" in f"{run.workflow} {run.workflow_name}".lower()
     and run.created_at >= T0 + 50_000 and run.door == "agents"),
]  # fmt: skip
