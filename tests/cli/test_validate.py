"""`stepwell validate`: faults as `file:line: pointer: message`, exit code 0 or 2."""

from . import documents
from .commands import Shell


def test_documents_without_fault(inside: Shell) -> None:
    inside.write("flows/greet.yaml", documents.GREET)
    inside.write("flows/ask.yml", documents.ASK)
    inside.write("flows/notes.txt", "no flow")

    ran = inside.run("validate", "flows")

    assert (ran.code, ran.out, ran.err) == (0, "", "2 documents, 0 faults\n")


def test_every_fault_of_every_file_is_printed(inside: Shell) -> None:
    inside.write("one.yaml", documents.flow("one", "- one: {wait: soon}\n- two: {call: nobody}\n"))
    inside.write("two.yaml", "do: [")

    ran = inside.run("validate", "one.yaml", "two.yaml")

    lines = ran.out.splitlines()
    assert ran.code == 2
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        ["one.yaml:3", "/do/0/one/wait"],
        ["one.yaml:4", "/do/1/two/call"],
    ]
    assert lines[2].startswith("two.yaml:1: /do: expected YAML")


def test_functions_of_the_app_are_known(inside: Shell) -> None:
    inside.write("shop.py", documents.FUNCTIONS)
    inside.write("slow.yaml", documents.SLOW)

    assert inside.run("validate", "slow.yaml").code == 2
    assert inside.run("validate", "slow.yaml", "--app", "shop:app").code == 0


def test_document_that_is_not_there(inside: Shell) -> None:
    assert "none.yaml does not exist" in inside.run("validate", "none.yaml").sentence


def test_nothing_to_validate(inside: Shell) -> None:
    assert "requires an argument" in inside.run("validate").sentence


def test_what_cannot_be_read_hides_no_fault_of_other_files(inside: Shell) -> None:
    inside.write("good.yaml", documents.GREET)
    inside.write("bad.yaml", documents.flow("bad", "- one: {wait: soon}\n"))
    (inside.folder / "image.yaml").write_bytes(b"do: \xff\xfe\x00")

    ran = inside.run("validate", "good.yaml", "none.yaml", "image.yaml", "bad.yaml")

    assert ran.code == 2
    assert ran.out.startswith("bad.yaml:3: /do/0/one/wait: ")
    assert "none.yaml does not exist" in ran.err
    assert "image.yaml is not UTF-8" in ran.err
    assert ran.err.endswith("2 documents, 1 fault\n")


def test_workflow_objects_of_the_app_are_checked(inside: Shell) -> None:
    inside.write("talk.py", documents.WORKFLOWS)

    good = inside.run("validate", "--app", "talk:good")
    bad = inside.run("validate", "--app", "talk:bad")

    assert (good.code, good.out, good.err) == (0, "", "1 workflow, 0 faults\n")
    assert bad.code == 2
    assert bad.out.startswith("talk:bad: greet: the workflow 'greet' cannot be hosted: ")
    assert bad.err == "1 workflow, 1 fault\n"
