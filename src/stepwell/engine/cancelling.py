"""Whose cancellation it is: ours, or one that an activity raised by itself."""

import asyncio


def being_cancelled() -> bool:
    """Whether it is us who cancel: an activity may raise `CancelledError` by itself, which is a failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def uncancel() -> None:
    """Take back a cancellation that was not ours: an activity cancelled the task that it ran in."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
