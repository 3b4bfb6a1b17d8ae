"""An answer as it comes, chunk by chunk: reasoning and text go on to whoever watches, tool calls are put together.

Endpoints differ. Reasoning stands in `reasoning_content` or `reasoning`; calls come in pieces by their index, or
whole (some then give every call the index 0); ids may be missing. What they agree on is a `finish_reason` at the end:
an answer without one was cut off.
"""

from contextlib import suppress
from typing import Any, Final

import msgspec

from stepwell.core.program import StepContext
from stepwell.programs.agents.faults import failed
from stepwell.programs.agents.pieces import Pieces
from stepwell.programs.agents.port import AgentTurn, ToolCall

MAX_CHARACTERS: Final = 1_000_000
MAX_CALLS: Final = 128
REASONING: Final = ("reasoning_content", "reasoning")


class _Call:
    """A tool call that is still being written."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.text = ""


class Answer:
    """Takes the chunks of one answer, then gives the turn."""

    def __init__(self, step: StepContext) -> None:
        self._step = step
        self._thoughts = Pieces(step.think)
        self._words = Pieces(lambda text: step.publish({"text": text}))
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._characters = 0
        self._finish = ""
        self._usage: dict[str, int] = {}

    def take(self, chunk: Any) -> None:
        """One chunk (`ChatCompletionChunk`). Raises `StepFailure`."""
        self._step.heartbeat()
        if getattr(chunk, "usage", None) is not None:
            self._usage = _counts(chunk.usage)
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._take_delta(choice.delta)
            self._finish = choice.finish_reason or self._finish

    def _take_delta(self, delta: Any) -> None:
        thought = next((text for name in REASONING if isinstance(text := getattr(delta, name, None), str)), "")
        self._grow(thought)
        self._thoughts.take(thought)
        if isinstance(delta.content, str):
            self._grow(delta.content)
            self._text.append(delta.content)
            self._words.take(delta.content)
        for piece in delta.tool_calls or ():
            self._take_call(piece)

    def _take_call(self, piece: Any) -> None:
        call = self._call_of(piece)
        call.id = call.id or piece.id or ""
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            self._grow(piece.function.arguments or "")
            call.text += piece.function.arguments or ""

    def _call_of(self, piece: Any) -> _Call:
        """The call that a piece goes on with, or a new one: one with another id begins a call, whatever its index."""
        index = piece.index if isinstance(piece.index, int) else len(self._calls)
        call = self._by_index.get(index)
        if call is None or (piece.id and call.id and piece.id != call.id):
            if len(self._calls) >= MAX_CALLS:
                raise failed("agent_answer", f"expected at most {MAX_CALLS} calls of tools in one answer, found more")
            call = self._by_index[index] = _Call()
            self._calls.append(call)
        return call

    def _grow(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise failed("agent_answer", f"expected an answer of at most {MAX_CHARACTERS} characters, found more")

    def turn(self) -> AgentTurn:
        """The whole answer. Raises `StepFailure` when it is not whole."""
        self._thoughts.flush()
        self._words.flush()
        match self._finish:
            case "":
                raise failed("network", "the answer broke off", status=502, retryable=True)
            case "length":
                raise failed("agent_answer", "the answer is longer than the model may write, and was cut off")
            case "content_filter":
                raise failed("agent_answer", "the provider's filter withheld the answer")
        calls = tuple(_whole(call, number) for number, call in enumerate(self._calls))
        return AgentTurn(text="".join(self._text), tool_calls=calls, usage=self._usage)


def _whole(call: _Call, number: int) -> ToolCall:
    """Arguments that are no JSON stay the text they are: the model is told so by whoever calls the tool."""
    arguments: Any = call.text
    with suppress(msgspec.DecodeError, RecursionError):
        arguments = msgspec.json.decode(call.text) if call.text.strip() else {}
    return ToolCall(id=call.id or f"call_{number}", name=call.name, arguments=arguments)


def _counts(usage: Any) -> dict[str, int]:
    """The provider's numbers of tokens, by the names it has for them."""
    found = usage.model_dump() if hasattr(usage, "model_dump") else dict(usage)
    return {name: count for name, count in found.items() if isinstance(count, int) and not isinstance(count, bool)}
