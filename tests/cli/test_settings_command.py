"""`stepwell settings`: values, origins, secrets."""

import pytest

from .commands import Shell


def test_every_setting_has_its_origin(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.write("stepwell.toml", 'port = 9000\nhost = "localhost"\n')
    monkeypatch.setenv("STEPWELL_HOST", "127.0.0.2")

    shown = {one["name"]: one for one in inside.run("settings", "--db", "sqlite:///my.db", "--json").json}

    assert shown["db"] == {"name": "db", "value": "sqlite:///my.db", "origin": "--db"}
    assert shown["host"] == {"name": "host", "value": "127.0.0.2", "origin": "STEPWELL_HOST"}
    assert shown["port"] == {"name": "port", "value": 9000, "origin": "stepwell.toml"}
    assert shown["idle_s"] == {"name": "idle_s", "value": 5.0, "origin": "default"}


def test_passwords_are_masked(inside: Shell) -> None:
    url = "postgresql://ann:open-sesame@db/runs"

    for output in ("--json", ""):
        ran = inside.run("settings", "--db", url, *([output] if output else []))
        assert "postgresql://ann:***@db/runs" in ran.out
        assert "open-sesame" not in ran.out


def test_secrets_are_masked_and_lists_are_lists(inside: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_JWT_SECRET", "open-sesame-and-nobody-knows-it")
    monkeypatch.setenv("STEPWELL_CORS_ORIGINS", "https://a.example,https://b.example")

    shown = {one["name"]: one["value"] for one in inside.run("settings", "--json").json}
    table = inside.run("settings").out

    assert (shown["jwt_secret"], shown["cors_origins"]) == ("***", ["https://a.example", "https://b.example"])
    assert "https://a.example, https://b.example" in table
    assert "open-sesame" not in table
