"""What `docs/scale.md` names is there: commands with their options, settings, and files."""

import re
from pathlib import Path

from stepwell.cli.command import app
from stepwell.settings import FIELDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scale.md").read_text()


def test_commands_of_the_page_are_understood() -> None:
    commands = re.findall(r"^stepwell (.+)$", TEXT, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        _, bound, _ = app.parse_args(command.split(), exit_on_error=False, print_error=False)
        assert bound is not None


def test_settings_of_the_page_exist() -> None:
    named = set(re.findall(r"`(\w+_(?:s|limits|active))`|`(workflow_limits)", TEXT))
    names = {name for pair in named for name in pair if name}
    assert {"dead_after_s", "watchdog_s", "shutdown_grace_s", "workflow_limits", "max_active"} <= names
    assert names <= FIELDS.keys()


def test_measurement_of_the_page_is_there() -> None:
    assert "python -m bench.cluster" in TEXT
    assert (ROOT / "bench" / "cluster.py").exists()
