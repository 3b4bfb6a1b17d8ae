"""Where log lines go: stderr, one line each, as text or as JSON. Standard output belongs to a command's result."""

import logging
import sys
from typing import Any

import structlog

from stepwell.security.masking import mask_event
from stepwell.settings import LogFormat, LogLevel


def set_up_logging(level: LogLevel, format: LogFormat) -> None:
    """Route structlog and the standard library's loggers (uvicorn, asyncio) to stderr, in one format."""
    number = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
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


def _renderer(format: LogFormat) -> list[Any]:
    masked = [structlog.processors.format_exc_info, mask_event]  # tracebacks as text first: they may hold secrets too
    if format == "json":
        return [*masked, structlog.processors.JSONRenderer()]
    colors = sys.stderr.isatty()
    plain = structlog.dev.plain_traceback
    return [*masked, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, pad_event_to=0)]


def _foreign(renderer: list[Any]) -> list[Any]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
