"""The Messages tab of a pipeline's run: what was sent, and what the broker said of each."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("confluent_kafka")

from playwright.sync_api import Browser, expect

from brokers.kafka import KafkaCluster

from .serving import Served, Visit, button

pytestmark = pytest.mark.slow

PIPELINE: dict[str, Any] = {
    "id": "orders",
    "messageType": "kafka",
    "producerName": "local",
    "topic": "orders",
    "pipeline": [{"stage": "order", "source": "none", "emit": True, "set": {"total": 7}}],
}


@pytest.fixture
def cluster() -> KafkaCluster:
    return KafkaCluster()


@pytest.fixture
def sending(tmp_path_factory: pytest.TempPathFactory, cluster: KafkaCluster) -> Iterator[Served]:
    """A server that knows the broker."""
    folder = tmp_path_factory.mktemp("sending")
    connections = folder / "connections.yaml"
    connections.write_text(f'kafka: [{{name: local, bootstrap-servers: "{cluster.bootstrap_servers}"}}]\n')
    server = Served(folder, connections=str(connections), egress_allow="127.0.0.1")
    yield server
    server.stop()


def test_each_message_is_shown_with_what_the_broker_said(
    sending: Served, cluster: KafkaCluster, browser: Browser
) -> None:
    started = sending.client.post("/engine/execute", json={**PIPELINE, "executions": 3}).json()
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    visit = Visit(context, sending.url)
    page = visit.run(started["runId"])
    page.locator("section[aria-label='Log']").get_by_role("tab", name="Messages").click()
    rows = page.get_by_test_id("messages").locator("tr")
    sent = cluster.read("orders", 1)
    expect(rows).not_to_have_count(0)
    expect(rows.first).to_contain_text('"total":7')
    expect(rows.first).to_contain_text(f"orders partition {sent[0].partition()} offset")
    expect(page.locator(".sw-graph g.node[data-status='completed']")).to_have_count(1)
    visit.shot("run-messages")
    assert not visit.errors
    metrics = sending.client.get("/metrics").text
    acknowledged = 'stepwell_broker_messages_total{broker="local",outcome="acknowledged",type="kafka"} 3.0'
    assert acknowledged in metrics
    context.close()


def test_a_pipeline_of_the_playground_is_sent(sending: Served, cluster: KafkaCluster, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    visit = Visit(context, sending.url)
    page = visit.open("/console/playground")
    page.locator(".cm-content").fill(json.dumps({**PIPELINE, "topic": "tried"}))
    expect(page.get_by_test_id("verdict")).to_contain_text("a pipeline without faults")
    button(page, "Run").click()
    expect(page.get_by_test_id("status")).to_have_text("completed")
    [sent] = cluster.read("tried", 1)
    assert json.loads(sent.value() or b"") == {"total": 7}
    run_id = (page.get_by_role("link", name="Open").get_attribute("href") or "").rpartition("/")[2]
    assert sending.status(run_id) == "completed"
    context.close()
