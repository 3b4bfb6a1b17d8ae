"""Where log lines go: stderr, one line each, as text or as JSON. Standard output belongs to a command's result.

What is logged while a run is driven names the run; within an attempt also the step, the attempt, and the span.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from stepwell.core.place import PLACE
from stepwell.core.trace import parts_of
from stepwell.security.masking import mask_event
from stepwell.settings import LogFormat, LogLevel


def set_up_logging(level: LogLevel, format: LogFormat) -> None:
    """Route structlog and the standard library's loggers (uvicorn, asyncio) to stderr, in one format."""
    number = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_place,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = _renderer(format)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_foreign(renderer)))
    # What other libraries say about themselves is noise below a warning.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def add_place(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A line of structlog or of the standard library with what is being done here, unless it says that itself."""
    place = PLACE.get()
    if place is None or line.setdefault("run_id", place.run_id) != place.run_id:
        return line  # a line about another run than the one that led to it
    if place.key:
        line.setdefault("step", place.key)
        line.setdefault("attempt", place.attempt)
    if trace := place.traceparent:
        line["trace_id"], line["span_id"], _ = parts_of(trace)
    return line


def _renderer(format: LogFormat) -> list[Any]:
    masked = [structlog.processors.format_exc_info, mask_event]  # tracebacks as text first: they may hold secrets too
    if format == "json":
        return [*masked, structlog.processors.JSONRenderer()]
    colors = sys.stderr.isatty()
    plain = structlog.dev.plain_traceback
    return [*masked, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, pad_event_to=0)]


def _foreign(renderer: list[Any]) -> list[Any]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
