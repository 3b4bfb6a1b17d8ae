"""Errors of the program's own making, and where they happened."""

from typing import Any

import msgspec

from stepwell.core.errors import ERROR_BASE, Problem, ProgramError


def failure(
    kind: str,
    detail: str,
    at: str,
    *,
    status: int = 500,
    title: str = "",
    data: Any = None,
    retryable: bool = False,
    forget: tuple[str, ...] = (),
) -> ProgramError:
    """An error of the program's own making: mostly the same each time, so trying again cannot help."""
    problem = Problem(
        type=ERROR_BASE + kind,
        title=title or f"{kind.replace('_', ' ').capitalize()} error",
        status=status,
        detail=detail,
        instance=at,
        data=data,
        retryable=retryable,
    )
    return ProgramError(problem, forget)


def placed(error: ProgramError, at: str) -> ProgramError:
    """The error with its place in the definition, unless it has one."""
    if error.problem.instance:
        return error
    return ProgramError(msgspec.structs.replace(error.problem, instance=at), error.forget)
