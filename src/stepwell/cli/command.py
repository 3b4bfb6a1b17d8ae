"""`stepwell`: the commands, each imported when it is used, and what becomes of their faults.

Exit codes: 0 done, 1 a run failed, 2 refused (the sentence on stderr says why), 3 a run was cancelled, 130 Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from stepwell.cli.faults import INTERRUPTED, REFUSED, SHOW_TRACEBACK, ExitError, sentence, unexpected
from stepwell.core.errors import StepwellError

app = App(
    name="stepwell",
    help="Durable workflows: run them, serve them, look after their runs.",
    version=lambda: version("stepwell"),
    default_parameter=Parameter(negative=()),
    help_format="plaintext",
)

# Each command is imported when it is used, so its summary stands here: `stepwell --help` needs no engine.
_RUN = """Run a document of a flow or a pipeline to its end.

Its output is JSON on stdout; on failure stderr ends with the problem as JSON. Exit code: 0 completed, 1 failed,
2 refused, 3 cancelled. Ctrl-C leaves the run as it stands, for --resume.
"""
_VALIDATE = """Say what is wrong with documents of flows and pipelines, as file:line: pointer: message.

A call of a function that is registered nowhere is a fault: name the program with --app. Exit code: 0 without a fault,
else 2.
"""
_SIMULATE = """Show what a pipeline would send, without sending it.

Each message is a line of JSON on stdout. Exit code: 0, or 2 when the document is refused or an execution goes wrong.
"""
_SERVE = """Serve the APIs and drive the runs of a database.

SIGTERM or Ctrl-C stops it: requests and steps in flight get a while to end, runs go on at the next start.
"""
_WORKER = """Drive runs of a PostgreSQL database, without APIs.

One more node beside `stepwell serve`; SIGTERM or Ctrl-C hands its runs over to the others.
"""
_MIGRATE = """Copy a SQLite database into a PostgreSQL one, and compare both.

No server may drive the file meanwhile. The same again goes on where it ended.
"""
_SETTINGS = """Show all settings with their values and origins; secrets are masked.

A setting is looked for on the command line, then as STEPWELL_<NAME> in the environment, then in stepwell.toml.
"""
_BACKUP = """Copy the database, and the files of its runs, while a server goes on with it.

The copy is what stood on disk at one instant, and is checked: to restore it, put it in the database's place.
"""
_DOCTOR = """Check the database, the disk, the clock, the brokers and the limits, and say what to do.

Exit code: 0, or 2 when something is at fault.
"""
_COMPLETION = """Print a script that completes commands and options in bash, zsh or fish.

For bash: source <(stepwell completion bash)
"""
app.command("stepwell.cli.run:run", name="run", help=_RUN)
app.command("stepwell.cli.simulate:simulate", name="simulate", help=_SIMULATE)
app.command("stepwell.cli.validate:validate", name="validate", help=_VALIDATE)
app.command("stepwell.cli.serve:serve", name="serve", help=_SERVE)
app.command("stepwell.cli.worker:worker", name="worker", help=_WORKER)
app.command("stepwell.cli.migrate:migrate", name="migrate", help=_MIGRATE)
app.command("stepwell.cli.runs.commands:app", name="runs", help="List, show, watch, steer and decide runs.")
app.command("stepwell.cli.schedules:app", name="schedules", help="Start runs at times.")
app.command("stepwell.cli.events:app", name="events", help="Send events to runs and workflows that listen.")
app.command("stepwell.cli.fmt:fmt", name="fmt", help="Write flow documents in their canonical form.")
app.command("stepwell.cli.graph:graph", name="graph", help="Print the graph of a flow document as Mermaid.")
app.command("stepwell.cli.keys:app", name="keys", help="API keys: create, list, revoke.")
app.command("stepwell.cli.backup:backup", name="backup", help=_BACKUP)
app.command("stepwell.cli.doctor:doctor", name="doctor", help=_DOCTOR)
app.command("stepwell.cli.completion:completion", name="completion", help=_COMPLETION)
app.command("stepwell.cli.settings:show_settings", name="settings", help=_SETTINGS)


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
    except Exception as bug:  # a bug of ours: the user gets a sentence, and how to see the traceback
        if os.environ.get(SHOW_TRACEBACK):
            raise
        print(unexpected(bug), file=sys.stderr)
        return REFUSED
    return 0
