"""Every fault of the user or the system is one clear sentence on stderr, and exit code 2: what, where, what to do."""

import os
import sqlite3

import pytest

from . import documents
from .commands import Shell, read_until


def greet(shell: Shell, *arguments: str) -> str:
    """`stepwell run greet.yaml` with these arguments, which is refused."""
    shell.write("greet.yaml", documents.GREET)
    return shell.run("run", "greet.yaml", *arguments).sentence


def test_malformed_document(inside: Shell) -> None:
    inside.write("bad.yaml", "document: {dsl: '1.0.0'\ndo: [")

    ran = inside.run("run", "bad.yaml")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("bad.yaml:")
    assert not (inside.folder / "stepwell.db").exists()


def test_every_fault_of_a_document_is_named_with_its_line(inside: Shell) -> None:
    inside.write("bad.yaml", documents.flow("bad", "- one: {wait: soon}\n- two: {call: nobody}\n"))

    ran = inside.run("run", "bad.yaml")

    assert [line.split(":")[:2] for line in ran.err.splitlines()] == [["bad.yaml", "3"], ["bad.yaml", "4"]]


def test_unknown_function(inside: Shell) -> None:
    inside.write("unknown.yaml", documents.UNKNOWN)

    sentence = inside.run("run", "unknown.yaml").sentence

    assert "'nobody'" in sentence
    assert sentence.startswith("unknown.yaml:4: /do/0/call/call: ")


@pytest.mark.parametrize("text", ["{nope", "NaN", "", "{'a': 1}", '{"a": 1} x', "\udcff"])
def test_input_that_is_no_json(inside: Shell, text: str) -> None:
    assert greet(inside, "--input", text).startswith("stepwell: --input is no JSON (")


def test_input_file_that_is_not_there(inside: Shell) -> None:
    assert greet(inside, "--input", "@none.json") == (
        "stepwell: --input: none.json cannot be read (No such file or directory): name another file"
    )


def test_document_that_is_not_there(inside: Shell) -> None:
    assert inside.run("run", "none.yaml").sentence == "stepwell: none.yaml does not exist: name a document"


def test_document_that_is_no_text(inside: Shell) -> None:
    (inside.folder / "image.yaml").write_bytes(b"do: \xff\xfe\x00")

    assert "image.yaml is not UTF-8 text (byte 4)" in inside.run("run", "image.yaml").sentence


def test_foreign_database(inside: Shell) -> None:
    with sqlite3.connect(inside.folder / "other.db") as other:
        other.execute("CREATE TABLE song (name TEXT)")
    other.close()

    assert "other.db is a database of another program" in greet(inside, "--db", "sqlite:///other.db")


def test_file_that_is_no_database(inside: Shell) -> None:
    inside.write("notes.db", "dear diary, " * 100)

    assert "notes.db is no SQLite database" in greet(inside, "--db", "sqlite:///notes.db")


def test_torn_database(inside: Shell) -> None:
    greet_once(inside)
    path = inside.folder / "stepwell.db"
    os.truncate(path, path.stat().st_size // 3)

    assert "stepwell.db is damaged" in greet(inside)


def test_database_of_a_newer_version(inside: Shell) -> None:
    greet_once(inside)
    with sqlite3.connect(inside.folder / "stepwell.db") as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()

    assert "stepwell.db was written by a newer Stepwell (schema 999, " in greet(inside)
    assert "newer Stepwell" in inside.run("runs", "list").sentence


def greet_once(shell: Shell) -> None:
    shell.write("greet.yaml", documents.GREET)
    assert shell.run("run", "greet.yaml").code == 0


@pytest.mark.parametrize("url", ["postgres", "sqlite:/x.db", "sqlite:///", "file.db", "mysql://root@host/db"])
def test_database_url_that_is_none(inside: Shell, url: str) -> None:
    assert f"'{url}' is no database URL" in greet(inside, "--db", url)


def test_folder_that_is_not_there(inside: Shell) -> None:
    assert f"the folder {inside.folder}/none does not exist" in greet(inside, "--db", "sqlite:///none/x.db")


def test_database_that_is_a_folder(inside: Shell) -> None:
    (inside.folder / "x.db").mkdir()

    assert "x.db is a folder: name a file" in greet(inside, "--db", "sqlite:///x.db")


def test_place_that_cannot_be_written(inside: Shell) -> None:
    """/proc takes no files, not even root's."""
    assert "/proc/x.db.lock cannot be created" in greet(inside, "--db", "sqlite:////proc/x.db")


def test_looking_at_a_database_that_is_not_there_makes_none(inside: Shell) -> None:
    assert "there is no database stepwell.db" in inside.run("runs", "list").sentence
    assert list(inside.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "cancel", "pause", "resume", "stop", "retry", "approve", "watch"])
def test_run_that_is_not_there(inside: Shell, command: str) -> None:
    greet_once(inside)

    assert inside.run("runs", command, "none").sentence == "stepwell: there is no run none"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nope",), 'Unknown command "nope"'),
        (("run", "--nope"), "Unknown option"),
        (("run",), "expected a document, or --resume RUN_ID"),
        (("runs", "list", "--limit", "ten"), 'unable to convert "ten" into int'),
        (("runs", "list", "--limit", "0"), "expected a number above 0"),
        (("runs", "list", "--status", "dead"), "--status"),
        (("runs", "show"), "stepwell runs show: RUN_ID requires an argument."),
    ],
)
def test_command_line_that_makes_no_sense(inside: Shell, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in inside.run(*arguments).sentence


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("shop", "expected module:attribute"),
        ("none:app", "there is no module 'none' here"),
        ("shop:none", "expected a stepwell.App under 'none', found nothing"),
        ("shop:number", "expected a stepwell.App under 'number', found int"),
        ("broken:app", "broken.py:2: ZeroDivisionError: division by zero"),
    ],
)
def test_app_that_cannot_be_used(inside: Shell, app: str, expected: str) -> None:
    inside.write("shop.py", "number = 5\n")
    inside.write("broken.py", "\n1 / 0\n")

    assert expected in greet(inside, "--app", app)


def test_settings_file_with_an_unknown_name(inside: Shell) -> None:
    inside.write("stepwell.toml", "prot = 80\n")

    assert greet(inside) == "stepwell: stepwell.toml: there is no setting 'prot'; did you mean 'port'?"


def test_resume_of_a_run_whose_functions_are_gone(inside: Shell) -> None:
    inside.write("shop.py", documents.FUNCTIONS)
    inside.write("slow.yaml", documents.flow("slow", "- ask: {call: approval}\n- work: {call: slow}\n"))
    with inside.background("run", "slow.yaml", "--app", "shop:app") as process:
        run_id = read_until(process, "run ").removeprefix("run ")
        process.kill()
        process.communicate()

    ran = inside.run("run", "--resume", run_id)

    assert (ran.code, ran.out) == (2, "")
    assert "'slow'" in ran.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "expected exactly one of --cron, --every and --at, found none"),
        (("--every", "5", "--cron", "* * * * *"), "--cron, --every and --at, found --cron, --every"),
        (("--every", "nan"), "every_s: expected a number of seconds from 0.001 up to 100 years, found nan"),
        (("--every", "inf"), "every_s: expected a number of seconds"),
        (("--every", "1e-320"), "every_s: expected a number of seconds"),
        (("--cron", "* * * * *", "--timezone", ""), "timezone: expected an IANA name, found ''"),
    ],
)
def test_schedule_that_cannot_be_kept_is_not_saved(inside: Shell, options: tuple[str, ...], expected: str) -> None:
    greet_once(inside)

    assert expected in inside.run("schedules", "add", "greet", *options).sentence
    assert inside.run("schedules", "list", "--json").json == []
