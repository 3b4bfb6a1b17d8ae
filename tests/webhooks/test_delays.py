"""When a delivery is tried again."""

import pytest

from stepwell.webhooks.delays import next_delay


def test_delays_are_those_of_the_standard_and_end_after_ten_tries() -> None:
    hours = [next_delay(tries, None, lambda: 0.5) for tries in range(1, 11)]
    assert hours == [5, 300, 1_800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600, None]


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 270.0), (0.5, 300.0), (1.0, 330.0)])
def test_delays_have_jitter_of_a_tenth(chance: float, expected: float) -> None:
    assert next_delay(2, None, lambda: chance) == pytest.approx(expected)


def test_what_a_receiver_asks_for_makes_the_delay_longer_up_to_a_day() -> None:
    assert next_delay(1, 60.0, lambda: 0.5) == 60.0
    assert next_delay(2, 60.0, lambda: 0.5) == 300.0
    assert next_delay(1, 1e9, lambda: 0.5) == 86_400.0
