"""A LlamaIndex workflow that asks a person until they are content, hosted durably: `python review.py`.

The class is as any user of `llama-index-workflows` writes it. It may be killed while it waits, and goes on.
"""

import asyncio

from workflows import Context, Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

from stepwell.llama import WorkflowServer


class Draft(StartEvent):
    text: str


class WasRead(Event):
    words: int


class Question(InputRequiredEvent):
    text: str


class Answer(HumanResponseEvent):
    approved: bool
    comment: str = ""


class Review(Workflow):
    """Reads a draft, then asks for its approval, again after each refusal."""

    @step
    async def read(self, ctx: Context, draft: Draft) -> Question:
        ctx.write_event_to_stream(WasRead(words=len(draft.text.split())))
        await ctx.store.set("comments", [])
        return Question(text=f"Publish {draft.text!r}?")

    @step
    async def decide(self, ctx: Context, answer: Answer) -> Question | StopEvent:
        comments = [*await ctx.store.get("comments"), answer.comment]
        if answer.approved:
            return StopEvent(result={"published": True, "comments": comments})
        await ctx.store.set("comments", comments)
        return Question(text=f"And now, after {answer.comment!r}?")


async def main() -> None:
    server = WorkflowServer()
    server.add_workflow("review", Review(timeout=None), additional_events=[WasRead])
    await server.serve("127.0.0.1", 8080)


if __name__ == "__main__":
    asyncio.run(main())
