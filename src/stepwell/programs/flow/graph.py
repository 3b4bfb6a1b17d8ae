"""A definition as a graph: a node for every task, an edge for every way from one to another; and as Mermaid text.

A node's id is short; its pointer says which task it is, so that whoever shows a run can colour it (a key of a run
without its counters, `@3 ~2 ^2`, is a pointer).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stepwell.programs.flow.model import tasks
from stepwell.programs.flow.model.kinds import KINDS
from stepwell.programs.flow.model.workflow import Use, Workflow

START, END = "start", "stop"
_PAST = "\0past"
"""The label of the way past a task that is not done: it is not drawn."""

_COUNTERS = re.compile(r"(?:[@~^]\d+)+(?=/|$)")
_SHAPES: Mapping[str, tuple[str, str]] = {
    "switch": ("{", "}"),
    "wait": ("([", "])"),
    "listen": ("([", "])"),
    "emit": (">", "]"),
    "raise": ("[/", "/]"),
    "do": ("[[", "]]"),
    "for": ("[[", "]]"),
    "fork": ("[[", "]]"),
    "try": ("[[", "]]"),
}

Way = tuple[str, str]
"""From a node, under a label."""


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    pointer: str
    name: str
    kind: str
    """The task's kind; for calls also what is called."""
    optional: bool = False
    """Whether a run may come past without doing it: by its `if`, or since an extension may take its place."""
    recorded: bool = False
    """Whether a run that does it has a step of it, always."""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    target: str
    label: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that belong to a list of tasks; `title` is empty for the workflow itself."""

    title: str
    members: tuple[Any, ...]  # GraphNode | Group


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a task for which a list inside it was done to its end, at one of `ends`: a branch of a `fork`
    always; the list of a `for` (`loop`) only if it was begun."""

    node: str
    ends: tuple[str, ...]
    loop: bool = False


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """`past` are ways that are not drawn: past the optional tasks."""

    groups: tuple[Group, ...]
    nodes: tuple[GraphNode, ...]
    edges: tuple[Edge, ...]
    past: tuple[Edge, ...] = ()
    joins: tuple[Join, ...] = ()

    def node_at(self, key: str) -> GraphNode | None:
        """The node of a task, by its pointer or by a key of a run."""
        by_pointer = {node.pointer: node for node in self.nodes}
        return by_pointer.get(key) or by_pointer.get(without_counters(key))


def without_counters(key: str) -> str:
    """The pointer in a key of a run."""
    return _COUNTERS.sub("", key)


def graph_of(workflow: Workflow) -> Graph:
    """The graph of a definition: its tasks, and those of its functions and extensions."""
    use = workflow.use
    builder = _Builder(use)
    first, members, ends = builder.listed(workflow.do, END)
    builder.edges += [Edge(source=START, target=first or END)]
    builder.lead(ends, END)
    groups = [Group(title="", members=tuple(members))]
    for name, task in use.functions.items() if use else ():
        groups.append(Group(title=f"function {name}", members=tuple(builder.listed((task,), "")[1])))
    for extension in use.extensions if use else ():
        for when, listed in (("before", extension.before), ("after", extension.after)):
            if listed:
                title = f"{extension.at.rpartition('/')[2]}: {when} {extension.extend}"
                groups.append(Group(title=title, members=tuple(builder.listed(listed, "")[1])))
    edges = dict.fromkeys(builder.edges)
    return Graph(
        groups=tuple(groups),
        nodes=tuple(builder.nodes),
        edges=tuple(edge for edge in edges if edge.label != _PAST),
        past=tuple(edge for edge in edges if edge.label == _PAST),
        joins=tuple(builder.joins),
    )


class _Builder:
    def __init__(self, use: Use | None) -> None:
        self._use = use
        self.nodes: list[GraphNode] = []
        self.edges: list[Edge] = []
        self.joins: list[Join] = []

    def listed(self, listed: tuple[tasks.Task, ...], stop: str) -> tuple[str, list[Any], list[Way]]:
        """The first node of a list, what is in it, and the ways out of it. `stop` is where `end` leads."""
        members: list[Any] = []
        parts = [self._task(task, stop, members) for task in listed]
        firsts = {task.name: first for task, (first, _) in zip(listed, parts, strict=True)}
        leaving: list[Way] = []
        for position, (task, (first, ends)) in enumerate(zip(listed, parts, strict=True)):
            following = parts[position + 1][0] if position + 1 < len(parts) else None
            ways = [(end, task.then) for end in ends]
            if isinstance(task, tasks.SwitchTask):
                ways = [((first, case.at.rpartition("/")[2]), case.then) for case in task.switch]
                ways += [] if any(case.when is None for case in task.switch) else [((first, "else"), task.then)]
            if self._is_optional(task):
                # A `raise` has no other way that would show where the run goes on.
                drawn = isinstance(task, tasks.RaiseTask) and task.if_ is not None
                ways.append(((first, "else" if drawn else _PAST), "continue"))
            for way, then in ways:
                self._follow(way, then, (following, firsts, stop), leaving)
        return (parts[0][0] if parts else ""), members, leaving

    def _follow(self, way: Way, then: str, to: tuple[str | None, Mapping[str, str], str], leaving: list[Way]) -> None:
        following, firsts, stop = to
        if then == "end":
            self.lead([way], stop)
        elif then in firsts:
            self.lead([way], firsts[then])
        elif then == "continue" and following is not None:
            self.lead([way], following)
        else:
            leaving.append(way)

    def lead(self, ways: Iterable[Way], target: str) -> None:
        if target:
            self.edges += [Edge(source=source, target=target, label=label) for source, label in ways]

    def _task(self, task: tasks.Task, stop: str, members: list[Any]) -> tuple[str, list[Way]]:
        """The node of a task and the ways out of it, with all that is inside."""
        node = GraphNode(
            id=f"n{len(self.nodes)}",
            pointer=task.at,
            name=task.name,
            kind=_kind(task),
            optional=self._is_optional(task),
            recorded=self._is_recorded(task),
        )
        self.nodes.append(node)
        members.append(node)
        match task:
            case tasks.DoTask():
                return node.id, self._inside(node.id, task.do, (stop, "", task.name), members)
            case tasks.ForTask():
                ends = self._inside(node.id, task.do, (stop, "each", task.name), members)
                self.lead(ends, node.id)
                self._join(node.id, ends, loop=True)
                return node.id, [(node.id, "done")]
            case tasks.ForkTask():
                return node.id, self._branches(node.id, task, stop, members)
            case tasks.TryTask():
                ends = self._inside(node.id, task.try_, (stop, "", task.name), members)
                return node.id, ends + self._caught(node.id, task, stop, members)
            case tasks.ListenTask() | tasks.CallAsyncApi():
                listed = _for_each(task)
                if listed:
                    inside = (stop, "each event", task.name)
                    self.lead(self._inside(node.id, listed, inside, members), node.id)
            case tasks.RaiseTask():
                return node.id, []
        return node.id, [(node.id, "")]

    def _is_optional(self, task: tasks.Task) -> bool:
        return task.if_ is not None or (self._use is not None and bool(self._use.extensions))

    def _is_recorded(self, task: tasks.Task) -> bool:
        if isinstance(task, tasks.RunTask):
            return task.run.await_  # else the flow goes on beside it
        called = getattr(task, "call", None)
        if called is not None:
            return self._use is None or called not in self._use.functions
        return isinstance(task, tasks.WaitTask | tasks.ListenTask)

    def _inside(
        self, source: str, listed: tuple[tasks.Task, ...], words: tuple[str, str, str], members: list[Any]
    ) -> list[Way]:
        stop, label, title = words
        first, inner, ends = self.listed(listed, stop)
        if not first:
            return [(source, label)]
        members.append(Group(title=title, members=tuple(inner)))
        self.lead([(source, label)], first)
        return ends

    def _caught(self, source: str, task: tasks.TryTask, stop: str, members: list[Any]) -> list[Way]:
        """The ways out of a `catch`. Without `do` it drops the error, or when there are retries hands it on up."""
        catch = task.catch
        if catch.do is None and catch.retry is not None:
            return []
        return self._inside(source, catch.do or (), (stop, "on error", f"{task.name}: catch"), members)

    def _join(self, node: str, ends: list[Way], *, loop: bool = False) -> None:
        if ends:
            self.joins.append(Join(node=node, ends=tuple(end for end, _ in ends), loop=loop))

    def _branches(self, source: str, task: tasks.ForkTask, stop: str, members: list[Any]) -> list[Way]:
        ends: list[Way] = []
        label = "first to end" if task.fork.compete else ""
        for branch in task.fork.branches:
            of_branch = self._inside(source, (branch,), (stop, label, f"{task.name}: {branch.name}"), members)
            if not task.fork.compete:
                self._join(source, of_branch)
            ends += of_branch
        return ends or [(source, "")]


def _for_each(task: tasks.ListenTask | tasks.CallAsyncApi) -> tuple[tasks.Task, ...]:
    """What is done with each event."""
    if isinstance(task, tasks.ListenTask):
        iterator = task.foreach
    else:
        iterator = task.with_.subscription.foreach if task.with_.subscription else None
    return (iterator.do or ()) if iterator else ()


def _kind(task: tasks.Task) -> str:
    kind = next((kind for kind, part in KINDS.items() if isinstance(task, part)), "call")
    return f"call {called}" if (called := getattr(task, "call", None)) else kind


def mermaid(graph: Graph) -> str:
    """A flow chart. Each node's pointer is in a comment: `%% n0 /do/0/first`."""
    lines = ["flowchart TD", f"  {START}((start))", f"  {END}((end))"]
    for number, group in enumerate(graph.groups):
        lines += _group_lines(group, f"g{number}", "  ")
    for edge in graph.edges:
        label = f"|{_quoted(edge.label)}|" if edge.label else ""
        lines.append(f"  {edge.source} -->{label} {edge.target}")
    lines += [f"  %% {node.id} {node.pointer}".replace("\n", " ") for node in graph.nodes]
    return "\n".join(lines) + "\n"


def _group_lines(group: Group, id: str, indent: str) -> list[str]:
    lines = []
    inner = indent + "  " if group.title else indent
    for number, member in enumerate(group.members):
        if isinstance(member, Group):
            lines += _group_lines(member, f"{id}_{number}", inner)
            continue
        opening, closing = _SHAPES.get(member.kind, ("[", "]"))
        lines.append(f"{inner}{member.id}{opening}{_quoted(f'{member.name}<br/>{member.kind}')}{closing}")
    if not group.title:
        return lines
    return [f"{indent}subgraph {id}[{_quoted(group.title)}]", *lines, f"{indent}end"]


def _quoted(text: str) -> str:
    """Text in quotes; what Mermaid gives a meaning in there goes as an entity."""
    safe = re.sub(r"[#\"`&\\]|[\x00-\x1f]", lambda found: f"#{ord(found.group())};", text)
    return '"' + re.sub(r"<(?!br/>)", "#lt;", safe) + '"'
