"""Writes the pages that are made from data. `python docs/generate.py`; a test checks that they are current."""

from pathlib import Path

from stepwell.core.status import TRANSITIONS, Answer, Status, Trigger, outcome

HERE = Path(__file__).parent
WORDS = {Answer.NO_CHANGE: "no change", Answer.HOLD: "kept until resumed", Answer.REFUSE: ""}


def status_page() -> str:
    """The life of a run: a diagram and the whole table."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for status, row in TRANSITIONS.items():
        for trigger, target in row.items():
            if isinstance(target, Status) and target is not status:
                arrows.setdefault((status, target), []).append(trigger.replace("_", " "))
    lines = [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()]
    head = "| from \\ trigger | " + " | ".join(t.replace("_", " ") for t in Trigger) + " |"
    rows = [
        f"| **{status}** | " + " | ".join(_cell(outcome(status, trigger)) for trigger in Trigger) + " |"
        for status in Status
    ]
    return "\n".join(
        [
            "# The life of a run",
            "",
            "Made from `core/status.py` by `docs/generate.py`; do not edit. An empty cell is refused.",
            "A resumed run shows where it stood before the pause. `waiting` is not an event of its own: a running",
            "run waits when every live step of it does; the reason shown is the first that applies of approval,",
            "callback, event, timer, child. A run whose start time has not come is scheduled again, whatever is",
            "done to it: nothing but its time starts it.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> scheduled",
            "    [*] --> pending",
            *lines,
            "```",
            "",
            head,
            "|---" * (len(Trigger) + 1) + "|",
            *rows,
            "",
        ]
    )


def _cell(target: Status | Answer) -> str:
    return WORDS[target] if isinstance(target, Answer) else str(target)


if __name__ == "__main__":
    (HERE / "status.md").write_text(status_page())
