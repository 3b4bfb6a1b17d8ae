"""What the workers may use, in one place."""

import msgspec

MEGABYTE = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times. The defaults fit a machine with two cores.

    `workers` answer at any time, and one more is kept warm. `slow_workers` are those that run what takes longer
    than `slow_after_s`; with all of them busy, further slow expressions wait while the others go on.
    `time_s` is the time of one request (one expression, or the expressions of one task).
    """

    workers: int = 2
    slow_workers: int = 2
    time_s: float = 1.0
    slow_after_s: float = 0.05
    memory_bytes: int = 256 * MEGABYTE
    input_bytes: int = 32 * MEGABYTE
    result_bytes: int = 32 * MEGABYTE
    text_characters: int = 20_000
    programs: int = 512
    max_waiting: int = 4096
