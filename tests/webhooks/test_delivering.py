"""Sending until it is taken: the schedule, what answers mean, dead letters, switching off."""

import asyncio

import pytest

from engine.virtual_time import START
from stepwell.core.errors import RefusedError
from stepwell.programs.http import HttpError, HttpResponse
from stepwell.webhooks import EndpointChange, WebhookSettings, callbacks_id

from .senders import sending
from .worlds import HOOK

DAYS_S = 3 * 86_400.0
OTHER = "https://other.example.com/"


async def test_a_delivery_is_tried_ten_times_over_three_days_with_one_id() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [503]
        endpoint = await sender.endpoint()
        delivery = await sender.put(endpoint)
        await sender.until_ended()
        assert sender.gaps() == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
        got = sender.receiver.got
        assert {one.id for one in got} == {delivery.message}
        assert {one.content.decode() for one in got} == {delivery.body}
        assert len({one.headers["webhook-timestamp"] for one in got}) == 10
        (dead,) = await sender.deliveries(endpoint, "failed")
        assert [one.status for one in dead.attempts] == [503] * 10


@pytest.mark.parametrize("answer", [301, 302, 307, 404, 500, HttpError("no answer")], ids=str)
async def test_only_a_2xx_is_a_success(answer: int | HttpError) -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [answer, 204]
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.until_ended()
        assert sender.gaps() == [5]
        (taken,) = await sender.deliveries(endpoint, "delivered")
        assert [one.status for one in taken.attempts] == [answer if isinstance(answer, int) else 0, 204]
        assert taken.attempts[0].error
        assert not taken.attempts[1].error


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_retry_after_puts_the_next_try_off(status: int) -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [HttpResponse(status=status, headers={"retry-after": "600"}), 200]
        await sender.put(await sender.endpoint())
        await sender.until_ended()
        assert sender.gaps() == [600]


async def test_a_receiver_that_asks_for_time_gets_nothing_else_meanwhile() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [HttpResponse(status=429, headers={"retry-after": "60"}), 200]
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.look()
        await sender.put(endpoint)
        await sender.until(sender.now + 50.0)
        assert len(sender.receiver.got) == 1
        await sender.until_ended()
        assert len(sender.receiver.got) == 3


async def test_410_switches_the_endpoint_off_and_gives_its_deliveries_up() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [410]
        endpoint = await sender.endpoint()
        for _ in range(10):
            await sender.put(endpoint)
        await sender.until_ended()
        off = await sender.webhooks.get("", endpoint.id)
        assert (off.enabled, off.disabled_reason, off.disabled_at) == (False, "gone", START)
        assert len(await sender.deliveries(endpoint, "failed")) == 10
        assert len(sender.receiver.got) == 4  # those that were under way at once
        assert not sender.webhooks.subscriptions.owners


async def test_an_endpoint_that_took_nothing_for_days_is_switched_off() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [500]
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.until(sender.now + DAYS_S - 1)
        assert (await sender.webhooks.get("", endpoint.id)).enabled
        await sender.until_ended()
        off = await sender.webhooks.get("", endpoint.id)
        assert (off.enabled, off.disabled_reason) == (False, "failing")
        on = await sender.webhooks.change("", endpoint.id, EndpointChange(enabled=True))
        assert (on.enabled, on.disabled_reason, on.disabled_at) == (True, "", None)
        assert sender.webhooks.subscriptions.owners


async def test_an_endpoint_that_took_something_meanwhile_stays_on() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [*[500] * 9, 200, 500]
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.until(sender.now + 2.5 * 86_400)
        assert len(sender.receiver.got) == 9
        taken = await sender.put(endpoint)
        await sender.until_ended()
        assert [one.id for one in await sender.deliveries(endpoint, "delivered")] == [taken.id]
        assert len(await sender.deliveries(endpoint, "failed")) == 1
        assert (await sender.webhooks.get("", endpoint.id)).enabled


async def test_a_receiver_that_is_away_holds_up_nobody_else() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [HttpError("no answer")]
        away, other = await sender.endpoint(), await sender.endpoint(OTHER)
        for _ in range(50):
            await sender.put(away)
            await sender.put(other)
        for _ in range(20):
            await sender.look()
        urls = [one.url for one in sender.receiver.got]
        assert urls.count(OTHER) == 50
        assert urls.count(HOOK) == 4
        await sender.until(sender.now + 60.0)
        assert len(sender.receiver.got) < 50 + 4 + 7  # 1 s, 2 s, 4 s, ... apart


async def test_few_requests_to_one_endpoint_are_under_way_at_once() -> None:
    async with sending() as sender:
        sender.receiver.takes_s = 0.001
        endpoint = await sender.endpoint()
        sent = [await sender.put(endpoint) for _ in range(10)]
        await sender.until_ended()
        assert sender.receiver.most_at_once == 4
        assert [one.id for one in sender.receiver.got] == [one.message for one in sent]


async def test_a_delivery_is_sent_again_on_request_with_its_first_id() -> None:
    async with sending() as sender:
        endpoint = await sender.endpoint()
        first = await sender.put(endpoint)
        await sender.until_ended()
        again = await sender.webhooks.redeliver("", endpoint.id, first.id)
        assert again.status == "pending"
        await sender.until_ended()
        assert [one.id for one in sender.receiver.got] == [first.message] * 2
        (taken,) = await sender.deliveries(endpoint)
        assert (taken.status, len(taken.attempts)) == ("delivered", 2)


async def test_a_dead_letter_that_is_sent_again_gets_all_its_tries_again() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [*[500] * 13, 200]
        webhooks, endpoint = sender.webhooks, await sender.endpoint()
        dead = await sender.put(endpoint)
        await sender.until_ended()
        with pytest.raises(RefusedError, match="switched off"):
            await webhooks.redeliver("", endpoint.id, dead.id)
        await webhooks.change("", endpoint.id, EndpointChange(enabled=True))
        await webhooks.redeliver("", endpoint.id, dead.id)
        with pytest.raises(RefusedError, match="pending"):
            await webhooks.redeliver("", endpoint.id, dead.id)
        await sender.until_ended()
        (taken,) = await sender.deliveries(endpoint)
        assert (taken.status, taken.tries, len(taken.attempts)) == ("delivered", 4, 14)


async def test_a_test_message_is_sent_once_whatever_the_endpoint_asks_for() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [500, 200]
        endpoint = await sender.endpoint()
        failed = await sender.webhooks.test("", endpoint.id)
        assert (failed.status, failed.type, failed.attempts[0].status) == ("failed", "webhook.test", 500)
        assert (await sender.webhooks.get("", endpoint.id)).enabled
        assert (await sender.webhooks.test("", endpoint.id)).status == "delivered"
        assert sender.receiver.types() == ["webhook.test"] * 2
        assert sender.receiver.got[0].data == {"endpoint_id": endpoint.id}


async def test_a_callback_address_that_fails_holds_up_no_other() -> None:
    async with sending() as sender:
        slow = "https://slow.example.com/"
        sender.receiver.answers |= {HOOK: [410], slow: [503, 200]}
        for url in (HOOK, slow, OTHER):
            await sender.put(callbacks_id("anna"), url=url)
        await sender.look()
        assert [one.url for one in sender.receiver.got] == [HOOK, slow, OTHER]
        await sender.until_ended()
        assert [one.url for one in sender.receiver.got[3:]] == [slow]


async def test_old_deliveries_and_too_many_of_them_go() -> None:
    async with sending(WebhookSettings(keep=3, keep_s=86_400.0)) as sender:
        endpoint = await sender.endpoint()
        for _ in range(9):
            await sender.put(endpoint)
        await sender.until_ended()
        await sender.until(sender.now + 61.0)
        await sender.look()
        assert len(await sender.deliveries(endpoint)) == 3
        sender.now += 90_000.0
        await sender.look()
        assert await sender.deliveries(endpoint) == []


async def test_deliveries_of_an_endpoint_that_is_removed_are_dropped() -> None:
    async with sending() as sender:
        sender.receiver.answers[HOOK] = [503]
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.look()
        await sender.webhooks.remove("", endpoint.id)
        assert await sender.store.waiting_endpoints() == []
        await sender.put(endpoint)  # by a commit that did not know yet
        await sender.look()
        assert await sender.store.waiting_endpoints() == []
        assert len(sender.receiver.got) == 1


async def test_what_cannot_be_written_after_a_try_is_sent_again() -> None:
    async with sending() as sender:
        endpoint = await sender.endpoint()
        await sender.put(endpoint)
        await sender.webhooks.duty.run_once(sender.now)
        await asyncio.sleep(0)
        sender.webhooks.duty._ended.clear()  # as a crash would
        sender.webhooks.duty._flying.clear()
        sender.webhooks.duty._flights.clear()
        await sender.until_ended()
        assert len(sender.receiver.got) == 2
        assert len({one.id for one in sender.receiver.got}) == 1
