"""Python functions as activities: the registry behind `@app.function`.

A function is async, or sync and then run in a thread. Its parameters are converted to their annotations by
msgspec, its result to JSON values. A first parameter that is annotated `StepContext` or named `ctx` gets the
context of the attempt. A thread cannot be stopped: what a sync function returns after its time-out is put on record,
and changes nothing.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeVar, get_type_hints, overload

import msgspec

from stepwell.core.errors import StepFailure, StepwellError
from stepwell.core.program import StepContext, Work
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.programs import function_problems as problems
from stepwell.programs.threads import Threads

_Call = TypeVar("_Call", bound=Callable[..., Any])
_AS_THEY_ARE = (int, bool, type(None))


class FunctionExistsError(StepwellError):
    """Another function is registered under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"expected a new name, found {self.name!r}, under which a function is registered"


class Parameter(msgspec.Struct, frozen=True):
    """One parameter that arguments may name."""

    name: str
    kind: Any
    required: bool


class Function:
    """A registered function and how its steps are tried."""

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        name: str,
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        threads: Threads | None = None,
    ) -> None:
        self.name = name
        self.call = call
        self.retry = retry
        self.timeout_s = timeout_s
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self.is_async = _is_async(call)
        self._threads = threads if threads is not None else Threads()
        self.wants_context, self.parameters, self.takes_any = _signature(call)
        self._without_arguments = self._work({})

    def work(self, arguments: Mapping[str, Any] | None = None) -> Work:
        """One call with these keyword arguments, as the work of a step."""
        return self._work(arguments) if arguments else self._without_arguments

    def _work(self, arguments: Mapping[str, Any]) -> Work:
        call = self.call
        if self.is_async and not arguments and not self.parameters and not self.wants_context:

            async def work_plain(_step: StepContext) -> Any:
                try:
                    result = await call()
                except Exception as error:  # the user's code can raise anything: it becomes a problem
                    raise problems.failed(error) from error
                return result if type(result) in _AS_THEY_ARE else _to_json(result)

            return work_plain

        async def work(step: StepContext) -> Any:
            converted = self._convert(arguments)
            positional = (step,) if self.wants_context else ()
            try:
                result = await self._invoke(step, positional, converted)
            except Exception as error:  # as above
                raise problems.failed(error) from error
            return result if type(result) in _AS_THEY_ARE else _to_json(result)

        return work

    async def _invoke(self, step: StepContext, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.is_async:
            return await self.call(*positional, **named)
        result = await self._threads.run(partial(self.call, *positional, **named), late=step.late)
        return await result if inspect.isawaitable(result) else result

    def _convert(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        converted = {}
        for parameter in self.parameters.values():
            if parameter.name in arguments:
                converted[parameter.name] = self._convert_one(parameter, arguments[parameter.name])
            elif parameter.required:
                raise problems.bad_argument(self.name, parameter.name, "expected a value, found none")
        for name in arguments.keys() - self.parameters.keys():
            if not self.takes_any:
                raise problems.bad_argument(self.name, name, f"expected {self._expected()}, found {name!r}")
            converted[name] = _copy(arguments[name])
        return converted

    def _convert_one(self, parameter: Parameter, value: Any) -> Any:
        # Copied, since the value is the flow's own: a function may change what it gets.
        if parameter.kind is Any:
            return _copy(value)
        try:
            return msgspec.convert(_copy(value), parameter.kind)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise problems.bad_argument(self.name, parameter.name, _lower_first(str(error))) from None

    def _expected(self) -> str:
        names = ", ".join(repr(name) for name in self.parameters)
        return f"only {names}" if names else "no arguments"


class Functions:
    """The functions that flows may call, by name."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}
        self._threads = Threads()

    @overload
    def function(self, call: _Call, /) -> _Call: ...

    @overload
    def function(
        self,
        call: None = None,
        /,
        *,
        name: str | None = None,
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
    ) -> Callable[[_Call], _Call]: ...

    def function(
        self,
        call: _Call | None = None,
        /,
        *,
        name: str | None = None,
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
    ) -> Any:
        """Register a function, as a decorator with or without options. The function itself stays as it is."""

        def register(call: _Call) -> _Call:
            named = name or call.__name__
            self.add(
                Function(
                    call,
                    name=named,
                    retry=retry,
                    timeout_s=timeout_s,
                    heartbeat_timeout_s=heartbeat_timeout_s,
                    threads=self._threads,
                )
            )
            return call

        return register if call is None else register(call)

    def add(self, function: Function) -> None:
        """Raises `FunctionExistsError`: a name means one function."""
        if function.name in self._functions:
            raise FunctionExistsError(function.name)
        self._functions[function.name] = function

    def find(self, name: str) -> Function | None:
        return self._functions.get(name)

    def names(self) -> Collection[str]:
        return self._functions.keys()


def _is_async(call: Callable[..., Any]) -> bool:
    # What is asked of `__call__` is whether it is async, not whether there is one (B004).
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


def _signature(call: Callable[..., Any]) -> tuple[bool, dict[str, Parameter], bool]:
    """Whether a context is wanted, the parameters that can be named, and whether any name is taken."""
    parameters = list(inspect.signature(call).parameters.values())
    hints = _hints(call)
    wants_context = bool(parameters) and _is_context(parameters[0], hints)
    named = {}
    for parameter in parameters[1:] if wants_context else parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(f"expected parameters that can be named, found {str(parameter)!r} of {call!r}")
        required = parameter.default is parameter.empty
        named[parameter.name] = Parameter(parameter.name, hints.get(parameter.name, Any), required)
    return wants_context, named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _is_context(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> bool:
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
        return False
    return parameter.name == "ctx" or hints.get(parameter.name) is StepContext


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, of what a `partial` wraps, or of an object that can be called."""
    target = inspect.unwrap(call)
    while isinstance(target, partial):
        target = target.func
    target = target if inspect.isroutine(target) else type(target).__call__
    return get_type_hints(target, include_extras=True)


def _to_json(result: Any) -> Any:
    """The result as it will read from the history after a crash: there and back again (NaN is null, for one)."""
    try:
        return msgspec.json.decode(msgspec.json.encode(result))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise StepFailure(problems.result_problem(error)) from None


def _copy(value: Any) -> Any:
    """A JSON value of its own."""
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if type(value) is list else value


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
