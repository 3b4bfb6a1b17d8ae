"""Forms of human review: what waiting runs ask of people. A form is there as long as its run waits for it.

Submitting one decides the approval behind it, by the same rules as every other way to decide.
"""

import html
from typing import Final

from stepwell.core.state import StepKind
from stepwell.doors.kit import Answer, Call, Fault, InvalidRequestError, MissingError, Reply, instant
from stepwell.doors.kit.deciding import approval_of, check_answer, deciders_of
from stepwell.doors.runs.api import FORMS, api
from stepwell.doors.runs.mapping import activity_id, pagination
from stepwell.doors.runs.reading import shown_run
from stepwell.doors.runs.wire import FormAnswer, FormList, FormQuery, RunAnswer, SubmitRequest, UserForm
from stepwell.store.model import ApprovalQuery, ApprovalRow

ACTIONS: Final = ["approve", "reject", "modify"]
CHANNEL: Final = "form"


@api.get(
    FORMS,
    summary="List forms",
    answers={200: Answer(type=FormList, meaning="a page of forms, newest first")},
    fails={400: "a parameter is wrong"},
)
async def list_forms(call: Call, query: FormQuery) -> Reply:
    """What the caller may decide now: for its own runs, and where it is named, by itself or by a role."""
    run_id = None if query.workflow_run_id is None else query.workflow_run_id.lower()
    deciders = () if call.principal.sees is None else deciders_of(call.principal)
    wanted = ApprovalQuery(deciders=deciders, run_id=run_id, offset=query.offset, limit=query.limit)
    rows = await call.engine.approvals(wanted)
    total = await call.engine.store.count_approvals(wanted)
    forms = [await _form(call, row) for row in rows]
    return Reply(body=FormList(user_forms=forms, pagination=pagination(query.page, query.limit, total)))


@api.get(
    f"{FORMS}/{{form_id}}",
    summary="Get a form",
    answers={200: Answer(type=FormAnswer)},
    fails={404: "there is no such form, or no longer"},
)
async def get_form(call: Call) -> Reply:
    """For who may decide it, and the owner of the run."""
    return Reply(body=FormAnswer(user_form=await _form(call, await _pending(call))))


@api.post(
    f"{FORMS}/{{form_id}}/submit",
    summary="Submit a form",
    answers={200: Answer(type=RunAnswer, meaning="the run, which goes on")},
    fails={
        400: "the data is not of the form's schema",
        403: "the caller may not decide this",
        404: "there is no such form, or no longer",
        409: "it was decided otherwise meanwhile",
    },
)
async def submit_form(call: Call, body: SubmitRequest) -> Reply:
    """`approve` and `modify` let the run go on, `modify` with `data` in place of what was shown; `reject` ends it."""
    row = await _pending(call)
    await _check_data(call, row, body)
    await call.engine.decide_approval(
        row.run_id,
        row.approval_id,
        approved=body.action != "reject",
        comment=body.comment,
        data=body.data,
        via=CHANNEL,
        actor=call.actor,
    )
    return Reply(body=RunAnswer(workflow_run=await shown_run(call.engine, row.run_id)))


async def _check_data(call: Call, row: ApprovalRow, body: SubmitRequest) -> None:
    """Raises `InvalidRequestError`."""
    if body.action == "modify" and body.data is None:
        raise InvalidRequestError([Fault(path=("data",), message="expected what to go on with, found nothing")])
    if body.action != "reject":
        await check_answer(call, row, body.data)


async def _pending(call: Call) -> ApprovalRow:
    """The approval behind the form of the path. Raises `MissingError`."""
    id = call.id("form_id", "form")
    found = await approval_of(call.engine, call.principal, id, status="pending")
    if found is None:
        raise MissingError("form", id)
    return found


async def _form(call: Call, row: ApprovalRow) -> UserForm:
    state = await call.engine.state(row.run_id)
    step = state.steps.get(row.key)
    attempt = step.attempt if step is not None and step.kind is StepKind.APPROVAL else 1
    return UserForm(
        id=row.approval_id,
        workflow_run_id=row.run_id,
        activity_run_id=activity_id(row.run_id, row.key, attempt),
        step_id=row.key,
        title=row.title or row.prompt,
        html=_html(row.title, row.prompt),
        schema=row.schema,
        actions=ACTIONS,
        created_at=instant(row.requested_at),
        expires_at=instant(row.due_at),
    )


def _html(title: str, prompt: str) -> str:
    """The texts as HTML, with nothing in them that is more than text."""
    heading = f"<h1>{html.escape(title)}</h1>" if title else ""
    lines = "<br>".join(html.escape(line) for line in prompt.splitlines())
    return f"{heading}<p>{lines}</p>" if lines else heading
