"""An element of a page that is told what to show, and sends it to the browser only when it is news."""

from typing import Any

from nicegui.element import Element


class Part(Element):
    """Subclasses name their script; `props` are what that is given."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        self._props.update(props)

    def fill(self, **props: Any) -> None:
        if any(name not in self._props or self._props[name] != value for name, value in props.items()):
            self._props.update(props)
            self.update()
