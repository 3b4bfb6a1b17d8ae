"""The shapes of definitions, as clients send and get them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stepwell.doors.kit import NumberedPage
from stepwell.doors.runs.wire import Id, Instant, Pagination, Request, Shape


class DefinitionDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a definition says. What is inside the lists is read with its own places and messages."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    steps: list[Any]
    description: str | None = None
    inputs: list[Any] | msgspec.UnsetType = msgspec.UNSET
    envs: list[Any] | msgspec.UnsetType = msgspec.UNSET
    output: Any = msgspec.UNSET
    services: list[str] | msgspec.UnsetType = msgspec.UNSET
    timeout: str | msgspec.UnsetType = msgspec.UNSET
    max_parallel: int | msgspec.UnsetType = msgspec.UNSET


class ScheduleRequest(Request, frozen=True, kw_only=True, omit_defaults=True):
    """When runs start by themselves: a `cron` rule in a time zone, or once `at` an instant; or only `paused`."""

    type: Literal["recurring", "once"] | None = None
    cron: str | None = None
    at: str | None = None
    timezone: str = "UTC"
    inputs: dict[str, Any] | None = None
    paused: bool | None = None


class EnvsRequest(Request, frozen=True, kw_only=True):
    """Values of declared envs, kept beside the document; null goes back to the document's own."""

    envs: dict[str, str | None]


class DefinitionQuery(NumberedPage, frozen=True, kw_only=True, rename="camel"):
    """Which definitions; `search` is a part of the name, in any case. `isDraft`: those never published."""

    limit: Annotated[int, Meta(ge=1, le=100, description="how many at most")] = 20
    is_draft: bool = False
    search: str = ""


class UpcomingQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many firings to look ahead."""

    limit: Annotated[int, Meta(ge=1, le=100, description="how many at most")] = 10


class EnvShown(Shape, frozen=True, kw_only=True):
    """An env that a definition declares. The value of a secret one is never shown."""

    name: str
    value: str
    secret: bool


class ScheduleShown(Shape, frozen=True, kw_only=True):
    """A schedule as it stands."""

    type: Literal["recurring", "once"]
    cron: str | None
    at: Instant | None
    timezone: str
    paused: bool
    inputs: dict[str, Any]
    next_run_at: Instant | None
    last_run_at: Instant | None
    last_run_id: str | None


class DefinitionSummary(Shape, frozen=True, kw_only=True):
    """A definition in a list. `scheduleStatus`: true is paused, false is active, null is none."""

    id: Id
    name: str
    description: str | None
    services: list[str]
    created_at: Instant
    updated_at: Instant
    schedule_status: bool | None
    shared_team_keys: list[str]
    version: int
    is_draft: bool


class Definition(DefinitionSummary, frozen=True, kw_only=True):
    """A definition in one of its versions."""

    version_id: Id
    is_default: bool
    inputs: list[dict[str, Any]]
    envs: list[EnvShown]
    steps: list[dict[str, Any]]
    schedule: ScheduleShown | None
    output: Any = msgspec.UNSET
    timeout: str | msgspec.UnsetType = msgspec.UNSET
    max_parallel: int | msgspec.UnsetType = msgspec.UNSET


class DefinitionAnswer(Shape, frozen=True, kw_only=True):
    """One definition."""

    success: Literal[True] = True
    workflow: Definition


class DefinitionList(Shape, frozen=True, kw_only=True):
    """A page of definitions, newest first."""

    success: Literal[True] = True
    workflows: list[DefinitionSummary]
    pagination: Pagination


class VersionShown(Shape, frozen=True, kw_only=True):
    """A version of a definition: what it says never changes."""

    id: Id
    version: int
    is_default: bool
    is_draft: bool
    created_at: Instant


class VersionList(Shape, frozen=True, kw_only=True):
    """All versions, newest first."""

    success: Literal[True] = True
    versions: list[VersionShown]


class ScheduleAnswer(Shape, frozen=True, kw_only=True):
    """A schedule, or none."""

    success: Literal[True] = True
    schedule: ScheduleShown | None


class UpcomingRun(Shape, frozen=True, kw_only=True):
    """A firing to come."""

    scheduled_at: Instant


class UpcomingRuns(Shape, frozen=True, kw_only=True):
    """The next firings; none while the schedule is paused."""

    success: Literal[True] = True
    upcoming_runs: list[UpcomingRun]
    timezone: str | None


class Deleted(Shape, frozen=True, kw_only=True):
    """It is gone."""

    success: Literal[True] = True
