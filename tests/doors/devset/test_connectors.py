"""Connections to brokers and data sources: made, shown without secrets, kept, and removed."""

from pathlib import Path
from typing import Any

import pytest

from stepwell.brokers.options import BROKER, read_options
from stepwell.connections import read_connections
from stepwell.settings import SettingsError
from stepwell.store.model import Record

from .house import House, housed, pipeline

PATHS = ("/connectors/configurations", "/api/connectors/configurations")
SOURCES = "/api/db/connectors/configurations"
KAFKA = {"type": "kafka", "name": "local", "bootstrapServers": "127.0.0.1:9092"}
RABBIT = {"type": "RABBIT", "name": " far ", "host": "mq.example", "username": "u", "password": "a secret"}


@pytest.mark.parametrize("path", PATHS)
async def test_connectors_are_listed_by_name_without_passwords(house: House, path: str) -> None:
    for connector in (KAFKA, RABBIT):
        answer = await house.client.post(path, json=connector)
        assert (answer.status_code, answer.content) == (200, b"")
    answer = await house.client.get(path)
    assert "secret" not in answer.text
    far, local = answer.json()
    assert far == {
        "type": "rabbit",
        "name": "far",
        "endpoint": "mq.example:5672/",
        "producerConnected": False,
        "consumerConnected": False,
        "authenticated": True,
    }
    assert (local["endpoint"], local["authenticated"]) == ("127.0.0.1:9092", False)


async def test_connectors_outlive_the_server(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        await house.client.post(PATHS[0], json=KAFKA)
    async with housed(tmp_path) as house:
        (found,) = (await house.client.get(PATHS[0])).json()
        assert (found["type"], found["name"]) == ("kafka", "local")
        assert (await house.client.delete(f"{PATHS[0]}/kafka/local")).status_code == 200
        assert (await house.client.get(PATHS[0])).json() == []


async def test_a_connector_of_the_same_name_is_replaced(house: House) -> None:
    for servers in ("a:1", "a:1", "b:2"):
        assert (await house.client.post(PATHS[0], json={**KAFKA, "bootstrapServers": servers})).status_code == 200
    (found,) = (await house.client.get(PATHS[0])).json()
    assert found["endpoint"] == "b:2"


async def test_what_active_runs_use_is_neither_replaced_nor_removed(house: House) -> None:
    connector = {**KAFKA, "name": "p"}
    await house.client.post(PATHS[0], json=connector)
    run_id = await house.execute(pipeline({"wait": "5m"}))
    await house.brokers.posted(1)
    other = await house.client.post(PATHS[0], json={**connector, "bootstrapServers": "b:2"})
    removed = await house.client.delete(f"{PATHS[0]}/kafka/p")
    assert [(answer.status_code, answer.json()["message"]) for answer in (other, removed)] == [
        (400, "Cannot overwrite Kafka connector while active runs use it: p"),
        (400, "Cannot remove Kafka connector while active runs use it: p"),
    ]
    assert (await house.client.post(PATHS[0], json=connector)).status_code == 200, "the same again changes nothing"
    await house.client.post(f"/engine/runs/{run_id}/stop")
    await house.ended(run_id)
    assert (await house.client.delete(f"{PATHS[0]}/kafka/p")).status_code == 200


@pytest.mark.parametrize(
    ("connector", "said"),
    [
        ({}, "Connection type must not be blank"),
        ({"type": "kafka"}, "Connection name must not be blank"),
        ({"type": "amqp", "name": "a"}, "Unsupported connection type: amqp"),
        ({"type": "kafka", "name": "a"}, "Kafka bootstrapServers must not be blank"),
        ({"type": "rabbit", "name": "a"}, "RabbitMQ host must not be blank"),
        ({"type": "rabbit", "name": "a", "host": "h", "port": 0}, "RabbitMQ port must be > 0"),
        ({**KAFKA, "mechanism": "MAGIC"}, "mechanism"),
        ({**RABBIT, "port": "many"}, "port"),
        ({**KAFKA, "username": "u"}, "username and password go together"),
        ({**RABBIT, "username": None}, "username and password go together"),
        ({**KAFKA, "mechanism": "SCRAM-SHA-256"}, "mechanism SCRAM-SHA-256 needs username and password"),
        ({**KAFKA, "caFile": "ca.pem"}, "set tls to true"),
        ({**RABBIT, "certificateFile": "c.pem", "keyFile": "k.pem"}, "set tls to true"),
        ({**KAFKA, "tls": True, "keyFile": "k.pem"}, "the file of a key goes with"),
        ([], "object"),
    ],
)
async def test_a_connector_that_cannot_be(house: House, connector: Any, said: str) -> None:
    answer = await house.client.post(PATHS[0], json=connector)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert (await house.client.get(PATHS[0])).json() == []


async def test_a_connector_on_record_that_contradicts_is_read_all_the_same(house: House) -> None:
    options = {"bootstrap_servers": "old:1", "username": "u"}
    old = Record(kind=BROKER, id="kafka/old", data={"options": options})
    await house.app.engine.store.put_record(old)
    await house.client.post(PATHS[0], json=KAFKA)
    found = (await house.client.get(PATHS[0])).json()
    assert [one["name"] for one in found] == ["local", "old"]
    assert read_options(old.id, old.data).username == "u"
    assert (await house.client.delete(f"{PATHS[0]}/kafka/old")).status_code == 200


def test_a_connector_of_a_file_that_contradicts_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "connections.yaml"
    file.write_text("kafka: [{name: fixed, bootstrap-servers: 'a:1', username: u}]\n")
    with pytest.raises(SettingsError, match="kafka/fixed: username and password go together"):
        read_connections(str(file))


async def test_connections_of_a_file_are_shown_and_cannot_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "connections.yaml"
    file.write_text("kafka: [{name: fixed, bootstrap-servers: 'a:1'}]\ndatabases: [{name: f, type: csv, path: x}]\n")
    async with housed(tmp_path, connections=str(file)) as house:
        await house.client.post(PATHS[0], json=KAFKA)
        found = (await house.client.get(PATHS[0])).json()
        assert [(one["name"], one["endpoint"]) for one in found] == [("fixed", "a:1"), ("local", "127.0.0.1:9092")]
        for answer in (
            await house.client.post(PATHS[0], json={**KAFKA, "name": "fixed"}),
            await house.client.delete(f"{PATHS[0]}/kafka/fixed"),
        ):
            assert answer.status_code == 400
            assert answer.json()["message"] == "Kafka connector is set in the server's file of connections: fixed"
        (source,) = (await house.client.get(SOURCES)).json()
        assert (source["name"], source["endpoint"]) == ("f", "x")


# --- data sources ---------------------------------------------------------------------------------------------------


async def test_data_sources_are_listed_without_credentials(house: House) -> None:
    mongo = {"type": "mongodb", "name": "shop", "connectionString": "mongodb://u:pw@db.example/", "database": "shop"}
    csv = {"type": "csv", "name": "people", "path": "/data/people.csv"}
    for source in (mongo, csv):
        assert (await house.client.post(SOURCES, json=source)).status_code == 200
    answer = await house.client.get(SOURCES)
    assert "pw" not in answer.text
    assert answer.json() == [
        {"type": "csv", "name": "people", "endpoint": "/data/people.csv", "database": None, "authenticated": False},
        {
            "type": "mongodb",
            "name": "shop",
            "endpoint": "mongodb://db.example/",
            "database": "shop",
            "authenticated": True,
        },
    ]
    assert (await house.client.delete(f"{SOURCES}/csv/people")).status_code == 200
    assert [source["name"] for source in (await house.client.get(SOURCES)).json()] == ["shop"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "csv", "name": "a"}, "path must not be blank"),
        ({"type": "sql", "name": "a"}, "connectionString must not be blank"),
        ({"type": "mongodb", "name": "a", "connectionString": "mongodb://a/"}, "database must not be blank"),
        ({"type": "excel", "name": "a"}, "Unsupported connection type: excel"),
    ],
)
async def test_a_data_source_that_cannot_be(house: House, source: Any, said: str) -> None:
    answer = await house.client.post(SOURCES, json=source)
    assert (answer.status_code, said in answer.json()["message"]) == (400, True)
