"""The page on coming from the LlamaIndex server: its commands are run in their order, against the workflow of the
example."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from doors.served import served
from stepwell.app import App
from stepwell.settings import Settings

from .pages import blocks, compare, named, needed, shell

PAGE = "llama.md"
EXAMPLE = Path(__file__).parents[2] / "examples" / "llama" / "review.py"


@pytest.fixture
def review() -> Iterator[ModuleType]:
    """The module of the example, under the name that it has for who runs beside it."""
    spec = importlib.util.spec_from_file_location("review", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["review"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["review"]


async def test_commands_give_what_the_page_says(tmp_path: Path, review: ModuleType) -> None:
    needed(shutil.which("curl"), "curl")
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/llama.db"))
    app.add_workflow("review", review.Review(timeout=None), additional_events=[review.WasRead])
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        names = {"URL": url, "PATH": "/usr/bin:/bin"}
        for block in blocks(PAGE, "sh"):
            out = await shell(block["code"], tmp_path, names)
            compare(out, block)
            names |= named(block, out)
