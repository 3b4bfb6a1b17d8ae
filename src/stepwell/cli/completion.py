"""`stepwell completion SHELL`: a script that completes commands and options."""

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the script for a shell. `shell` is the one that it is for."""
    from stepwell.cli.command import app  # here, since that module names this one

    print(app.generate_completion(prog_name="stepwell", shell=shell))
