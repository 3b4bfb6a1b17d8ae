"""`stepwell`: the commands, each imported when it is used, and what becomes of their faults.

Exit codes: 0 done, 1 a run failed, 2 refused (the sentence on stderr says why), 3 a run was cancelled, 130 Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from stepwell.cli.faults import INTERRUPTED, REFUSED, ExitError, sentence
from stepwell.core.errors import StepwellError

app = App(
    name="stepwell",
    help="Durable workflows: run them, serve them, look after their runs.",
    version=lambda: version("stepwell"),
    default_parameter=Parameter(negative=()),
    help_format="plaintext",
)
app.command("stepwell.cli.run:run", name="run", help="Run a flow document to its end.")
app.command("stepwell.cli.validate:validate", name="validate", help="Say what is wrong with flow documents.")
app.command("stepwell.cli.serve:serve", name="serve", help="Serve the APIs and drive the runs of a database.")
app.command("stepwell.cli.runs:app", name="runs", help="List, show, watch, steer and decide runs.")
app.command("stepwell.cli.schedules:app", name="schedules", help="Start runs at times.")
app.command("stepwell.cli.settings:show_settings", name="settings", help="Show all settings and their origins.")


def main() -> NoReturn:
    """The entry point of the `stepwell` command."""
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Every fault of the user or the system is one sentence on stderr."""
    try:
        app(
            arguments or ["--help"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except ExitError as ended:
        return ended.code
    except (StepwellError, CycloptsError) as fault:
        print(sentence(fault), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it (`| head`). Python would complain at exit without this.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
