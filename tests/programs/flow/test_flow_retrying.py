"""Flows whose run failed, retried: what was cut off begins anew."""

import asyncio
from pathlib import Path
from typing import Any

from flow_engine import functions, in_engine, save, started

from stepwell.core.status import Status
from stepwell.engine import Engine

tries: list[str] = []


@functions.function
async def slow_at_first(name: str) -> int:
    tries.append(name)
    if tries.count(name) == 1:
        await asyncio.sleep(100)
    return tries.count(name)


async def retried(engine: Engine) -> list[Any]:
    tries.clear()
    await save(
        engine,
        "limited",
        "do: [{first: {call: slow_at_first, with: {name: quick}, timeout: {after: PT9M}}}, "
        "{a: {timeout: {after: PT2S}, do: [{b: {call: slow_at_first, with: {name: slow}}}]}}]",
    )
    run_id = await started(engine, "limited")
    failed = await engine.result(run_id, timeout_s=1000)
    await engine.retry(run_id)
    ended = await engine.result(run_id, timeout_s=1000)
    return [failed.status, failed.error and failed.error.status, ended.status, ended.output]


def test_a_task_that_took_too_long_is_done_again(tmp_path: Path) -> None:
    assert in_engine(tmp_path, retried) == [[Status.FAILED, 408, Status.COMPLETED, 2]]
    assert tries == ["quick", "slow", "slow"]
