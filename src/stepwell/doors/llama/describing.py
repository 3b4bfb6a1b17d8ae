"""What workflows there are, and what is known of each."""

from stepwell.doors.kit import Answer, Api, Call, Reply
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.errors import WorkflowMissingError
from stepwell.doors.llama.hosted import Hosted, Workflows
from stepwell.doors.llama.mapping import plain_graph
from stepwell.doors.llama.wire import EventSchemas, Names, Representation, Schemas


def declare(api: Api, dialect: Dialect) -> None:
    """Declare the operations."""
    workflows = f"{dialect.prefix}/workflows"

    @api.get(workflows, summary="List workflows", answers={200: Answer(type=Names, meaning="by name")})
    async def list_workflows(call: Call) -> Reply:
        """What the operator has loaded, of every kind, and the caller's pipelines."""
        return Reply(body=Names(workflows=await Workflows(call.engine, call.principal).names()))

    @api.get(
        f"{workflows}/{{name}}/schema",
        summary="Get the schemas of the start and stop events",
        answers={200: Answer(type=Schemas)},
        fails={404: "there is no such workflow"},
    )
    async def get_schema(call: Call) -> Reply:
        face = (await hosted(call)).face
        return Reply(body=Schemas(start=face.start_schema, stop=face.stop_schema))

    @api.get(
        f"{workflows}/{{name}}/events",
        summary="Get the schemas of all events",
        answers={200: Answer(type=EventSchemas)},
        fails={404: "there is no such workflow"},
    )
    async def get_events(call: Call) -> Reply:
        try:
            face = (await hosted(call)).face
        except WorkflowMissingError:
            raise WorkflowMissingError(call.path("name")) from None
        found = list(face.event_schemas)
        if dialect.start_first:
            found.sort(key=lambda schema: schema != face.start_schema)
        return Reply(body=EventSchemas(events=found))

    @api.get(
        f"{workflows}/{{name}}/representation",
        summary="Get the graph of a workflow",
        answers={200: Answer(type=Representation, meaning="a node for every step, task and event")},
        fails={404: "there is no such workflow"},
    )
    async def get_representation(call: Call) -> Reply:
        graph = (await hosted(call)).face.graph
        return Reply(body=Representation(graph=plain_graph(graph) if dialect.plain_graph else graph))


async def hosted(call: Call) -> Hosted:
    """The workflow that the path names. Raises `WorkflowMissingError`."""
    return await Workflows(call.engine, call.principal).find(call.path("name"))
