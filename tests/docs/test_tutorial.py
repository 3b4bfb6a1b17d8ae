"""The tutorial: its files are written, its commands run in their order, and its server is killed in between."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .pages import FOLDER, blocks, compare, named, shell

PAGE = "tutorial.md"
BIN = Path(sys.executable).parent
_FILE = re.compile(r"```(?:python|yaml)\n# (?P<path>\S+)\n(?P<text>.*?)```", re.DOTALL)


def write_files(folder: Path) -> None:
    for match in _FILE.finditer((FOLDER / PAGE).read_text()):
        path = folder / match["path"]
        path.parent.mkdir(exist_ok=True)
        path.write_text(match["text"])


def serve(folder: Path, names: dict[str, str], *, port: str) -> "subprocess.Popen[str]":
    """A server that answers, its address in `names`."""
    command = [sys.executable, "-m", "stepwell", "serve", "--app", "shop:app", "--port", port]
    server = subprocess.Popen(command, cwd=folder, env=names, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    names["STEPWELL_URL"] = server.stdout.readline().split()[-1]
    return server


async def test_commands_give_what_the_page_says(tmp_path: Path) -> None:
    write_files(tmp_path)
    names = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": os.environ["HOME"]}
    validate, *others = blocks(PAGE, "sh")
    compare(await shell(validate["code"], tmp_path, names), validate)
    server = serve(tmp_path, names, port="0")
    try:
        for block in others:
            if "approve" in block["code"]:  # after "Kill it"
                server.kill()
                server.wait()
                server = serve(tmp_path, names, port=names["STEPWELL_URL"].rpartition(":")[2])
            out = await shell(block["code"], tmp_path, names)
            compare(out, block)
            names |= named(block, out)
    finally:
        server.terminate()
        server.wait(timeout=30)
