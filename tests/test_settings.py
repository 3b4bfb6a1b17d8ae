"""Settings: where values come from, and what is refused."""

from pathlib import Path

import pytest

from stepwell.settings import LoadedSettings, Settings, SettingsError, load_settings, masked


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_set_is_the_defaults() -> None:
    assert load_settings(environ={}) == LoadedSettings(settings=Settings())


def test_later_places_win(folder: Path) -> None:
    (folder / "stepwell.toml").write_text('db = "sqlite:///file.db"\nport = 1\nidle_s = 1\n')
    environ = {"STEPWELL_PORT": "2", "STEPWELL_IDLE_S": "2.5", "HOME": "/"}

    loaded = load_settings(environ=environ, flags={"port": 3, "host": None})

    assert loaded.settings == Settings(db="sqlite:///file.db", port=3, idle_s=2.5)
    assert loaded.origins == {"db": "stepwell.toml", "idle_s": "STEPWELL_IDLE_S", "port": "--port"}


def test_another_file(folder: Path) -> None:
    (folder / "other.toml").write_text('log_level = "debug"\n')

    for loaded in (load_settings(config="other.toml"), load_settings(environ={"STEPWELL_CONFIG": "other.toml"})):
        assert loaded.settings.log_level == "debug"


def test_variables_of_tests_and_empty_ones_are_no_settings() -> None:
    environ = {"STEPWELL_SOAK": "1", "STEPWELL_PORT": ""}

    assert load_settings(environ=environ).settings == Settings()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STEPWELL_PROT": "1"}, "STEPWELL_PROT: there is no setting 'prot'; did you mean 'port'?"),
        ({"STEPWELL_ZZZZZ": "1"}, "STEPWELL_ZZZZZ: there is no setting 'zzzzz' (there are: db, host, port, "),
        ({"STEPWELL_PORT": "many"}, "STEPWELL_PORT: port: expected int, found 'many'"),
        ({"STEPWELL_PORT": "70000"}, "STEPWELL_PORT: port: expected int <= 65535, found '70000'"),
        ({"STEPWELL_IDLE_S": "-1"}, "STEPWELL_IDLE_S: idle_s: expected float >= 0.0, found '-1'"),
        ({"STEPWELL_LOG_FORMAT": "xml"}, "log_format: expected one of text, json, found 'xml'"),
    ],
)
def test_variables_that_are_refused(environ: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ=environ)

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1", "stepwell.toml: there is no setting 'prot'; did you mean 'port'?"),
        ('port = "80"', "stepwell.toml: port: expected int, found '80'"),
        ("port = ", "stepwell.toml is no TOML: "),
        ("[server]\nport = 1", "stepwell.toml: there is no setting 'server'"),
    ],
)
def test_files_that_are_refused(folder: Path, text: str, expected: str) -> None:
    (folder / "stepwell.toml").write_text(text)

    with pytest.raises(SettingsError) as refused:
        load_settings(environ={})

    assert str(refused.value).startswith(expected)


def test_named_file_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"none\.toml does not exist: name another file with --config"):
        load_settings(config="none.toml", environ={})


def test_or_else_changes_only_what_nobody_set() -> None:
    loaded = load_settings(environ={"STEPWELL_DB": "sqlite:///mine.db"})

    changed = loaded.or_else("the app", db="sqlite:///app.db", log_level="warning")

    assert changed.settings == Settings(db="sqlite:///mine.db", log_level="warning")
    assert changed.origins["log_level"] == "the app"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgresql://ann:p%40ss@db:5432/runs", "postgresql://ann:***@db:5432/runs"),
        ("postgresql://ann@db/runs", "postgresql://ann@db/runs"),
        (5, 5),
    ],
)
def test_passwords_in_urls_are_masked(value: object, shown: object) -> None:
    assert masked(value) == shown


# --- lists and secrets ----------------------------------------------------------------------------------------------


def test_list_is_a_list_in_the_file_and_text_with_commas_in_a_variable(folder: Path) -> None:
    (folder / "stepwell.toml").write_text('cors_origins = ["https://a.example", "https://b.example"]\n')
    environ = {"STEPWELL_EGRESS_PORTS": "443, 8443", "STEPWELL_JWT_AUDIENCE": "api,", "STEPWELL_EGRESS_HTTP": "true"}

    settings = load_settings(environ=environ).settings

    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.egress_ports, settings.jwt_audience, settings.egress_http) == ((443, 8443), ("api",), True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STEPWELL_EGRESS_PORTS": "80,https"}, "egress_ports: expected int in the list, found '80,https'"),
        ({"STEPWELL_EGRESS_PORTS": "0"}, "egress_ports: expected int >= 1 in the list, found '0'"),
        ({"STEPWELL_JWT_LEEWAY_S": "61"}, "jwt_leeway_s: expected float <= 60.0, found '61'"),
        ({"STEPWELL_AUTH_FAILURES_PER_MINUTE": "-1"}, "expected int >= 0, found '-1'"),
        ({"STEPWELL_RATE_LIMIT": "many"}, "rate_limit: expected int, found 'many'"),
        ({"STEPWELL_MAX_STREAMS": "0"}, "max_streams: expected int >= 1, found '0'"),
        ({"STEPWELL_MAX_HEADER_BYTES": "70000"}, "max_header_bytes: expected int <= 65536, found '70000'"),
        ({"STEPWELL_MAX_BODY_BYTES": "10"}, "max_body_bytes: expected int >= 1024, found '10'"),
        ({"STEPWELL_MAX_UPLOAD_BYTES": "x"}, "max_upload_bytes: expected int, found 'x'"),
        ({"STEPWELL_MAX_JSON_DEPTH": "1000"}, "max_json_depth: expected int <= 256, found '1000'"),
        ({"STEPWELL_AUTH_QUERY_TOKENS": "perhaps"}, "auth_query_tokens: expected bool, found 'perhaps'"),
    ],
)
def test_variables_of_security_that_are_refused(environ: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ=environ)

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('trusted_networks = "10.1.0.0/16"', "trusted_networks: expected a list, found '10.1.0.0/16'"),
        ("egress_allow = [1]", "egress_allow: expected str in the list, found [1]"),
        ("jwt_secret = 12345678", "jwt_secret: expected str, found a value that is not shown"),
    ],
)
def test_lists_and_secrets_of_files_that_are_refused(folder: Path, text: str, expected: str) -> None:
    (folder / "stepwell.toml").write_text(text)

    with pytest.raises(SettingsError) as refused:
        load_settings(environ={})

    assert str(refused.value) == f"stepwell.toml: {expected}"


def test_secret_is_listed_without_its_value() -> None:
    loaded = load_settings(environ={"STEPWELL_JWT_SECRET": "open-sesame"})
    listed = {one.name: one.value for one in loaded.listed()}

    assert loaded.settings.jwt_secret == "open-sesame"
    assert listed["jwt_secret"] == "***"
    assert "open-sesame" not in str(listed)
    assert {one.name: one.value for one in load_settings(environ={}).listed()}["jwt_secret"] == ""
