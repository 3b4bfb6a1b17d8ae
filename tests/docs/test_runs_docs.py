"""The page about the runs API: its examples are run in their order, against a server without anything registered.

`sh` blocks are run by bash, `js` blocks by Chromium. What follows a block is what it gives: JSON, of which an object
may show a part, or text. `...` stands for anything. "`$NAME` is `a.b` of this answer" names a part of an answer for
the blocks after it.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doors.served import served
from stepwell.app import App
from stepwell.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "runs.md"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_BLOCK = re.compile(
    r"```(?P<kind>sh|js)\n(?P<code>.*?)```\n\n```(?P<shape>json|text)\n(?P<expected>.*?)```\n"
    r"(?:\n`\$(?P<name>[A-Z]+)` is `(?P<path>[\w.]+)` of this answer)?",
    re.DOTALL,
)


def blocks(*kinds: str) -> Iterator[dict[str, Any]]:
    found = [match.groupdict() for match in _BLOCK.finditer(PAGE.read_text())]
    assert len(found) == PAGE.read_text().count("```sh\n") + PAGE.read_text().count("```js\n")
    return (block for block in found if block["kind"] in kinds)


@pytest.fixture
def app(tmp_path: Path) -> App:
    (tmp_path / "letter.txt").write_text("Dear Ann\n")
    return App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))


def needed(program: str | None, name: str) -> None:
    """Leave the test out where a program is not there, unless all tests must run."""
    if program is None:
        assert not os.environ.get("CI"), f"{name} has to be installed where all tests must run"
        pytest.skip(f"{name} is not installed")


async def shell(code: str, folder: Path, names: dict[str, str]) -> str:
    """What a command prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-ceu", code, cwd=folder, env=names, stdout=-1, stderr=-1, stdin=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def test_commands_give_what_the_page_says(app: App, tmp_path: Path) -> None:
    needed(shutil.which("curl"), "curl")
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        names = {"URL": url, "PATH": "/usr/bin:/bin"}
        for block in blocks("sh"):
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
        for block in blocks("sh", "js"):
            if block["kind"] == "sh":
                names |= named(block, await shell(block["code"], tmp_path, names))
                continue
            printed.clear()
            known = {name: value for name, value in names.items() if name in ("WORKFLOW", "RUN")}
            await page.evaluate(f"async ({{ {', '.join(known)} }}) => {{ {block['code']} }}", known)
            assert "\n".join(printed) == block["expected"].strip()
        await browser.close()


def named(block: dict[str, Any], out: str) -> dict[str, str]:
    """The name that the page gives to a part of an answer."""
    if block["name"] is None:
        return {}
    value = msgspec.json.decode(out)
    for step in block["path"].split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return {block["name"]: value}


def compare(out: str, block: dict[str, Any]) -> None:
    if block["shape"] == "json":
        differences = list(differing(msgspec.json.decode(out), msgspec.json.decode(block["expected"]), ""))
        assert not differences, f"{block['code']}\n{differences}\n{out}"
    else:
        pattern = re.escape(block["expected"].strip()).replace(r"\.\.\.", ".*?")
        assert re.fullmatch(pattern, out.strip(), re.DOTALL), f"{block['code']}\n{out}"


def differing(found: Any, expected: Any, at: str) -> Iterator[str]:
    """Where an answer is not what the page shows of it."""
    match expected:
        case "...":
            return
        case dict() if isinstance(found, dict):
            for name, value in expected.items():
                if name not in found:
                    yield f"{at}/{name} is missing"
                else:
                    yield from differing(found[name], value, f"{at}/{name}")
        case list() if isinstance(found, list) and len(found) == len(expected):
            for place, value in enumerate(expected):
                yield from differing(found[place], value, f"{at}/{place}")
        case _ if found != expected:
            yield f"{at}: expected {expected!r}, found {found!r}"
