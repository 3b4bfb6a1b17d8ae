"""Small flow documents for tests of the command line."""


def flow(name: str, tasks: str) -> str:
    """A document with this name; `tasks` is the list under `do`, from column 0."""
    head = f"document: {{dsl: '1.0.0', namespace: test, name: {name}, version: '1.0.0'}}\n"
    return f"{head}do:\n{tasks}"


GREET = flow("greet", "- greet: {set: {text: hello}}\n")
EMPTY = flow("empty", "- first: {set: {x: 1}}\n  \n") + "output: {as: '${ .missing }'}\n"
FAIL = flow(
    "fail", "- boom: {raise: {error: {type: https://example.com/boom, status: 418, title: Boom, detail: it broke}}}\n"
)
ASK = flow("ask", "- ask: {call: approval, with: {prompt: ship it?}}\n- after: {set: {shipped: true}}\n")
LONG = flow("long", "- pause: {wait: PT60S}\n")
SHORT_WAIT = flow("short", "- pause: {wait: PT4S}\n- done: {set: {done: true}}\n")
UNKNOWN = flow("unknown", "- call:\n    call: nobody\n")
SLOW = flow("slow", "- work: {call: slow}\n")
"""For `FUNCTIONS`."""
FUNCTIONS = '''
import time

import stepwell

app = stepwell.App()


@app.function
def slow() -> str:
    """Takes until the file `go` is there."""
    import pathlib

    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return "done"
'''

"""Two apps of workflow objects: of one the package says that an event is made and never taken."""
WORKFLOWS = """
import stepwell
from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent


class Word(Event):
    text: str


class Greet(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.get('name')}")


class Mute(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent | Word:
        return StopEvent()


good, bad = stepwell.App(), stepwell.App()
good.add_workflow("greet", Greet())
bad.add_workflow("greet", Mute())
"""
