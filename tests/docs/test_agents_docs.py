"""The page on the agents API: its examples are run in their order, against a server without anything registered."""

import shutil
from pathlib import Path

from doors.served import served
from stepwell.app import App
from stepwell.settings import Settings

from .pages import blocks, compare, named, needed, shell

PAGE = "agents.md"


async def test_commands_give_what_the_page_says(tmp_path: Path) -> None:
    needed(shutil.which("curl"), "curl")
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/agents.db"))
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        names = {"URL": url, "PATH": "/usr/bin:/bin"}
        for block in blocks(PAGE, "sh"):
            out = await shell(block["code"], tmp_path, names)
            compare(out, block)
            names |= named(block, out)
