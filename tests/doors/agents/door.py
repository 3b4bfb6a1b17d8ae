"""The agents door of a whole app, on a socket of its own, with short words for what its tests do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

import stepwell
from stepwell.core.principal import Scope
from stepwell.security.keys import ApiKeys, new_key
from stepwell.settings import Settings
from stepwell.store.model import Record

from ..served import served

RUNS = "/api/v1/workflows"
TEMPLATES = "/api/v1/workflow-templates"
INBOX = "/api/v1/approvals"
CALLBACKS = "/api/v1/workflow-callbacks"

Json = dict[str, Any]
NOW: Json = {"key": "now", "type": "wait", "config": {"seconds": 0}}
LATER: Json = {"key": "later", "type": "wait", "config": {"seconds": 3600}}


def ask(key: str = "review", **config: Any) -> Json:
    """An approval step."""
    return {"key": key, "type": "approval", "config": {"prompt": "Go on?", **config}}


def call(key: str, function: str, **step: Any) -> Json:
    """A step that calls a registered function."""
    args = step.pop("args", None)
    return {"key": key, "type": "task", "config": {"action": "function", "function": function, "args": args}, **step}


def callback(key: str = "vendor", **step: Any) -> Json:
    return {"key": key, "type": "callback", "config": step.pop("config", {}), **step}


def error_of(answer: httpx.Response) -> Json:
    found: Json = answer.json()["errors"][0]
    return found


class Door:
    """One caller of the door. `headers` hold its credential."""

    def __init__(self, app: stepwell.App, client: httpx.AsyncClient, **headers: str) -> None:
        self.app = app
        self.client = client
        self.headers = headers

    async def of(self, owner: str, *roles: str, admin: bool = False) -> "Door":
        """The same door for a person with an API key, in these roles."""
        scopes: tuple[Scope, ...] = ("read", "write", "admin") if admin else ("read", "write")
        engine = self.app.engine
        key, text = new_key(owner, now=engine.clock.now(), roles=roles, scopes=scopes)
        await ApiKeys(engine.store, row=Record).create(key)
        return Door(self.app, self.client, **{"x-api-key": text})

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        more = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers=headers, **more, **options)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.send("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = await self.send("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    # --- templates and runs -----------------------------------------------------------------------------------------

    async def template(self, *steps: Json, name: str = "Import", **more: Any) -> str:
        """The id of a published template."""
        template = await self.post(TEMPLATES, {"name": name, "steps": list(steps), **more}, status=201)
        await self.post(f"{TEMPLATES}/{template['id']}/publish")
        return str(template["id"])

    async def publish(self, id: str, *steps: Json, name: str = "Import", **more: Any) -> None:
        """Another version of a template."""
        answer = await self.send("PUT", f"{TEMPLATES}/{id}", {"name": name, "steps": list(steps), **more})
        assert answer.status_code == 200, answer.text
        await self.post(f"{TEMPLATES}/{id}/publish")

    async def start(self, *steps: Json, input: Json | None = None, **more: Any) -> str:
        """The id of a run of these steps."""
        template_id = await self.template(*steps, additional_variables=True)
        body = {"template_id": template_id, "input": input or {}, **more}
        return str((await self.post(RUNS, body, status=201))["id"])

    async def run(self, id: str) -> Json:
        found: Json = await self.get(f"{RUNS}/{id}")
        return found

    async def tell(self, id: str, verb: str, body: Any = None, *, status: int = 200) -> Json:
        found: Json = await self.post(f"{RUNS}/{id}/{verb}", body, status=status)
        return found

    async def until(self, id: str, wanted: Callable[[Json], Any]) -> Json:
        """The run, once it is as wanted."""
        engine = self.app.engine
        async with asyncio.timeout(20):
            async for seen in engine.watch(id):
                if seen.event is not None and seen.seq >= (await engine.state(id)).seq:
                    run = await self.run(id)
                    if wanted(run):
                        return run
            run = await self.run(id)
            assert wanted(run), run
            return run

    async def ended(self, id: str) -> Json:
        return await self.until(id, lambda run: run["completed_at"] is not None)

    async def asked(self, id: str) -> str:
        """The id of the approval that a run waits for, once it does."""
        run = await self.until(id, lambda run: run["pending_approvals"])
        return str(run["pending_approvals"][0]["id"])

    async def decide(self, run_id: str, verb: str, **body: Any) -> Json:
        """Decide what a run waits for."""
        approval_id = await self.asked(run_id)
        return await self.tell(run_id, f"approvals/{approval_id}/{verb}", body)


def step_of(run: Json, key: str) -> Json:
    (found,) = [step for step in run["steps"] if step["key"] == key]
    return dict(found)


def new_app(folder: Path, **settings: Any) -> stepwell.App:
    given = {"shutdown_grace_s": 0.1, **settings}
    return stepwell.App(settings=Settings(db=f"sqlite:///{folder}/door.db", **given))


@asynccontextmanager
async def open_door(app: stepwell.App) -> AsyncIterator[Door]:
    """The door over HTTP, as uvicorn serves it."""
    async with served(app.asgi()) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield Door(app, client)
