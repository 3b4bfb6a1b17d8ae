"""Retries that ask for more than to go on: from an earlier step, with another input, with the newest version.

What may be kept and what is forgotten is decided in `core.again`; here is found what that decision needs to know of
the two definitions.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.errors import InvalidInputError, RefusedError
from stepwell.core.program import Compiled, StepOutline
from stepwell.core.state import State
from stepwell.core.typed import CONTEXT
from stepwell.engine.attempts import decode, recorded
from stepwell.engine.workflows import Workflows


class RetryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to retry a run. `from_step` is a step of its definition, else a key or a name of its history, to begin with
    again; `input_patch` is merged into its input (RFC 7396); `latest` takes the newest version of its workflow.
    """

    from_step: str = ""
    input_patch: dict[str, Any] = {}
    latest: bool = False


class InvalidPatchError(InvalidInputError):
    """With its `input_patch` the input is none to start with. `faults`: what is wrong, by name ("" is the whole)."""

    def __init__(self, faults: Mapping[str, Sequence[str]]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "; ".join(
            f"{name}: {fault}".removeprefix(": ") for name, found in self.faults.items() for fault in found
        )


AS_IT_WAS: Final = RetryOptions()
"""From what failed, with the same version and input."""


async def retry_command(workflows: Workflows, state: State, options: RetryOptions, actor: h.Actor) -> c.RetryRun:
    """The command for a run as it stands. Raises `RefusedError`, `InvalidPatchError`."""
    old = await workflows.compiled(state.definition)
    new, base = old, h.Base(version=state.version, definition=state.definition, input=state.input)
    if options.latest:
        newest = await workflows.find(state.workflow)
        new = await workflows.compiled(newest.digest)
        base = h.Base(version=newest.version, definition=newest.digest, input=state.input)
    if options.input_patch:
        base = msgspec.structs.replace(base, input=_patched(state.input, options.input_patch))
        await _check(new, base.input, options.input_patch)
    from_step, again = _again(new, state, options.from_step)
    return c.RetryRun(
        actor=actor,
        from_step=from_step,
        again=again,
        base=None if base.definition == state.definition and base.input is state.input else base,
        changed=() if base.definition == state.definition else _changed(old, new, state),
    )


def _patched(input: msgspec.Raw, patch: dict[str, Any]) -> msgspec.Raw:
    raw, _ = recorded(merged(decode(input), patch))
    return raw


async def _check(compiled: Compiled, input: msgspec.Raw, patch: dict[str, Any]) -> None:
    """That the input is one which a run may start with. Names with `$` are the engine's own; a context that stays as
    it is was read when the run began.

    Raises `InvalidPatchError`.
    """
    if compiled.check_input is None:
        return
    own = {name: value for name, value in decode(input).items() if name in patch or not _is_given(name)}
    found = await compiled.check_input(own)
    if found:
        raise InvalidPatchError(found)


def _is_given(name: str) -> bool:
    return name.startswith("$") or name == CONTEXT


def merged(target: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7396 §2): null removes."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept


def _again(compiled: Compiled, state: State, named: str) -> tuple[str, tuple[str, ...]]:
    """The step to begin with, and the steps of the outline that are done again for it."""
    if not named:
        return "", ()
    if compiled.outline:
        if all(step.key != named for step in compiled.outline):
            known = ", ".join(step.key for step in compiled.outline)
            raise RefusedError("no_such_step", f"expected one of the steps {known}, found {named!r}")
        return named, behind(compiled.outline, named)
    keys = [key for key, step in state.steps.items() if named in (key, step.name) and not step.forgotten]
    if not keys:
        raise RefusedError("no_such_step", f"the run has no step {named!r}", run_id=state.run_id)
    return min(keys, key=lambda key: state.steps[key].closed_seq), ()


def behind(outline: Sequence[StepOutline], key: str) -> tuple[str, ...]:
    """A step and all that wait for it, themselves or through others, in the order of the outline."""
    found = {key}
    while more := {step.key for step in outline if found & set(step.depends_on)} - found:
        found |= more
    return tuple(step.key for step in outline if step.key in found)


def _changed(old: Compiled, new: Compiled, state: State) -> tuple[str, ...]:
    """The steps of which the new definition says something else. Without an outline nobody can tell: all of them."""
    if not (old.outline and new.outline):
        return tuple(state.steps)
    now = _digests(new.outline)
    return tuple(key for key, digest in _digests(old.outline).items() if not digest or now.get(key) != digest)


def _digests(outline: Iterable[StepOutline]) -> dict[str, str]:
    return {step.key: step.digest for step in outline}
