"""Compiles the tasks that deal with what is outside of their run: events, other runs, processes, callbacks, language
models.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stepwell.programs.callbacks import CallbackTokens
from stepwell.programs.flow import shapes
from stepwell.programs.flow.checking import Definition
from stepwell.programs.flow.expressions import constant, together
from stepwell.programs.flow.model import tasks
from stepwell.programs.flow.model.processes import LANGUAGES, Process
from stepwell.programs.flow.nodes.agent import AgentNode
from stepwell.programs.flow.nodes.callback import CallbackNode
from stepwell.programs.flow.nodes.listen import ForEach, ListenNode
from stepwell.programs.flow.nodes.listening import listening_of
from stepwell.programs.flow.nodes.run_process import ProcessCall, RunProcessNode
from stepwell.programs.flow.nodes.run_workflow import ChildCall, RunWorkflowNode
from stepwell.programs.flow.nodes.scope import Node
from stepwell.programs.flow.nodes.sequence import Sequence
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.function_port import RegisteredFunctions
from stepwell.programs.http import HttpClient
from stepwell.programs.processes import Language, Processes

ListCompiler = Callable[[tuple[tasks.Task, ...]], Sequence]


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What such tasks are handed: local processes where they may run, who issues the tokens of callbacks, and who
    asks language models.
    """

    processes: Processes | None = None
    callbacks: CallbackTokens | None = None
    agents: Any = None  # an AgentRunner, which msgspec has no type for


NOTHING_OUTSIDE = Outside()


def listen_node(task: tasks.ListenTask, definition: Definition, sequence: ListCompiler) -> Node:
    return ListenNode(listening_of(task), _foreach(task.foreach, definition, sequence))


def _foreach(
    model: tasks.SubscriptionIterator | None, definition: Definition, sequence: ListCompiler
) -> ForEach | None:
    if model is None:
        return None
    output, export = model.output, model.export
    return ForEach(
        at=model.at,
        item=model.item,
        index=model.at_,
        body=sequence(model.do) if model.do is not None else None,
        output_as=output.as_ if output else None,
        output_schema=shapes.data_check(output.schema if output else None, "output", definition),
        export_as=export.as_ if export else None,
        export_schema=shapes.data_check(export.schema if export else None, "context", definition),
    )


def run_node(task: tasks.RunTask, outside: Outside) -> Node:
    run = task.run
    if run.workflow is not None:
        version = None if run.workflow.version == "latest" else run.workflow.version
        child = ChildCall(
            workflow=run.workflow.name,
            version=version,
            input=run.workflow.input,
            wait=run.await_,
            silent=run.return_ == "none",
        )
        return RunWorkflowNode(child, name=task.name, at=task.at)
    assert outside.processes is not None, "a checked definition runs processes only where there are some"
    return RunProcessNode(_process_call(run), outside.processes, name=task.name, at=task.at)


def _process_call(run: Process) -> ProcessCall:
    given = run.script or run.shell
    assert given is not None, "containers are refused when a definition is checked"
    language: Language = "shell"
    if run.script is not None:
        language, code = LANGUAGES[run.script.language], constant(run.script.code)
    else:
        assert run.shell is not None
        code = run.shell.command
    return ProcessCall(
        at=given.at,
        language=language,
        code=code,
        arguments=given.arguments,
        environment=given.environment,
        stdin=given.stdin,
        wait=run.await_,
        returns=run.return_,
    )


def callback_node(task: tasks.CallCallback, http: HttpClient | None, outside: Outside) -> Node:
    given = task.with_
    parts = {"url": given.url, "payload": given.payload, "timeout_seconds": given.timeout_seconds} if given else {}
    arguments = together({name: part for name, part in parts.items() if part is not None})
    return CallbackNode(arguments, http, outside.callbacks, name=task.name, at=task.at)


def agent_node(
    task: tasks.CallLanguageModel, functions: RegisteredFunctions | None, outside: Outside, definition: Definition
) -> Node:
    given = task.with_
    parts = {"prompt": given.prompt, "system": given.system, "model": given.model}
    schema = given.output_schema
    return AgentNode(
        together({name: part for name, part in parts.items() if part is not None}),
        runner=outside.agents,
        functions=functions,
        tools=given.tools,
        max_turns=given.max_turns,
        output_schema=schema,
        check=None if schema is None else DataCheck(schema, "answer", definition.expressions),
        name=task.name,
        at=task.at,
    )
