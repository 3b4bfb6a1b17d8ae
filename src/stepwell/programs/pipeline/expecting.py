"""The `expect` of a stage (an extension): a message that must come on a topic or queue before the run goes on.

    "expect": {"topic": "orders.confirmed", "within": "10s", "match": {"id": {"$ref": "id"}}, "as": "state.answer"}

`match` names fields of the message and what they must be, in any value form. Without a match in time the execution
fails, so a pipeline can verify a flow from end to end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stepwell.programs.pipeline import waits
from stepwell.programs.pipeline.conditions import same
from stepwell.programs.pipeline.execution import Execution, found, put
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.paths import Value
from stepwell.programs.pipeline.strings import shown
from stepwell.programs.pipeline.values import Where, compile_value

DEFAULT_WITHIN_S: Final = 30.0
_NAMES: Final = ("topic", "within", "match", "as", "producer", "sample")

Matches = Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """`topic` is a topic of Kafka or a queue of RabbitMQ; `producer` names the connection to it. In a simulation
    `sample` stands in for the message.
    """

    stage: str
    topic: str
    producer: str
    within_s: float
    match: tuple[tuple[tuple[str, ...], Value], ...]
    target: tuple[str, ...]
    sample: Value | None

    def matcher(self, execution: Execution) -> Matches:
        """Whether a message's content is the expected one; what it must be is computed now."""
        wanted = [(path, value(execution)) for path, value in self.match]

        def matches(content: Any) -> bool:
            try:
                return all(same(found(content, path), value) for path, value in wanted)
            except KeyError:
                return False

        return matches

    def take(self, execution: Execution, content: Any) -> None:
        """Keep the message where the pipeline wants it."""
        if self.target:
            if execution.state is None:
                execution.state = {}
            put(execution.state, self.target, content, clash="state")


def compile_expectation(given: Any, stage: str, step: str, producer: str) -> Expectation:
    """Raises `RuleError`."""
    if not isinstance(given, dict):
        raise RuleError(f"expect must be an object for stage: {stage}")
    for name in given:
        if name not in _NAMES:
            raise RuleError(f"expect has no member '{name}' (it has {', '.join(_NAMES)}) for stage: {stage}")
    topic, match = given.get("topic"), given.get("match", {})
    if not isinstance(topic, str) or not topic.strip():
        raise RuleError(f"expect.topic must not be blank for stage: {stage}")
    if not isinstance(match, dict) or not all(all(field.split(".")) for field in match):
        raise RuleError(f"expect.match must be an object of fields (got {shown(match)}) for stage: {stage}")
    where = Where(field="expect", step=step)
    return Expectation(
        stage=stage,
        topic=topic.strip(),
        producer=_producer(given, stage) or producer,
        within_s=_within(given.get("within"), stage),
        match=tuple((tuple(field.split(".")), compile_value(value, where)) for field, value in match.items()),
        target=_target(given.get("as"), stage),
        sample=compile_value(given["sample"], where) if "sample" in given else None,
    )


def _producer(given: dict[str, Any], stage: str) -> str:
    value = given.get("producer", "")
    if not isinstance(value, str):
        raise RuleError(f"expect.producer must be a text (got {shown(value)}) for stage: {stage}")
    return value.strip()


def _within(given: Any, stage: str) -> float:
    if given is None:
        return DEFAULT_WITHIN_S
    seconds = waits.seconds_of(given) if isinstance(given, str) else 0.0
    if seconds <= 0:
        raise RuleError(f"expect.within must be a length of time above 0 (got {shown(given)}) for stage: {stage}")
    return seconds


def _target(given: Any, stage: str) -> tuple[str, ...]:
    if given is None:
        return ()
    root, _, rest = given.partition(".") if isinstance(given, str) else ("", "", "")
    if root != "state" or not rest or not all(rest.split(".")):
        raise RuleError(f"expect.as must be a path below state (got {shown(given)}) for stage: {stage}")
    return tuple(rest.split("."))
