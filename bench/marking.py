"""The app whose server `bench.measures.approvals` asks: its function says when it was called."""

import time

import stepwell

app = stepwell.App()


@app.function
async def mark() -> float:
    """Now, in seconds of the machine's one monotonic clock, which other processes read too."""
    return time.monotonic()
