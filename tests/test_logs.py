"""Log lines: one format for everybody, on stderr, without secrets."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from stepwell.logs import set_up_logging
from stepwell.settings import LogFormat

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail() -> None:
    raise ValueError(f"cannot read {TOKEN}")


@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_hidden_wherever_they_stand(format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", format)
    log = structlog.get_logger()
    log.info("request.failed", path="/api/v1/workflow-callbacks/run.mac", authorization="Basic abc", n=7)
    log.info("calling", url=f"https://ann:open-sesame@a.example/?token={TOKEN}")
    logging.getLogger("some.library").warning("retrying with %s", f"Bearer {TOKEN}")
    try:
        fail()
    except ValueError:
        log.exception("step.failed")
        logging.getLogger("some.library").exception("it failed")

    said = capsys.readouterr().err

    for secret in ("run.mac", "Basic abc", "open-sesame", TOKEN):
        assert secret not in said
    assert said.count("ValueError: cannot read ***") == 2
    assert "/api/v1/workflow-callbacks/***" in said
    if format == "json":
        assert json.loads(said.splitlines()[0])["n"] == 7
