"""When a delivery is tried again."""

import pytest

from stepwell.webhooks.delays import next_delay, retry_after_s

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0),
        ("Sun, 15 Jun 2025 15:07:40", 60.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("9" * 40, None),
        ("１２", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(text: str | None, expected: float | None) -> None:
    assert retry_after_s(text, NOW) == expected
