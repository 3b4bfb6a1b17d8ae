"""Pages of the documentation whose examples are run: their blocks, and how an answer is compared with the page.

`sh` blocks are run by bash, `js` blocks by Chromium. What follows a block is what it gives: JSON, of which an object
may show a part, or text. `...` stands for anything. "`$NAME` is `a.b` of this answer" names a part of an answer for
the blocks after it.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

FOLDER = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(
    r"```(?P<kind>sh|js)\n(?P<code>.*?)```\n\n```(?P<shape>json|text)\n(?P<expected>.*?)```\n"
    r"(?:\n`\$(?P<name>[A-Z]+)` is `(?P<path>[\w.]+)` of this answer)?",
    re.DOTALL,
)


def blocks(page: str, *kinds: str) -> Iterator[dict[str, Any]]:
    """The blocks of these kinds of a page, in their order; each must show what it gives."""
    text = (FOLDER / page).read_text()
    found = [match.groupdict() for match in _BLOCK.finditer(text)]
    assert len(found) == text.count("```sh\n") + text.count("```js\n")
    return (block for block in found if block["kind"] in kinds)


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
