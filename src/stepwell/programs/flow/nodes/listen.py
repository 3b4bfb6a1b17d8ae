"""`listen`: consumes events. Its output is the array of them, as they are read and as `foreach` transforms them.

All events of a task come as one signal, so they are in one order, each of them once: no race decides anything.
Keys: `@3` is the fourth wait for an event, `/foreach@1` the work on the second event that was consumed.

Events that pass no filter are dropped. Those that pass a filter of `all` which has its event already, or belong
together with others, are kept for the next visit of the task on its strand: in a loop none is lost.
"""

from typing import Any

import msgspec

from stepwell.programs.flow.expressions import Expression, is_true
from stepwell.programs.flow.nodes.cloud_events import CloudEvent, read_event
from stepwell.programs.flow.nodes.filters import Gathering, Keys, Strategy, Verdict
from stepwell.programs.flow.nodes.listening import Listening
from stepwell.programs.flow.nodes.scope import Scope, evaluate
from stepwell.programs.flow.nodes.sequence import Sequence
from stepwell.programs.flow.nodes.validation import DataCheck


class ForEach(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with each event that is consumed, before the next one is."""

    at: str
    item: str
    index: str
    body: Sequence | None = None
    output_as: Expression | None = None
    output_schema: DataCheck | None = None
    export_as: Expression | None = None
    export_schema: DataCheck | None = None

    async def run(self, scope: Scope, key: str, item: Any, index: int) -> Any:
        """The item's part of the output; writes `$context`."""
        inner = scope.inside(f"{key}/foreach@{index}/do", {self.item: item, self.index: index})
        output = item if self.body is None else await self.body.run(inner, item)
        if self.output_as is not None:
            place = f"{self.at}/output/as"
            output = await evaluate(self.output_as, output, inner.variables(self.output_as, item), place)
        if self.output_schema is not None:
            await self.output_schema.check(output, f"{self.at}/output/schema")
        if self.export_as is not None:
            variables = inner.variables(self.export_as, item, output)
            context = await evaluate(self.export_as, output, variables, f"{self.at}/export/as")
            if self.export_schema is not None:
                await self.export_schema.check(context, f"{self.at}/export/schema")
            scope.strand.context = context
        return output


class ListenNode:
    def __init__(self, listening: Listening, foreach: ForEach | None) -> None:
        self._listening = listening
        self._foreach = foreach

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        visit = _Visit(self._listening, scope, key, value)
        outputs: list[Any] = []
        while not visit.complete:
            event = await visit.next_consumed()
            if event is not None:
                item = read_event(event, self._listening.read)
                each = self._foreach
                outputs.append(item if each is None else await each.run(scope, key, item, len(outputs)))
                await visit.look(outputs)
        visit.put_back()
        # Where a history says that the task is done; and with which correlations (the standard's lifecycle events).
        await scope.strand.ctx.record(f"{key}/correlated", visit.keys)
        return outputs


class _Visit:
    """One performance of a `listen`."""

    def __init__(self, listening: Listening, scope: Scope, key: str, value: Any) -> None:
        self._listening = listening
        self._scope = scope
        self._key = key
        self._value = value
        self._waits = 0
        self._queue: list[CloudEvent] = list(scope.strand.kept.get(listening.signal, ()))
        self._unused: list[CloudEvent] = []
        self._enough = False
        self.keys: Keys = {}
        self._main = self._gathering(listening.strategy)
        self._end = self._gathering(listening.until_events) if listening.until_events is not None else None

    def _gathering(self, strategy: Strategy) -> Gathering:
        scope, value = self._scope, self._value
        return Gathering(strategy, self.keys, lambda expression: scope.variables(expression, value), value)

    @property
    def complete(self) -> bool:
        if self._end is not None:
            return self._end.complete
        return self._main.complete if self._listening.until is None else self._enough

    async def look(self, outputs: list[Any]) -> None:
        """After an event was consumed: whether that is enough."""
        until = self._listening.until
        if until is not None:
            variables = self._scope.variables(until, self._value)
            place = f"{self._listening.at}/listen/to/until"
            self._enough = is_true(await evaluate(until, outputs, variables, place))

    async def next_consumed(self) -> CloudEvent | None:
        """The next event; None when it is no part of the output."""
        event = await self._next()
        if self._end is not None and await self._end.offer(event) is Verdict.TAKEN:
            return None
        verdict = await self._main.offer(event)
        if verdict is Verdict.KEPT:
            self._unused.append(event)
        return event if verdict is Verdict.TAKEN else None

    async def _next(self) -> CloudEvent:
        """What an earlier visit kept, then what comes."""
        if self._queue:
            return self._queue.pop(0)
        key = f"{self._key}@{self._waits}"
        self._waits += 1
        signal = await self._scope.strand.ctx.wait(key, self._listening.signal, name=self._listening.name)
        assert signal is not None, "a wait without a deadline ends with a signal"
        # Somebody may have sent the signal by hand.
        return signal.data if isinstance(signal.data, dict) else {"data": signal.data}

    def put_back(self) -> None:
        """Leave to the next visit what this one did not use."""
        strand, signal = self._scope.strand, self._listening.signal
        left = (*self._unused, *self._queue)
        if left != strand.kept.get(signal, ()):
            strand.kept = {**strand.kept, signal: left}
