"""What is on the stream of a run about its messages, read again."""

from typing import Any

from stepwell.programs.pipeline.reporting import messages_of


def sent(execution: int, **more: Any) -> dict[str, Any]:
    return {"execution": execution, "n": 1, "stage": "s", "payload": {}, **more}


def test_messages_that_were_acknowledged_together_have_each_its_offset() -> None:
    kafka = {"topic": "t", "partition": 2}
    item = {
        "messages": [sent(execution) for execution in (1, 2, 3, 4)],
        "batches": [
            {"delivery": {**kafka, "offset": 7}, "count": 2, "at": 1.5},
            {"delivery": {**kafka, "offset": 0}, "at": 2.0},
            {"delivery": {"exchange": "x", "routing_key": "r"}, "at": 2.5},
        ],
    }
    found = messages_of(item)
    assert [one.execution for one in found] == [1, 2, 3, 4]
    assert [one.at for one in found] == [1.5, 1.5, 2.0, 2.5]
    deliveries = [one.delivery for one in found]
    assert all(deliveries)
    assert [delivery.offset for delivery in deliveries if delivery] == [7, 8, 0, None]
    assert [delivery.partition for delivery in deliveries if delivery] == [2, 2, 2, None]
    assert deliveries[3] is not None
    assert (deliveries[3].exchange, deliveries[3].routing_key) == ("x", "r")


def test_messages_of_before_there_were_batches_say_themselves_where_they_are() -> None:
    delivery = {"topic": "t", "partition": 2, "offset": 7}
    (found,) = messages_of({"messages": [sent(1, delivery=delivery, at=1.5)]})
    assert found.delivery is not None
    assert (found.delivery.offset, found.at) == (7, 1.5)


def test_an_item_without_messages() -> None:
    assert messages_of({"counts": {}}) == []
