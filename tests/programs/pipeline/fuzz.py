"""Documents made up from a number, and what playing one may come to: it is compiled or refused, it runs or says what
went wrong, and it never takes long.

As a program it plays very many, on every processor, and goes on after one that fails:
`python -m tests.programs.pipeline.fuzz --first 0 --count 1000000`, in the background behind `nohup chrt -i 0`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Any, NamedTuple

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.pipeline.compiling import compile_pipeline
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.functions import OWN
from stepwell.programs.pipeline.plain import PLAIN
from stepwell.programs.pipeline.simulating import simulate

AT_A_TIME = 2_000
"""Documents that a process plays before it tells."""
LONGEST_S = 1.0
"""Of processor time, for one document."""
ENOUGH_S = 0.4
"""After which a simulation is cut: a document may well repeat something for ever."""
NAMES = [*OWN, *PLAIN]
TWO = ("add", "sub", "mul", "div", "mod", "percent")
LITERAL = {"int": "1,9", "long": "-5, 5", "choice": "a,1,true", "choiceweighted": "a:1,b:2"}
ATOMS = ["state.n", ".a", "state.l", "meta.loop.currentIteration", "'text'", '"q"', "true", "bare", "1", "-2.5", "3"]
JUNK = "(),'\".:{}0a é\x00 "
FIELDS = ["a", "b", "o.x", "c.d.e", "state", "l", "n"] * 9 + [""]


class Maker:
    """Documents of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"id": "wf", "producerName": "p", "topic": "t"}
        found["state"] = {"n": 1, "l": [1, 2], **(self.fields() if self.chance() else {})}
        found["pipeline"] = [self.stage() for _ in range(self.random.randint(1, 3))]
        if self.chance(0.1):
            found[self.random.choice(["contentType", "executions", "rate", "seed"])] = self.value(1)
        return found

    def stage(self) -> dict[str, Any]:
        usual: dict[str, Callable[[], Any]] = {
            "emit": lambda: self.condition() if self.chance() else True,
            "repeat": lambda: self.random.randint(1, 50),
            "repeatWhile": self.condition,
            "repeatUntil": self.condition,
            "set": self.fields,
            "state": self.fields,
            "headers": self.fields,
            "wait": lambda: self.random.choice(["1ms", "5m"]),
        }
        odd: dict[str, Callable[[], Any]] = dict.fromkeys(
            ("source", "key", "query", "expect", "wireFormat", "emit", "repeat", "repeatWhile", "wait"),
            lambda: self.value(2),
        )
        chosen = {name: make() for name, make in usual.items() if self.chance(0.4)}
        chosen |= {name: make() for name, make in odd.items() if self.chance(0.01)}
        return {"stage": self.random.choice(["s", "a b", "S-1"]), **chosen}

    def condition(self) -> dict[str, Any]:
        name = self.random.choice(["eq", "neq", "lt", "gte"])
        test = f"{name}({self.call(1)},{self.call(1)})"
        return {"$fn": f"{self.random.choice(['and', 'or', 'not'])}({test})" if self.chance(0.3) else test}

    def fields(self) -> dict[str, Any]:
        return {self.random.choice(FIELDS): self.value(2) for _ in range(self.random.randint(0, 3))}

    def value(self, depth: int) -> Any:
        match self.random.randint(0, 9):
            case 0 | 1 | 2:
                return self.function()
            case 3:
                return {"$ref": self.random.choice(["a", "state.n", "state.l", "x.y", "o.x"])}
            case 4:
                return {"when": self.condition(), "value": self.value(0), "default": 1}
            case 5 if depth:
                return [self.value(depth - 1) for _ in range(3)]
            case 6 if depth:
                return {self.random.choice(FIELDS): self.value(depth - 1) for _ in range(3)}
        return self.random.choice([None, True, 0, -1, 10**25, 1.5, 1e300, "text", "", "é\U0001f600"])

    def function(self) -> dict[str, Any]:
        text = self.call(self.random.randint(1, 3))
        return {"$fn": text if "(" in text or self.chance(0.1) else f"text({text})"}

    def call(self, depth: int) -> str:
        if self.chance(0.01):
            return "".join(self.random.choices(JUNK, k=self.random.randint(0, 8)))
        if not depth or self.chance(0.3):
            return self.random.choice(ATOMS)
        name = self.random.choice(NAMES)
        if name in LITERAL:
            return f"{name}({LITERAL[name] if self.chance(0.9) else self.call(depth - 1)})"
        arguments = ",".join(self.call(depth - 1) for _ in range(self.arity(name)))
        return f"{name}({arguments})"

    def arity(self, name: str) -> int:
        """Mostly a number of arguments that the function takes."""
        if name in PLAIN and self.chance(0.95):
            return self.random.randint(PLAIN[name].least, min(PLAIN[name].most, 4))
        return 2 if name in TWO else 0

    def chance(self, of: float = 0.5) -> bool:
        return self.random.random() < of


class Played(NamedTuple):
    """What so many documents came to: `ran` went to their end; `failures` say which seed and what went wrong."""

    documents: int
    ran: int
    slowest_s: float
    failures: list[str]


def play_all(seeds: range) -> Played:
    """The documents of these seeds."""
    return asyncio.run(_play_all(seeds))


async def _play_all(seeds: range) -> Played:
    ran, slowest_s, failures = 0, 0.0, []
    for seed in seeds:
        began = time.process_time()
        try:
            ran += await play(Maker(seed).document())
        except Exception as fault:  # noqa: BLE001  whatever it is, it is what is looked for
            failures.append(f"seed {seed}: {fault!r}")
        took_s = time.process_time() - began
        slowest_s = max(slowest_s, took_s)
        if took_s > LONGEST_S:
            failures.append(f"seed {seed}: took {took_s:.2f} s")
    return Played(len(seeds), ran, slowest_s, failures)


async def play(document: dict[str, Any]) -> bool:
    """Whether it ran to its end; else it was refused with words."""
    try:
        pipeline = compile_pipeline(read_json(JSON.encode(document).decode()))
        (messages,) = await simulate(pipeline, seed="s", started_at=0.0, longest_s=ENOUGH_S)
    except (InvalidDefinitionError, RuleError) as refusal:
        if not str(refusal).strip():
            raise AssertionError("refused without a word") from refusal
        return False
    return all(JSON.encode(message.header) for message in messages)


def play_on_all_processors(first: int, count: int) -> Iterator[Played]:
    """Part after part, in order."""
    parts = [range(low, min(low + AT_A_TIME, first + count)) for low in range(first, first + count, AT_A_TIME)]
    with ProcessPoolExecutor() as workers:
        yield from workers.map(play_all, parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Play documents made up from numbers.")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many")
    options = parser.parse_args()
    count, ran, failed, slowest_s, began = 0, 0, 0, 0.0, time.monotonic()
    for part in play_on_all_processors(options.first, options.count):
        count, ran, failed = count + part.documents, ran + part.ran, failed + len(part.failures)
        slowest_s = max(slowest_s, part.slowest_s)
        told = f"{count} documents, {ran} ran, {failed} failed, slowest {slowest_s:.2f} s of processor time"
        print(*part.failures, f"{told}, {time.monotonic() - began:.0f} s", sep="\n", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
