"""What a range of executions tells while it runs: items on the stream of its run, gathered for a moment.

One item holds what happened since the one before: messages that the broker acknowledged, waits that began, answers to
queries and expectations, executions that ended, and the counts so far. After a crash these say what need not be done
again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

import msgspec

from stepwell.brokers.port import Delivery
from stepwell.core.program import StepContext
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.running import Message

EVERY_S: Final = 0.05
MAX_MESSAGES: Final = 2_000
ITEM: Final = "pipeline"
NOTHING: Final = object()
"""Stands for an answer that is not on record (None is one)."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An acknowledged message: number `n` of its execution. Payload and headers are JSON, on their way in as text.

    `delivery` and `at` are on record with its batch; items from before there were batches have them here.
    """

    execution: int
    n: int
    stage: str
    payload: Any
    headers: Any = {}
    key: str | None = None
    delivery: Delivery | None = None
    at: float = 0.0


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """So many messages one after the other that were acknowledged together, the first of them with that delivery."""

    delivery: Delivery
    count: int = 1
    at: float


class Counts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Executions of a range: `submitted` were begun; `messages` were acknowledged, in earlier ranges too. `error` is
    the first that an execution ended with; `trouble` what keeps a message from being sent now.
    """

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    messages: int = 0
    error: str | None = None
    trouble: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is on the stream. `ended`: (execution, whether it completed); `waits`: (execution, which, until when);
    `answers`: (execution, which, what it was given).
    """

    kind: str = ITEM
    counts: Counts = msgspec.field(default_factory=Counts)
    messages: list[Sent] = []
    batches: list[Batch] = []
    waits: list[tuple[int, int, float]] = []
    answers: list[tuple[int, int, Any]] = []
    ended: list[tuple[int, bool]] = []


def is_item(data: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether what an item of a run's stream holds is an `Item`."""
    return isinstance(data, Mapping) and data.get("kind", ITEM) == ITEM and "counts" in data


def messages_of(item: Mapping[str, Any]) -> list[Sent]:
    """The messages of an item that was read, each with its delivery."""
    messages = msgspec.convert(item.get("messages", []), list[Sent])
    batches = msgspec.convert(item.get("batches", []), list[Batch])
    if not batches:
        return messages
    told = ((delivery, batch.at) for batch in batches for delivery in batch.delivery.of_batch(batch.count))
    return [
        msgspec.structs.replace(message, delivery=delivery, at=at)
        for message, (delivery, at) in zip(messages, told, strict=True)
    ]


class Report:
    """The reporter of one attempt of one range."""

    def __init__(self, step: StepContext, counts: Counts) -> None:
        self._step = step
        self.counts = counts
        self._messages: list[Sent] = []
        self._batches: list[Batch] = []
        self._waits: list[tuple[int, int, float]] = []
        self._answers: list[tuple[int, int, Any]] = []
        self._ended: list[tuple[int, bool]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def begun(self, executions: int) -> None:
        self.counts.submitted += executions
        if self._handle is None:
            self._soon()

    def sent(self, messages: Sequence[Message], first: Delivery, at: float) -> None:
        """Messages that were acknowledged together, the first of them with that delivery."""
        self._messages += [
            Sent(
                execution=message.execution,
                n=message.n,
                stage=message.stage,
                payload=message.payload,
                headers=message.header,
                key=message.key,
            )
            for message in messages
        ]
        self._batches.append(Batch(delivery=first, count=len(messages), at=at))
        self.counts.messages += len(messages)
        self.counts.trouble = None
        if len(self._messages) >= MAX_MESSAGES:
            self.flush()
        elif self._handle is None:
            self._soon()

    def trouble(self, text: str) -> None:
        self.counts.trouble = text
        self._soon()

    def waiting(self, execution: int, which: int, until: float) -> None:
        self._waits.append((execution, which, until))
        self._soon()

    def answered(self, execution: int, which: int, answer: Any) -> None:
        """At once, since whoever asked waits until it is on disk."""
        self._answers.append((execution, which, answer))
        self.flush()

    def ended(self, executions: Sequence[tuple[int, str | None]]) -> None:
        """Executions that ended, each with the error that it ended with."""
        failed = [error for _, error in executions if error is not None]
        if failed:
            self.counts.failed += len(failed)
            self.counts.error = self.counts.error or failed[0]
        self.counts.completed += len(executions) - len(failed)
        self._ended += [(execution, error is None) for execution, error in executions]
        if self._handle is None:
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
        item = Item(
            counts=self.counts,
            messages=self._messages,
            batches=self._batches,
            waits=self._waits,
            answers=self._answers,
            ended=self._ended,
        )
        self._messages, self._batches = [], []
        self._waits, self._answers, self._ended = [], [], []
        self._step.publish(msgspec.Raw(JSON.encode(item)))


class Progress:
    """What earlier attempts of a range came to: folded from its items, oldest first. `messages` came before it."""

    def __init__(self, messages: int = 0) -> None:
        self.ended: dict[int, bool] = {}
        self.sent: dict[int, set[int]] = {}
        self.waits: dict[tuple[int, int], float] = {}
        self.answers: dict[tuple[int, int], Any] = {}
        self.messages = messages
        self.error: str | None = None

    def take(self, item: Any) -> None:
        """The next item of the stream; what is none of ours is passed over."""
        if not isinstance(item, Mapping) or item.get("kind", ITEM) != ITEM:
            return
        for message in item.get("messages", ()):
            self.sent.setdefault(message["execution"], set()).add(message["n"])
        for execution, which, until in item.get("waits", ()):
            self.waits[execution, which] = until
        for execution, which, answer in item.get("answers", ()):
            self.answers[execution, which] = answer
        for execution, completed in item.get("ended", ()):
            self.ended[execution] = completed
            self.sent.pop(execution, None)
        counts = item.get("counts", {})
        self.messages = counts.get("messages", self.messages)
        self.error = counts.get("error") or self.error

    @property
    def counts(self) -> Counts:
        """The executions that have ended; the others begin anew."""
        completed = sum(self.ended.values())
        return Counts(
            submitted=len(self.ended),
            completed=completed,
            failed=len(self.ended) - completed,
            messages=self.messages,
            error=self.error,
        )
