"""What a typed workflow says of its events: plain data in the order of the wire, and faults that carry fields."""

import msgspec

from stepwell.core.errors import StepwellError
from stepwell.core.typed import Envelope, EventFault, continuing, is_continuing


def test_an_envelope_is_on_the_wire_as_its_fields_stand() -> None:
    envelope = Envelope(value={"n": 1}, qualified_name="shop.Paid", type="Paid", types=("Event",))
    assert msgspec.json.encode(envelope) == (
        b'{"value":{"n":1},"qualified_name":"shop.Paid","type":"Paid","types":["Event"],"internal":false}'
    )
    assert msgspec.convert(msgspec.to_builtins(envelope), Envelope) == envelope


def test_a_fault_carries_what_a_door_needs_to_word_it() -> None:
    fault = EventFault("unknown_type", "no such event", name="Pay", expected=["Paid"])
    assert isinstance(fault, StepwellError)
    assert (fault.code, fault.name, fault.expected) == ("unknown_type", "Pay", ("Paid",))
    assert str(fault) == "no such event"


def test_a_run_that_continues_is_told_from_one_with_a_context_of_a_client() -> None:
    left = {"state": {"n": 1}, "version": 1}
    labels = continuing(left)
    assert is_continuing({"version": 1, "state": {"n": 1}}, labels), "the order of names says nothing"
    assert not is_continuing({**left, "state": {"n": 2}}, labels)
    assert not is_continuing(left, {})
