"""YAML 1.2 text to JSON values, from ruamel.yaml's events: the core schema and nothing else.

`on`, `yes`, dates and `<<` stay text. One document per text; tags only where the core schema has them.
"""

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.source import Places, Source

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_STRING_TAG = "tag:yaml.org,2002:str"
_EXPECTED = re.compile(r"expected (.*), but (?:got|found) (.*)", re.DOTALL)
_COLLECTION_TAGS = {"SequenceStart": "tag:yaml.org,2002:seq", "MappingStart": "tag:yaml.org,2002:map"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "map", "seq")}


def read_yaml(text: str) -> Source:
    """Raises `InvalidDefinitionError` with the line of what is wrong."""
    places = Places()
    composer = _Composer(iter(()), places)
    try:
        yaml = YAML(typ="safe", pure=True)
        composer = _Composer(yaml.parse(text), places)
        value = composer.document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        places.stop(composer.at, line, _in_our_words(str(error.problem or error.context)))
    except (YAMLError, ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError) as error:
        # ruamel's reader raises the first for bytes it cannot read; on hostile text the others escape it.
        places.stop(composer.at, composer.line, f"expected YAML, found something else: {error}")
    return places.finish(value)


def _in_our_words(problem: str) -> str:
    problem = problem.replace("'<stream end>'", "the end")
    if expected := _EXPECTED.fullmatch(problem):
        return f"expected YAML (here {expected[1]}), found {expected[2]}"
    if problem.startswith("found "):
        return f"expected YAML, {problem}"
    return f"expected YAML, found something else: {problem}"


class _Composer:
    """Builds values from events. `at` and `line` say where it is."""

    def __init__(self, events: Iterator[Any], places: Places) -> None:
        self._events = events
        self._places = places
        self._anchors: dict[str, tuple[Any, int]] = {}
        self.at = ""
        self.line = 1

    def document(self) -> Any:
        self._next()  # stream start
        if _kind(self._next()) != "DocumentStart":
            self._places.stop("", 1, "expected a workflow definition, found an empty document")
        value = self._value(self._next(), "", 1)
        self._next()  # document end
        event = self._next()
        if _kind(event) != "StreamEnd":
            self._places.stop("", self.line, "expected one document, found a second one")
        return value

    def _next(self) -> Any:
        event = next(self._events)
        self.line = event.start_mark.line + 1
        return event

    def _value(self, event: Any, at: str, depth: int) -> Any:
        self.at = at
        self._places.lines.setdefault(at, self.line)
        if _kind(event) == "Alias":
            return self._alias(event.anchor, at)
        before = self._places.count(at, self.line)
        value = self._node(event, at, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, self._places.count(at, self.line, 0) - before + 1
        return value

    def _alias(self, anchor: str, at: str) -> Any:
        if anchor not in self._anchors:
            self._places.stop(at, self.line, f"expected an anchor that was closed before, found *{anchor}")
        value, nodes = self._anchors[anchor]
        self._places.count(at, self.line, nodes)
        return value

    def _node(self, event: Any, at: str, depth: int) -> Any:
        self._places.check_nesting(at, self.line, depth)
        if _kind(event) == "Scalar":
            return self._scalar(event, at)
        self._check_tag(event, at)
        return self._mapping(at, depth) if _kind(event) == "MappingStart" else self._sequence(at, depth)

    def _check_tag(self, event: Any, at: str) -> None:
        """Of a list or an object."""
        if event.tag is not None and str(event.tag) not in (_COLLECTION_TAGS[_kind(event)], "!"):
            self._places.fault(at, self.line, f"expected no tag, found {event.tag}")

    def _sequence(self, at: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while _kind(event := self._next()) != "SequenceEnd":
            items.append(self._value(event, f"{at}/{len(items)}", depth + 1))
        return items

    def _mapping(self, at: str, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while _kind(event := self._next()) != "MappingEnd":
            key = self._key(event, at)
            inside = f"{at}/{escape(key)}"
            if key in entries:
                self._places.fault(inside, self.line, f"expected each name once, found {key!r} again")
            self._places.lines[inside] = self.line
            entries[key] = self._value(self._next(), inside, depth + 1)
        return entries

    def _key(self, event: Any, at: str) -> str:
        key = self._alias(event.anchor, at) if _kind(event) == "Alias" else None
        if _kind(event) == "Scalar":
            key = self._scalar(event, at)
            if event.anchor:
                self._anchors[event.anchor] = key, 1
        if not isinstance(key, str):
            found = repr(event.value) if _kind(event) == "Scalar" else "a list or an object"
            self._places.stop(at, self.line, f"expected text as a name, found {found}; put it in quotes")
        return key

    def _scalar(self, event: Any, at: str) -> Any:
        text, tag = str(event.value), event.tag
        if tag is not None and str(tag) not in _PLAIN_TAGS | {_STRING_TAG, "!"}:
            self._places.fault(at, self.line, f"expected no tag, found {tag}")
        self._places.check_text(at, self.line, text)
        plain = event.implicit[0] if tag is None else str(tag) in _PLAIN_TAGS
        return self._plain(text, at) if plain else text

    def _plain(self, text: str, at: str) -> Any:
        """A scalar without quotes, by the core schema (YAML 1.2.2 §10.3.2)."""
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        try:
            if _INTEGER.fullmatch(text):
                return int(text)
            if _BASED.fullmatch(text):
                return int(text, 0)
        except ValueError:
            self._places.fault(at, self.line, f"expected a number, found one of {len(text)} digits")
            return 0
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not isfinite(float(text))):
            self._places.fault(at, self.line, f"expected a number that JSON can hold, found {text}")
            return 0
        return float(text) if _FLOAT.fullmatch(text) else text


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")
