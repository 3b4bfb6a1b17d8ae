"""Retries with options: from a step of the outline, with another input, with the newest version."""

from typing import Any

import msgspec
import pytest

from stepwell.core.errors import InvalidInputError, RefusedError
from stepwell.core.program import Compiled, RunContext, StepContext, StepOutline
from stepwell.core.status import Status
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine
from stepwell.engine.retrying import RetryOptions, behind, merged
from stepwell.store.sqlite import SqliteStore

from .virtual_time import VirtualLoop

DIAMOND = [("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c"))]


class Lists:
    """A kind of workflow whose definitions are lists of keys, each waiting for the one before it.

    A key is followed by what it gives: `b=2`. A step that gives `!` fails. Its input may hold numbers only.
    """

    kind = "list"

    def __init__(self) -> None:
        self.ran: list[str] = []

    def compile(self, document: str) -> Compiled:
        steps = [part.split("=") for part in document.split()]
        keys = [key for key, _ in steps]
        outline = [
            StepOutline(key=key, name=key, type="task", depends_on=tuple(keys[:n][-1:]), digest=gives)
            for n, (key, gives) in enumerate(steps)
        ]

        async def program(ctx: RunContext, input: Any) -> Any:
            return [await ctx.step(key, self._work(key, gives, input)) for key, gives in steps]

        return Compiled(program=program, outline=tuple(outline), check_input=_check)

    def _work(self, key: str, gives: str, input: Any) -> Any:
        async def work(_: StepContext) -> str:
            self.ran.append(key)
            if gives == "!":
                raise ValueError(key)
            return gives + str(input or "")

        return work


async def _check(input: Any) -> dict[str, list[str]]:
    return {name: ["expected a number"] for name, value in (input or {}).items() if not isinstance(value, int)}


def _play(scenario: Any) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        lists = Lists()
        engine = Engine(
            store=SqliteStore("file:/retrying?vfs=memdb"), dispatch=LocalDispatch(), programs=[lists], clock=loop
        )
        await engine.open()
        try:
            await scenario(engine, lists)
        finally:
            await engine.close()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


async def _failed(engine: Engine, document: str = "a=1 b=2 c=!", input: Any = None) -> str:
    await engine.save(kind="list", name="w", version="1", text=document)
    result = await engine.run("w", input)
    assert result.status is Status.FAILED
    return result.run_id


def test_retry_from_a_step_does_it_and_all_behind_it_again() -> None:
    async def scenario(engine: Engine, lists: Lists) -> None:
        run_id = await _failed(engine)
        await engine.retry(run_id, options=RetryOptions(from_step="b"))
        await engine.result(run_id)
        assert lists.ran == ["a", "b", "c", "b", "c"]

    _play(scenario)


def test_retry_with_the_newest_version_goes_on_with_the_repaired_step() -> None:
    async def scenario(engine: Engine, lists: Lists) -> None:
        run_id = await _failed(engine)
        await engine.save(kind="list", name="w", version="2", text="a=1 b=2 c=3")
        await engine.retry(run_id)
        assert (await engine.result(run_id)).status is Status.FAILED  # the pinned one
        await engine.retry(run_id, options=RetryOptions(latest=True))
        assert (await engine.result(run_id)).output == ["1", "2", "3"]
        assert lists.ran == ["a", "b", "c", "c", "c"]
        (row,) = await engine.list_runs()
        assert (row.version, row.generation) == ("2", 3)

    _play(scenario)


def test_retry_with_a_version_that_changed_what_is_kept_is_refused_until_that_is_done_again() -> None:
    async def scenario(engine: Engine, lists: Lists) -> None:
        run_id = await _failed(engine)
        await engine.save(kind="list", name="w", version="2", text="a=1 b=9 c=3")
        with pytest.raises(RefusedError) as refused:
            await engine.retry(run_id, options=RetryOptions(latest=True))
        assert (refused.value.code, refused.value.standing) == ("steps_changed", ["b"])
        await engine.retry(run_id, options=RetryOptions(latest=True, from_step="b"))
        assert (await engine.result(run_id)).output == ["1", "9", "3"]
        assert lists.ran == ["a", "b", "c", "b", "c"]

    _play(scenario)


def test_retry_with_a_patched_input_keeps_what_was_done_with_the_old_one() -> None:
    async def scenario(engine: Engine, _: Lists) -> None:
        run_id = await _failed(engine, "a=1 b=!", {"n": 1, "m": 2})
        await engine.save(kind="list", name="w", version="2", text="a=1 b=2")
        patch = RetryOptions(input_patch={"n": 3, "m": None}, latest=True)
        await engine.retry(run_id, options=patch)
        assert (await engine.result(run_id)).output == ["1{'n': 1, 'm': 2}", "2{'n': 3}"]
        assert msgspec.json.decode((await engine.state(run_id)).input) == {"n": 3}

    _play(scenario)


def test_patch_that_makes_the_input_invalid_is_refused() -> None:
    async def scenario(engine: Engine, _: Lists) -> None:
        run_id = await _failed(engine)
        with pytest.raises(InvalidInputError, match="n: expected a number"):
            await engine.retry(run_id, options=RetryOptions(input_patch={"n": "one"}))
        assert (await engine.get(run_id)).status is Status.FAILED

    _play(scenario)


@pytest.mark.parametrize(("text", "words"), [("a=1 b=!", "expected one of the steps a, b, found 'z'")])
def test_retry_from_an_unknown_step_names_the_steps(text: str, words: str) -> None:
    async def scenario(engine: Engine, _: Lists) -> None:
        run_id = await _failed(engine, text)
        with pytest.raises(RefusedError, match=words):
            await engine.retry(run_id, options=RetryOptions(from_step="z"))

    _play(scenario)


@pytest.mark.parametrize(
    ("key", "keys"), [("a", ("a", "b", "c", "d")), ("b", ("b", "d")), ("c", ("c", "d")), ("d", ("d",))]
)
def test_what_is_behind_a_step_waits_for_it_directly_or_not(key: str, keys: tuple[str, ...]) -> None:
    outline = [StepOutline(key=one, name=one, type="task", depends_on=after) for one, after in DIAMOND]
    assert behind(outline, key) == keys


# RFC 7396, appendix A
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, {}, {"a": "foo"}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (None, {"a": 1}, {"a": 1}),
    ],
)
def test_patch_is_a_merge_patch(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result
