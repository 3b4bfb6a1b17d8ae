"""The page about the runs API: its examples are run in their order, against a server without anything registered."""

import shutil
from pathlib import Path

import pytest

from doors.served import served
from stepwell.app import App
from stepwell.settings import Settings

from .pages import blocks, compare, named, needed, shell

PAGE = "runs.md"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def app(tmp_path: Path) -> App:
    (tmp_path / "letter.txt").write_text("Dear Ann\n")
    return App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))


async def test_commands_give_what_the_page_says(app: App, tmp_path: Path) -> None:
    needed(shutil.which("curl"), "curl")
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        names = {"URL": url, "PATH": "/usr/bin:/bin"}
        for block in blocks(PAGE, "sh"):
            out = await shell(block["code"], tmp_path, names)
            compare(out, block)
            names |= named(block, out)


async def test_scripts_print_what_the_page_says(app: App, tmp_path: Path) -> None:
    needed(CHROMIUM, "Chromium")
    playwright = pytest.importorskip("playwright.async_api")
    async with (
        app,
        served(app.asgi(), end_streams=app.engine.watchers.close) as url,
        playwright.async_playwright() as browsers,
    ):
        names = {"URL": url, "PATH": "/usr/bin:/bin"}
        browser = await browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        printed: list[str] = []
        page.on("console", lambda message: printed.append(message.text))
        await page.goto(f"{url}/health")
        for block in blocks(PAGE, "sh", "js"):
            if block["kind"] == "sh":
                names |= named(block, await shell(block["code"], tmp_path, names))
                continue
            printed.clear()
            known = {name: value for name, value in names.items() if name in ("WORKFLOW", "RUN")}
            await page.evaluate(f"async ({{ {', '.join(known)} }}) => {{ {block['code']} }}", known)
            assert "\n".join(printed) == block["expected"].strip()
        await browser.close()
