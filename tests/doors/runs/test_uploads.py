"""Files of an execution: bound to inputs, streamed to disk, bounded, read by steps, gone with the run."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from stepwell.engine.ids import new_id

from .serving import NOBODY, RUNS, House, details_of, housed, json_of, step

PAPER: list[dict[str, Any]] = [
    {"name": "paper", "type": "file", "accept": ["text/*", ".pdf"]},
    {"name": "papers", "type": "file[]"},
    {"name": "note", "type": "string"},
]
MIB = 1024 * 1024


async def post(house: House, id: str, *files: tuple[str, Any], **texts: str) -> httpx.Response:
    parts = [("workflowId", (None, id)), *((name, (None, text)) for name, text in texts.items()), *files]
    return await house.client.post(f"{RUNS}/execute", files=parts)


@pytest.fixture
async def reader(house: House) -> str:
    """A workflow that gives what is in its file."""
    return await house.define(step("read", {"file": "{{ inputs.paper }}"}), inputs=PAPER)


@pytest.fixture
async def shower(house: House) -> str:
    """A workflow that gives its inputs."""
    return await house.define(step("echo", {"value": "{{ inputs }}"}), inputs=PAPER)


@pytest.mark.parametrize("name", ["paper", "inputs[paper]", "inputs.paper"])
async def test_file_is_bound_to_its_input_and_read_by_a_step(house: House, reader: str, name: str) -> None:
    answer = await post(house, reader, (name, ("Ä b.txt", b"a letter", "text/plain")))
    run = json_of(answer)["workflowRun"]
    assert run["outputs"] == "a letter"
    (paper,) = run["inputs"]
    assert paper["value"].pop("objectId").startswith(run["id"])
    assert paper == {
        "name": "paper",
        "type": "file",
        "value": {"filename": "Ä b.txt", "contentType": "text/plain", "size": 8},
    }


async def test_repeated_parts_make_a_list_in_their_order(house: House, shower: str) -> None:
    files = [("papers", (f"{n}.bin", os.urandom(n * 100_000), "")) for n in range(1, 5)]
    run = json_of(await post(house, shower, *files, inputs='{"note": "n"}'))["workflowRun"]
    papers = run["outputs"]["papers"]
    assert [(one["filename"], one["size"]) for one in papers] == [(f"{n}.bin", n * 100_000) for n in range(1, 5)]
    assert house.app.files is not None
    for (_, (_, content, _)), one in zip(files, papers, strict=True):
        assert house.app.files.path(one).read_bytes() == content
        assert one["filename"] not in str(house.app.files.path(one))


async def test_file_field_that_nobody_filled_is_no_file(house: House, shower: str) -> None:
    boundary = "x"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="workflowId"\r\n\r\n{shower}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="paper"; filename=""\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n\r\n--{boundary}--\r\n"
    )
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = await house.client.post(f"{RUNS}/execute", content=body, headers=headers)
    assert json_of(answer)["workflowRun"]["outputs"]["paper"] is None


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x-y",
        "multipart/form-data;boundary=x-y",
        'Multipart/Form-Data; charset=utf-8; boundary="x-y"',
        "multipart/form-data; boundary=x-y; charset=utf-8",
    ],
)
async def test_boundary_is_read_however_it_is_written(house: House, shower: str, content_type: str) -> None:
    body = f'--x-y\r\nContent-Disposition: form-data; name="workflowId"\r\n\r\n{shower}\r\n--x-y--\r\n'
    answer = await house.client.post(f"{RUNS}/execute", content=body, headers={"content-type": content_type})
    assert json_of(answer)["workflowRun"]["status"] == "completed"


async def test_text_field_with_a_file_name_is_a_text_field(house: House, shower: str) -> None:
    inputs = ("inputs", ("blob", b'{"note": "from a Blob"}', "application/json"))
    assert json_of(await post(house, shower, inputs))["workflowRun"]["outputs"]["note"] == "from a Blob"


# --- what is refused leaves nothing behind --------------------------------------------------------------------------

FILE = ("paper", ("a.txt", b"x", "text/plain"))


@pytest.mark.parametrize(
    ("files", "texts", "details"),
    [
        ([FILE], {"other": "x"}, {"other": "is not known (there are: workflowId, inputs, envs, onDisconnect"}),
        ([FILE, ("other", ("b", b"x"))], {}, {"other": "expected a file for a declared input of type file"}),
        ([FILE, ("note", ("b", b"x"))], {}, {"note": "expected a file for a declared input of type file"}),
        ([FILE, FILE], {}, {"paper": "expected one file, found several"}),
        (
            [("paper", ("a.png", b"x", "image/png"))],
            {},
            {"paper": "expected a file of text/*, .pdf, found 'image/png'"},
        ),
        ([FILE], {"inputs": "{"}, {"inputs": "expected JSON, found other text"}),
        ([FILE], {"inputs": "[]"}, {"inputs": "expected an object, found an array of 0"}),
        ([FILE], {"inputs": '{"note": 1}'}, {"inputs.note": "expected text, found the number 1"}),
        ([FILE], {"envs": '{"A": "b"}'}, {"envs.A": "is not declared"}),
        ([FILE], {"onDisconnect": "maybe"}, {"onDisconnect": "expected one of continue, cancel, found 'maybe'"}),
    ],
)
async def test_form_that_is_wrong_is_refused_and_its_files_are_deleted(
    house: House, shower: str, files: list[Any], texts: dict[str, str], details: dict[str, str]
) -> None:
    found = details_of(await post(house, shower, *files, **texts))
    assert found.keys() == details.keys()
    assert all(found[path].startswith(message) for path, message in details.items()), found
    await nothing_is_left(house)


async def nothing_is_left(house: House) -> None:
    assert house.app.files is not None
    assert await house.app.files.run_ids() == []
    assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 0


async def test_field_sent_twice_is_refused(house: House, shower: str) -> None:
    found = details_of(await post(house, shower, FILE, ("inputs", (None, "{}")), ("inputs", (None, "{}"))))
    assert found == {"inputs": "expected one value, found several"}
    await nothing_is_left(house)


async def test_workflow_that_is_not_there_takes_no_files(house: House) -> None:
    assert (await post(house, NOBODY, FILE)).status_code == 404
    await nothing_is_left(house)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("paper", ("a", b"x" * (32 * MIB + 1), "text/plain"))], "paper: expected a file of at most 33554432 bytes"),
        ([("papers", (f"{n}", b"x", "")) for n in range(21)], "expected at most 20 files, found more"),
        ([("envs", (None, "x" * 65537))], "envs: expected at most 65536 bytes, found more"),
        ([("inputs", (None, "x" * (MIB + 1)))], "inputs: expected at most 1048576 bytes, found more"),
    ],
    ids=["file", "files", "field", "inputs"],
)
async def test_what_is_too_large_is_refused(house: House, shower: str, parts: list[Any], message: str) -> None:
    answer = await post(house, shower, FILE, *parts)
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")
    assert message in answer.json()["details"]
    await nothing_is_left(house)


async def test_hundred_parts_are_enough(house: House, shower: str) -> None:
    empty = '--x\r\nContent-Disposition: form-data; name="paper"; filename=""\r\n\r\n\r\n'
    body = f'--x\r\nContent-Disposition: form-data; name="workflowId"\r\n\r\n{shower}\r\n' + empty * 100 + "--x--"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await house.client.post(f"{RUNS}/execute", content=body, headers=headers)
    assert (answer.status_code, answer.json()["details"]) == (413, "expected at most 100 parts, found more")


async def test_body_that_says_it_is_too_large_is_refused_unread(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]))
    writer.write(
        f"POST {RUNS}/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: {64 * MIB + 1}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 413 ")
    assert answer.endswith(
        '{"success":false,"error":"Payload too large","details":"expected a body of at most 67108864 bytes"}'
    )


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("multipart/form-data", b"", "its Content-Type names no boundary"),
        ("multipart/form-data; boundary=x", b"--y\r\n", "broken"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a', "last boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nc\r\n--x--\r\n", "a part has no name"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nc\r\n--x--\r\n',
            "a name or a file name is not UTF-8",
        ),
    ],
)
async def test_form_that_is_broken_is_refused(house: House, content_type: str, body: bytes, message: str) -> None:
    headers = {"content-type": content_type}
    for content in (body, chunks(body)):
        answer = await house.client.post(f"{RUNS}/execute", content=content, headers=headers)
        assert message in details_of(answer)[""]


async def chunks(body: bytes) -> Any:
    """The body byte by byte, without its length."""
    for at in range(max(1, len(body))):
        yield body[at : at + 1]


# --- afterwards -----------------------------------------------------------------------------------------------------


async def test_file_is_downloaded_and_never_shown_in_place(house: House, reader: str) -> None:
    run = json_of(await post(house, reader, ("paper", ('"ä"\n.html', b"<script>", "text/html"))))["workflowRun"]
    object_id = run["inputs"][0]["value"]["objectId"]
    answer = await house.client.get(f"{RUNS}/{run['id']}/files/{object_id}")
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert "%22%C3%A4%22" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for other in (f"{RUNS}/{run['id']}/files/{new_id(0)}.x", f"{RUNS}/{NOBODY}/files/{object_id}"):
        assert (await house.client.get(other)).status_code == 404


async def test_file_of_another_run_is_not_downloaded_through_an_input_that_names_it(
    house: House, reader: str
) -> None:
    theirs = json_of(await post(house, reader, FILE))["workflowRun"]
    named = {**theirs["inputs"][0]["value"], "size": 1}
    id = await house.define(step("echo", {"value": 1}), inputs=[{"name": "thing", "type": "object"}])
    mine = await house.run(id, inputs={"thing": named})
    assert (await house.client.get(f"{RUNS}/{mine['id']}/files/{named['objectId']}")).status_code == 404


async def test_upload_that_breaks_off_leaves_nothing_and_is_no_fault_of_ours(house: House, reader: str) -> None:
    start = (
        f'--b\r\nContent-Disposition: form-data; name="workflowId"\r\n\r\n{reader}\r\n'
        '--b\r\nContent-Disposition: form-data; name="paper"; filename="a.txt"\r\n\r\n'
    )
    head = "Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000"
    port = httpx.URL(house.url).port
    files = house.app.files
    assert files is not None
    with structlog.testing.capture_logs() as logged:
        _, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
        writer.write(f"POST {RUNS}/execute HTTP/1.1\r\n{head}\r\n\r\n{start}".encode() + b"x" * 3 * MIB)
        async with asyncio.timeout(20):
            while not await files.run_ids():  # noqa: ASYNC110  # the folder tells nobody
                await asyncio.sleep(0.01)
            writer.close()
            while await files.run_ids():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 0
    assert [entry for entry in logged if entry["log_level"] in ("warning", "error")] == []


async def test_files_go_with_their_runs(house: House, reader: str) -> None:
    run = json_of(await post(house, reader, FILE))["workflowRun"]
    engine, files = house.app.engine, house.app.files
    assert files is not None
    await house.client.get(f"{RUNS}/{run['id']}")
    assert await engine.prune(ended_before=engine.clock.now() + 1) == 1
    assert await files.run_ids() == []
    assert (await house.client.get(f"{RUNS}/{run['id']}")).status_code == 404


async def test_files_lie_beside_the_database_or_where_the_settings_say(tmp_path: Path) -> None:
    for settings, folder in (({}, tmp_path / "runs.db.files"), ({"files_dir": str(tmp_path / "f")}, tmp_path / "f")):
        async with housed(tmp_path, **settings) as house:
            id = await house.define(step("read", {"file": "{{ inputs.paper }}"}), inputs=PAPER)
            run = json_of(await post(house, id, FILE))["workflowRun"]
            assert os.listdir(folder) == [run["id"]]
