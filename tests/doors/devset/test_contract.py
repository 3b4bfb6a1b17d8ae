"""The devset door keeps to its OpenAPI document, whatever it is sent."""

from pathlib import Path
from typing import Any

import httpx

import stepwell
from stepwell.settings import Settings

from ..contract import check_contract, served_in_thread
from .house import ONE, pipeline
from .recording import RecordingBrokers

CONNECTOR = {"type": "kafka", "name": "local", "bootstrapServers": "127.0.0.1:1"}
SOURCE = {"type": "csv", "name": "people", "path": "/nowhere.csv"}
PROTO = {"id": "order", "type": "protobuf", "schema": 'syntax = "proto3"; message Order { string id = 1; }'}
SCHEMA = {"id": "any", "type": "json", "schema": "{}"}
ASKING = pipeline({"expect": {"topic": "answers", "within": "1s"}})


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    app = stepwell.App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db", shutdown_grace_s=0.5))
    app.parts.brokers = RecordingBrokers(("kafka", "p"))  # type: ignore[assignment]  # in place of brokers, which are not ours
    with served_in_thread(app) as url:
        check_contract(url, "/openapi/devset.json", known=filled(url))


def filled(url: str) -> dict[str, list[Any]]:
    """Ids of runs in several states, of connectors, schemas and saved workflows; and bodies that are right."""
    documents = [pipeline(ONE), pipeline(ONE, id="other", executions=3), pipeline({"wait": "5m"}, id="long"), ASKING]
    with httpx.Client(base_url=url, timeout=30) as client:

        def post(path: str, body: Any) -> httpx.Response:
            return client.post(path, json=body).raise_for_status()

        runs = [post("/engine/execute", document).json()["runId"] for document in documents]
        post(f"/engine/runs/{runs[2]}/stop", None)
        post("/connectors/configurations", CONNECTOR)
        post("/api/db/connectors/configurations", SOURCE)
        for schema in (PROTO, SCHEMA):
            post("/api/schemas", schema)
        for document in documents[:2]:
            post("/api/workflows", document)
    known: dict[str, list[Any]] = {
        "/api/db/connectors/configurations/{type}": ["csv"],
        "/api/db/connectors/configurations/{type}/{name}": ["people"],
        "POST /api/db/connectors/configurations": [SOURCE],
        "/api/schemas/{id}": ["order", "any"],
        "POST /api/schemas": [PROTO, SCHEMA],
        "POST /api/schemas/{id}": [PROTO],
        "PUT /api/schemas/{id}": [SCHEMA],
        "/api/workflows/{id}": ["orders", "other"],
        "POST /api/workflows": documents,
        "PUT /api/workflows/{id}": documents,
    }
    for prefix in ("", "/api"):
        known |= {
            f"{prefix}/engine/runs/{{run_id}}": runs,
            f"POST {prefix}/engine/execute": documents,
            f"POST {prefix}/engine/simulate": documents,
            f"{prefix}/connectors/configurations/{{type}}": ["kafka", "rabbit"],
            f"{prefix}/connectors/configurations/{{type}}/{{name}}": ["local"],
            f"POST {prefix}/connectors/configurations": [CONNECTOR],
        }
    return known
