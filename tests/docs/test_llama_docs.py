"""The page about LlamaIndex workflows: its program is run."""

import re
from pathlib import Path
from typing import Any

from stepwell.app import App
from stepwell.settings import Settings

from .pages import FOLDER


async def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", (FOLDER / "llama.md").read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"__name__": "shop"}
    exec(found[1], names)
    app: App = names["app"]
    app.configure(Settings(db=f"sqlite:///{tmp_path}/runs.db"))

    async with app:
        result = await app.engine.run("greet", {"name": "ada"}, timeout_s=60)

    assert result.output == "hello ada"
