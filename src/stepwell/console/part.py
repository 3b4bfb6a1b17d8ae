"""An element of a page that is told what to show, and sends it to the browser only when it is news."""

from typing import Any

from nicegui.element import Element


class Part(Element):
    """Subclasses name their script; `props` are what that is given."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        self._props.update(props)

    def fill(self, **props: Any) -> None:
        """Show this from now on."""
        if any(name not in self._props or self._props[name] != value for name, value in props.items()):
            dict.update(self._props, props)  # as they are: NiceGUI would have each list and dict in them observed
            self.update()

    def call(self, method: str, *arguments: str) -> None:
        """Call a method of the script with arguments that are JSON already.

        It goes straight to what is sent: `run_method` would write the arguments anew, and start a task for an answer
        that nobody waits for.
        """
        code = f'runMethod({self.id}, "{method}", [{", ".join(arguments)}])'
        if not self.is_deleted:
            self.client.outbox.enqueue_message("run_javascript", {"code": code}, self.client.id)
