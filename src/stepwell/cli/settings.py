"""`stepwell settings`: every setting, its value and where that comes from."""

from typing import Any

from stepwell.cli.options import HERE, Json, Where
from stepwell.cli.output import write_json, write_table


def show_settings(*, json: Json = False, where: Where = HERE) -> None:
    """Show all settings."""
    listed = where.settings().listed()
    if json:
        write_json([{"name": one.name, "value": one.value, "origin": one.origin} for one in listed])
        return
    rows = [(one.name, _text(one.value), one.origin, one.meaning) for one in listed]
    write_table(("name", "value", "origin", "meaning"), rows, empty="no settings")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value)
