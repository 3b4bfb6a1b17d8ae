"""`stepwell doctor`: what is well, and what is not with what to do."""

import socket

from .commands import Ran, Shell


def found(ran: Ran) -> dict[str, tuple[str, str]]:
    return {one["what"]: (one["verdict"], one["text"]) for one in ran.json}


def test_a_new_folder_is_well(inside: Shell) -> None:
    ran = inside.run("doctor", "--json", "--db", "sqlite:///new.db")

    assert ran.code == 0
    assert found(ran)["database"][0] == "warning"
    assert found(ran)["clock"][0] == "ok"
    assert found(ran)["disk"][0] in ("ok", "warning")
    assert "python" in found(ran)
    assert not (inside.folder / "new.db").exists()


def test_a_foreign_database_is_a_fault(inside: Shell) -> None:
    inside.write("text.db", "no database at all " * 100)

    ran = inside.run("doctor", "--json", "--db", "sqlite:///text.db")

    assert ran.code == 2
    assert found(ran)["database"][0] == "fault"


def test_brokers_are_reached_or_not(inside: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as gone:
        port, closed = there.getsockname()[1], gone.getsockname()[1]
        gone.close()
        inside.write(
            "connections.yaml",
            f"kafka:\n- {{name: up, bootstrap-servers: '127.0.0.1:{port}'}}\n"
            f"rabbit:\n- {{name: down, host: 127.0.0.1, port: {closed}}}\n",
        )
        inside.write("stepwell.toml", 'connections = "connections.yaml"\n')

        ran = inside.run("doctor", "--json")

    assert ran.code == 2
    assert found(ran)["kafka up"][0] == "ok"
    assert found(ran)["rabbit down"][0] == "fault"
    assert str(closed) in found(ran)["rabbit down"][1]
