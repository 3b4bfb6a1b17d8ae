"""The files that a run was given, for who may see the run. What is sent is never shown in place by a browser."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from stepwell.doors.kit import Answer, Call
from stepwell.doors.runs.api import RUNS, api
from stepwell.doors.runs.reading import created_of
from stepwell.files import FileMissingError, FileReference, Files

OCTETS: Final = "application/octet-stream"


@api.get(
    f"{RUNS}/{{run_id}}/files/{{object_id}}",
    summary="Download a file that a run was given",
    answers={200: Answer(type=bytes, meaning="the file as it was sent", media_type=OCTETS)},
    fails={404: "there is no such run, or it has no such file"},
)
async def get_file(call: Call) -> Response:
    """`objectId` is that of the run's input. The file is there as long as the run."""
    created = await created_of(call, call.id("run_id", "workflow run"))
    object_id = call.path("object_id")
    files: Files | None = call.request.app.state.files
    view = await call.engine.view(created.run_id)
    reference = next((one for one in references(view.input) if one.object_id == object_id), None)
    if reference is None or files is None or not object_id.startswith(f"{created.run_id}."):
        raise FileMissingError(object_id)
    name = quote(reference.filename, safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return FileResponse(await files.fetch(reference), headers=headers, media_type=OCTETS)


def references(value: Any) -> Iterator[FileReference]:
    """Every file that an input names."""
    match value:
        case {"objectId": str(), "filename": str(), "contentType": str(), "size": int()}:
            yield FileReference(
                object_id=value["objectId"],
                filename=value["filename"],
                content_type=value["contentType"],
                size=value["size"],
            )
        case Mapping():
            for item in value.values():
                yield from references(item)
        case list():
            for item in value:
                yield from references(item)
