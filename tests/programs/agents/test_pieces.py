"""Text in pieces: handed on a few times a second, up to a space."""

from stepwell.programs.agents.pieces import EVERY_S, LONGEST, Pieces


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_small_pieces_are_gathered_and_nothing_is_lost() -> None:
    clock, put = Clock(), list[str]()
    pieces = Pieces(put.append, clock)
    words = [f"word{n} " for n in range(100)]
    for word in words:
        pieces.take(word)
        clock.now += 0.01
    pieces.flush()
    assert "".join(put) == "".join(words)
    assert len(put) <= 1 + 1.0 / EVERY_S


def test_a_word_is_never_cut_unless_it_is_very_long() -> None:
    clock, put = Clock(), list[str]()
    pieces = Pieces(put.append, clock)
    clock.now = 10.0
    pieces.take("the key is sk-01")
    clock.now = 20.0
    pieces.take("23456789 and")
    assert put == ["the key is ", "sk-0123456789 "]
    pieces.take("x" * LONGEST)
    assert put[-1] == "and" + "x" * LONGEST


def test_nothing_is_put_where_nothing_came() -> None:
    put: list[str] = []
    pieces = Pieces(put.append, Clock())
    pieces.take("")
    pieces.flush()
    assert put == []
