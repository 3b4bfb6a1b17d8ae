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
