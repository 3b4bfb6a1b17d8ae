"""Endpoints: what is checked, whose they are, changed while runs go on, and their secrets."""

import asyncio
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from engine.harness import Life
from engine.scenes import simple
from stepwell.core.errors import InvalidInputError, RefusedError
from stepwell.webhooks import EndpointChange, EndpointNotFoundError, callbacks_id
from stepwell.webhooks.signing import new_secret

from .worlds import HOOK, Receiver, delivered, play, subscribe, webhooks_of

COMPLETED = "workflow.run.completed"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "http://hooks.example.com/"}, "^url: this address may not be called"),
        ({"url": "https://internal/"}, "^url: "),
        ({"url": "https://" + "x" * 2_048}, "^url: expected at most 2048 characters"),
        ({"events": ["workflow.run.exploded"]}, "^events: expected one of"),
        ({"events": []}, "^events: "),
        ({"secret": "short"}, "^secret: expected whsec_"),
        ({"description": "x" * 501}, "^description: expected at most 500"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_endpoint_that_cannot_be_is_refused_and_not_kept(given: dict[str, Any], message: str) -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:  # noqa: ARG001
        webhooks = webhooks_of(life.engine)
        good: dict[str, Any] = {"url": HOOK, "events": [COMPLETED]}
        with pytest.raises(InvalidInputError, match=message):
            await webhooks.add(owner="", **{**good, **given})
        assert webhooks.listed(None) == []
        if "secret" not in given:
            endpoint = await webhooks.add(owner="", **good)
            with pytest.raises(InvalidInputError, match=message):
                await webhooks.change("", endpoint.id, msgspec.convert(given, EndpointChange))
            assert webhooks.listed(None) == [endpoint]

    play({"simple": simple}, scenario)


def test_an_owner_has_so_many_endpoints_and_no_more() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:  # noqa: ARG001
        for _ in range(100):
            await subscribe(life.engine)
        with pytest.raises(RefusedError, match="expected at most 100 endpoints"):
            await subscribe(life.engine)
        await subscribe(life.engine, owner="bert")

    play({"simple": simple}, scenario)


def test_endpoints_are_told_of_their_owners_runs_only() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, COMPLETED, owner="anna")
        mine = (await life.engine.start("simple", owner="anna")).run_id
        theirs = (await life.engine.start("simple", owner="bert")).run_id
        for run_id in (mine, theirs):
            await life.engine.result(run_id)
        await delivered(life.engine)
        assert [one.data["run_id"] for one in receiver.got] == [mine]

    play({"simple": simple}, scenario)


def test_another_owners_endpoint_does_not_exist() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:  # noqa: ARG001
        webhooks = webhooks_of(life.engine)
        endpoint = await subscribe(life.engine, COMPLETED, owner="anna")
        await life.engine.result((await life.engine.start("simple", owner="anna")).run_id)
        await delivered(life.engine)
        (delivery,) = await webhooks.deliveries("anna", endpoint.id)
        assert webhooks.listed("bert") == []
        assert webhooks.listed("anna") == webhooks.listed(None) == [endpoint]
        for trial in (
            webhooks.get("bert", endpoint.id),
            webhooks.change("bert", endpoint.id, EndpointChange(enabled=False)),
            webhooks.remove("bert", endpoint.id),
            webhooks.test("bert", endpoint.id),
            webhooks.rotate_secret("bert", endpoint.id),
            webhooks.deliveries("bert", endpoint.id),
            webhooks.count_deliveries("bert", endpoint.id, at_most=10),
            webhooks.redeliver("bert", endpoint.id, delivery.id),
        ):
            with pytest.raises(EndpointNotFoundError):
                await trial
        other = await subscribe(life.engine, owner="bert")
        with pytest.raises(RefusedError, match="there is no delivery"):
            await webhooks.redeliver("bert", other.id, delivery.id)
        assert (await webhooks.get("anna", endpoint.id)).enabled

    play({"simple": simple}, scenario)


def test_an_endpoint_hears_what_it_asked_for_from_its_change_on() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        endpoint = await subscribe(life.engine, COMPLETED)
        change = EndpointChange(events=("workflow.run.started",), url="https://new.example.com/")
        await webhooks_of(life.engine).change("", endpoint.id, change)
        await life.engine.result((await life.engine.start("simple")).run_id)
        await delivered(life.engine)
        assert [(one.type, one.url) for one in receiver.got] == [("workflow.run.started", "https://new.example.com/")]

    play({"simple": simple}, scenario)


def test_an_endpoint_that_its_owner_switches_off_hears_nothing() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        endpoint = await subscribe(life.engine)
        off = await webhooks_of(life.engine).change("", endpoint.id, EndpointChange(enabled=False))
        assert off.disabled_reason == "owner"
        await life.engine.result((await life.engine.start("simple")).run_id)
        await asyncio.sleep(5)
        assert receiver.got == []

    play({"simple": simple}, scenario)


def test_an_endpoint_that_another_process_adds_is_heard_of_soon() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.beside, COMPLETED)
        await asyncio.sleep(0.3)
        await life.engine.result((await life.engine.start("simple")).run_id)
        await delivered(life.engine)
        assert receiver.types() == [COMPLETED]

    play({"simple": simple}, scenario, two=True)


def test_what_another_process_commits_is_sent_by_the_one_that_drives() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.run.cancelled")
        run_id = (await life.engine.start("simple", start_at=2e9)).run_id
        await asyncio.sleep(0.3)
        await life.beside.cancel(run_id)
        await asyncio.sleep(3)
        assert receiver.types() == ["workflow.run.cancelled"]

    play({"simple": simple}, scenario, two=True)


def signed_with(secret: str, receiver: Receiver) -> bool:
    """Whether the last request is signed with a secret, by the signature alone: virtual time is not ours."""
    got = receiver.got[-1]
    expected = Webhook(secret).sign(got.id, _at(got.headers["webhook-timestamp"]), got.content.decode())
    return expected in got.headers["webhook-signature"].split(" ")


def _at(stamp: str) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(stamp), UTC)


def test_a_secret_is_rotated_with_a_time_in_which_both_sign() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        webhooks = webhooks_of(life.engine)
        old = (endpoint := await subscribe(life.engine)).secret
        new = (await webhooks.rotate_secret("", endpoint.id, overlap_s=60.0)).secret
        await webhooks.test("", endpoint.id)
        assert signed_with(old, receiver)
        assert signed_with(new, receiver)
        await asyncio.sleep(60)
        await webhooks.test("", endpoint.id)
        assert not signed_with(old, receiver)
        assert signed_with(new, receiver)

    play({"simple": simple}, scenario)


def test_a_secret_is_rotated_at_once_or_to_a_chosen_one() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        webhooks = webhooks_of(life.engine)
        old = (endpoint := await subscribe(life.engine, secret=(chosen := new_secret()))).secret
        assert old == chosen
        mine = new_secret()
        assert (await webhooks.rotate_secret("", endpoint.id, secret=mine, overlap_s=0)).secret == mine
        await webhooks.test("", endpoint.id)
        assert signed_with(mine, receiver)
        assert not signed_with(old, receiver)
        with pytest.raises(InvalidInputError, match="overlap_seconds: expected a number from 0 to 604800"):
            await webhooks.rotate_secret("", endpoint.id, overlap_s=1e9)

    play({"simple": simple}, scenario)


def test_callbacks_of_an_owner_are_signed_with_a_secret_of_its_own() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        webhooks = webhooks_of(life.engine)
        anna = (await webhooks.rotate_secret("anna", callbacks_id("anna"), overlap_s=0)).secret
        bert = (await webhooks.rotate_secret("bert", callbacks_id("bert"), overlap_s=0)).secret
        started = await life.engine.start("simple", owner="anna", callback_url=HOOK)
        await life.engine.result(started.run_id)
        await delivered(life.engine)
        assert signed_with(anna, receiver)
        assert not signed_with(bert, receiver)
        assert webhooks.listed(None) == []
        (taken,) = await webhooks.deliveries("anna", callbacks_id("anna"))
        assert taken.run_id == started.run_id
        with pytest.raises(EndpointNotFoundError):
            await webhooks.remove("anna", callbacks_id("anna"))

    play({"simple": simple}, scenario)


def test_a_callback_address_that_may_not_be_called_is_refused_at_the_start() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:  # noqa: ARG001
        with pytest.raises(InvalidInputError, match=r"^callback_url: this address may not be called"):
            await life.engine.start("simple", callback_url="http://internal/")
        assert await life.engine.list_runs() == []

    play({"simple": simple}, scenario)


def test_a_fork_does_not_call_back_for_the_run_it_was_made_from() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        run_id = (await life.engine.start("simple", callback_url=HOOK)).run_id
        await life.engine.result(run_id)
        fork = await life.engine.fork(run_id, at_seq=3)
        await life.engine.result(fork.run_id)
        await delivered(life.engine)
        assert [one.data["run_id"] for one in receiver.got] == [run_id]

    play({"simple": simple}, scenario)


def test_the_library_refuses_what_another_secret_signed() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify("{}", {})
