"""What a typed workflow says of its events: plain data in the order of the wire, and faults that carry fields."""

import msgspec

from stepwell.core.errors import StepwellError
from stepwell.core.typed import Envelope, EventFault


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
