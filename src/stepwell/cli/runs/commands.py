"""The commands of `stepwell runs`, each imported when it is used; so their summaries stand here."""

from cyclopts import App

app = App(name="runs", help="List, show, watch, steer and decide runs.")

_COMMANDS = {
    "list": ("reading:list_runs", "List runs, newest first."),
    "show": ("reading:show", "Show one run: its steps with their attempts, input, output and error."),
    "verify": ("verifying:verify", "Check the hashes of a run's history: 0 when every event fits, else 1."),
    "watch": ("reading:watch", "Watch a run until it ends."),
    "approve": ("deciding:approve", "Approve what a run waits for."),
    "reject": ("deciding:reject", "Reject what a run waits for."),
    "signal": ("steering:signal", "Send a signal to a run; it is kept until a wait takes it."),
    "pause": ("steering:pause", "Begin no step until the run is resumed; those in flight finish."),
    "resume": ("steering:resume", "Let a paused run go on."),
    "stop": ("steering:stop", "Let the steps in flight finish, begin no other, then end the run as cancelled."),
    "cancel": ("steering:cancel", "End a run at once."),
    "retry": ("steering:retry", "Let a failed or cancelled run go on from what failed; what completed stays."),
}

for _name, (_place, _help) in _COMMANDS.items():
    app.command(f"stepwell.cli.runs.{_place}", name=_name, help=_help)
