"""What all pages share: the head with its navigation and badge, what is said at the top and at the bottom, and the
life of a page: shown at once, refreshed by the pulse, and telling what keeps it from being up to date.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from nicegui import background_tasks, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments
from starlette.requests import Request

from stepwell.console.pulse import Page
from stepwell.console.theme import STYLE, THEME_SCRIPT
from stepwell.console.visitor import SignedOutError, Visitor, text_of
from stepwell.core.errors import StepwellError, StorageError
from stepwell.core.principal import Principal
from stepwell.doors.kit.deciding import deciders_of
from stepwell.doors.kit.faults import InvalidRequestError
from stepwell.engine import Engine
from stepwell.store.model import ApprovalQuery

log = structlog.get_logger()

Handler = Callable[[Any], Awaitable[str | None]]
"""Does what a page asked for with these arguments; what to say when it is done."""

SIGNED_OUT: Final = "You are signed out: the key or token of this page is not accepted any more."
PATIENCE_S: Final = 1.0
"""How long the answer to a browser waits for what the page is to show; what comes later is shown when it comes."""
RESPONSE_S: Final = 30.0
"""How long NiceGUI waits for a page to be built, on a machine that has other things to do."""
FAILED: Final = "The server cannot show this now (its log says why); this page goes on by itself when it can."
NO_STORE: Final = "The database cannot be read now; this page goes on by itself when it can."


class Frame(Element, component="elements/frame.js"):
    """The head of a page. `active` is the path of its place in the navigation."""

    def __init__(self, principal: Principal, *, active: str) -> None:
        super().__init__()
        self._props.update(
            active=active, who=principal.display or principal.id, local=principal.type == "local", pending=0
        )
        self._props.update(banner="", signedOut=False)

    def tell(self, banner: str, *, signed_out: bool = False) -> None:
        """What stands at the top until it is no more true; "" for nothing."""
        if (banner, signed_out) != (self._props["banner"], self._props["signedOut"]):
            self._props.update(banner=banner, signedOut=signed_out)
            self.update()

    def count(self, pending: int) -> None:
        """The number on the badge."""
        if pending != self._props["pending"]:
            self._props["pending"] = pending
            self.update()

    def say(self, text: str, *, bad: bool = False) -> None:
        """Something that is said once."""
        self.run_method("say", text, bad)


class LivePage(ABC):
    """A page under construction, then open. Subclasses put their elements into `build` and bring them up to date in
    `show`, which is called again and again and sends only what has changed.
    """

    def __init__(self, request: Request, *, title: str, active: str) -> None:
        self.visitor = Visitor(request)
        self.engine: Engine = self.visitor.engine
        self.client = ui.context.client
        self.client.title = f"{title} · Stepwell"
        ui.add_head_html(f"{THEME_SCRIPT}<style>{STYLE}</style>")
        self.frame = Frame(self.visitor.principal, active=active)
        self._page: Page | None = None
        self._hidden = False
        self._showing = asyncio.Lock()
        self.on(self.frame, "seen", self._seen, acts=False)

    @abstractmethod
    def build(self) -> None:
        """Make the elements of the page."""

    @abstractmethod
    async def show(self) -> None:
        """Bring the elements up to date."""

    def version(self) -> int:
        """Changes when there is news for this page alone, of which the others know nothing."""
        return 0

    def closed(self) -> None:  # noqa: B027  # most pages hold nothing that is to be let go
        """The page is gone."""

    async def open(self) -> None:
        """Build the page and show what there is; live once the browser is connected."""
        with ui.element("main").classes("sw-main"):
            self.build()
        first = background_tasks.create(self.refresh(), name="stepwell-console-first")
        await asyncio.wait([first], timeout=PATIENCE_S)
        pulse = self.visitor.desk.pulse

        def connected() -> None:
            if self._page is None:
                self._page = pulse.join(self.refresh, version=self.version, unsent=self._unsent, hidden=self._hidden)

        def gone() -> None:
            if self._page is not None:
                pulse.leave(self._page)
            self.closed()

        self.client.on_connect(connected)
        self.client.on_delete(gone)

    def _unsent(self) -> int:
        return len(self.client.outbox.messages) + len(self.client.outbox.updates)

    async def _seen(self, seen: Any) -> None:
        """Somebody sees the page, or nobody any more: its tab went to the background."""
        self._hidden = not seen
        if self._page is not None:
            self._page.hidden = self._hidden

    async def refresh(self) -> bool:
        """Show what there is now, or say why not; whether that is worth no other try."""
        async with self._showing:  # an action ends with a refresh too, and what was sent is counted
            try:
                await self.visitor.look()
                await self._count_approvals()
                await self.show()
            except SignedOutError:
                self.frame.tell(SIGNED_OUT, signed_out=True)
                return True
            except StorageError as fault:
                self.frame.tell(f"{NO_STORE} ({text_of(fault, self.visitor.principal)})")
            except Exception:  # a bug, or a database that is not as it was: whoever looks is told that this is old
                log.exception("console.refresh_failed")
                self.frame.tell(FAILED)
            else:
                self.frame.tell("")
                return True
        return False

    async def _count_approvals(self) -> None:
        wanted = inbox(self.visitor.principal)
        store = self.engine.store
        self.frame.count(await self.visitor.desk.pulse.shared(wanted, lambda: store.count_approvals(wanted)))

    def on(self, element: Element, event: str, handler: Handler, *, acts: bool = True) -> None:
        """Have an event of an element handled; `acts` when that changes something, which not everybody may."""

        async def handle(arguments: GenericEventArguments) -> None:
            try:
                if acts:
                    await self.visitor.may_act()
                said = await handler(arguments.args)
                if said:
                    self.frame.say(said)
            except SignedOutError:
                self.frame.tell(SIGNED_OUT, signed_out=True)
            except (StepwellError, InvalidRequestError) as fault:
                self.frame.say(text_of(fault, self.visitor.principal), bad=True)
            except Exception:  # a bug of ours: whoever pressed the button hears of it
                log.exception("console.action_failed", event=event)
                self.frame.say("The server failed to do this; its log says why.", bad=True)
            await self.refresh()

        element.on(event, handle)

    def later(self, work: Awaitable[None]) -> None:
        """Do something while the page is open."""
        background_tasks.create(work, name="stepwell-console-work")


def inbox(
    principal: Principal, *, status: str | None = "pending", limit: int = 50, run_id: str = ""
) -> ApprovalQuery:
    """The approvals that somebody may decide, of one run where that is named; an administrator sees all."""
    deciders = () if principal.sees is None else deciders_of(principal)
    return ApprovalQuery(deciders=deciders, status=status, limit=limit, run_id=run_id or None)
