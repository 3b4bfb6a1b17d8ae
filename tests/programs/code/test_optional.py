"""Hosting is an extra: without a workflow object nothing of the package is imported."""

import subprocess
import sys
from pathlib import Path


def test_an_app_without_workflow_objects_does_not_import_the_package(tmp_path: Path) -> None:
    code = (
        "import sys, asyncio, stepwell\n"
        "async def main():\n"
        "    app = stepwell.App(db='sqlite:///one.db')\n"
        "    @app.workflow\n"
        "    async def one(ctx, input): return 1\n"
        "    async with app:\n"
        "        print((await app.engine.run('one')).output, 'workflows' in sys.modules)\n"
        "asyncio.run(main())\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path
    )

    assert ran.stdout.split() == ["1", "False"]
