"""What a range of executions tells while it runs: items on the stream of its run, gathered for a moment.

One item holds what happened since the one before: messages that the broker acknowledged, waits that began, executions
that ended, and the counts so far. After a crash these say what need not be done again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from stepwell.brokers.port import Delivery
from stepwell.core.program import StepContext
from stepwell.programs.pipeline.running import Message

EVERY_S: Final = 0.05
MAX_MESSAGES: Final = 500
ITEM: Final = "pipeline"


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An acknowledged message: number `n` of its execution."""

    execution: int
    n: int
    stage: str
    payload: msgspec.Raw
    headers: dict[str, Any] = {}
    key: str | None = None
    delivery: Delivery | None = None
    at: float = 0.0


class Counts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Executions of a range: `submitted` were begun. `error` is the first that one of them ended with; `trouble` what
    keeps a message from being sent now.
    """

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    error: str | None = None
    trouble: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is on the stream. `ended`: (execution, whether it completed); `waits`: (execution, which, until when)."""

    kind: str = ITEM
    counts: Counts = msgspec.field(default_factory=Counts)
    messages: list[Sent] = []
    waits: list[tuple[int, int, float]] = []
    ended: list[tuple[int, bool]] = []


class Report:
    """The reporter of one attempt of one range."""

    def __init__(self, step: StepContext, counts: Counts) -> None:
        self._step = step
        self.counts = counts
        self._messages: list[Sent] = []
        self._waits: list[tuple[int, int, float]] = []
        self._ended: list[tuple[int, bool]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def begun(self) -> None:
        self.counts.submitted += 1
        self._soon()

    def sent(self, execution: int, message: Message, delivery: Delivery | None, at: float) -> None:
        self._messages.append(
            Sent(
                execution=execution,
                n=message.n,
                stage=message.stage,
                payload=message.payload,
                headers=message.headers,
                key=message.key,
                delivery=delivery,
                at=at,
            )
        )
        self.counts.trouble = None
        if len(self._messages) >= MAX_MESSAGES:
            self.flush()
        else:
            self._soon()

    def trouble(self, text: str) -> None:
        self.counts.trouble = text
        self._soon()

    def waiting(self, execution: int, which: int, until: float) -> None:
        self._waits.append((execution, which, until))
        self._soon()

    def ended(self, execution: int, error: str | None) -> None:
        if error is None:
            self.counts.completed += 1
        else:
            self.counts.failed += 1
            self.counts.error = self.counts.error or error
        self._ended.append((execution, error is None))
        self._soon()

    def _soon(self) -> None:
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_at(max(loop.time(), self._told_at + EVERY_S), self.flush)

    def flush(self) -> None:
        """Put on the stream what was gathered."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._told_at = asyncio.get_running_loop().time()
        item = Item(counts=self.counts, messages=self._messages, waits=self._waits, ended=self._ended)
        self._messages, self._waits, self._ended = [], [], []
        self._step.publish(item)


class Progress:
    """What earlier attempts of a range came to: folded from its items."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.ended: dict[int, bool] = {}
        self.sent: dict[int, set[int]] = {}
        self.waits: dict[tuple[int, int], float] = {}
        self.error: str | None = None
        for data in items:
            if isinstance(data, Mapping) and data.get("kind", ITEM) == ITEM:
                self._take(data)

    def _take(self, item: Mapping[str, Any]) -> None:
        for message in item.get("messages", ()):
            self.sent.setdefault(message["execution"], set()).add(message["n"])
        for execution, which, until in item.get("waits", ()):
            self.waits[execution, which] = until
        for execution, completed in item.get("ended", ()):
            self.ended[execution] = completed
            self.sent.pop(execution, None)
        if not all(self.ended.values()):
            self.error = item.get("counts", {}).get("error") or self.error

    @property
    def counts(self) -> Counts:
        """The executions that have ended; the others begin anew."""
        completed = sum(self.ended.values())
        return Counts(
            submitted=len(self.ended), completed=completed, failed=len(self.ended) - completed, error=self.error
        )
