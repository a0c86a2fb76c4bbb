"""Webhooks: asked for with the stock client, signed so that it verifies them, tried again, logged."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai
import pytest

from tests.server.test_access import BARS, code
from vitascope.errors import RequestError
from vitascope.jobs.outside import Outside


class Receiver(HTTPServer):
    """Takes webhooks; answers with the next of `statuses`, then 200."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Take)
        self.taken, self.statuses = [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"


class Take(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def endpoint(desk, receiver):
    asked = {"name": "mine", "url": receiver.url, "event_types": ["video.completed", "video.failed"]}
    reply = desk.http.post("/v1/webhook_endpoints", json=asked)
    assert reply.status_code == 200, reply.text
    return reply.json()


def announce(desk):
    """What the announcer's thread does each second."""
    desk.app.state.announcer.announce()
    for due in desk.office.webhooks.claim_due():
        desk.app.state.announcer.send(*due)


def verified(taken, secret):
    headers, body = taken
    client = openai.OpenAI(api_key="none", webhook_secret=secret)
    return client.webhooks.unwrap(body, headers)


def log(desk, endpoint):
    return desk.http.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries").json()["data"]


def settled(desk, receiver, number):
    for _ in range(50):
        announce(desk)
        if len(receiver.taken) >= number:
            return
        threading.Event().wait(0.05)


def test_the_stock_client_verifies_what_is_sent_once(desk, receiver, endpoint):
    video = desk.http.post("/v1/videos", json=BARS).json()
    desk.work(video["id"])
    settled(desk, receiver, 1)
    announce(desk)
    assert len(receiver.taken) == 1
    said = verified(receiver.taken[0], endpoint["signing_secret"])
    assert (said.type, said.data.id, said.object) == ("video.completed", video["id"], "event")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        verified((receiver.taken[0][0], receiver.taken[0][1] + b" "), endpoint["signing_secret"])
    (row,) = log(desk, endpoint)
    assert (row["attempts"], row["status_code"], row["next_attempt_at"]) == (1, 200, None)


def test_a_failed_delivery_is_tried_again_later_and_logged(desk, receiver, endpoint):
    receiver.statuses = [500]
    video = desk.http.post("/v1/videos", json=BARS).json()
    desk.http.post(f"/v1/videos/{video['id']}/cancel")
    settled(desk, receiver, 1)
    (row,) = log(desk, endpoint)
    assert row["error"] == "the receiver answered 500" and row["event_type"] == "video.failed"
    assert 3 <= row["next_attempt_at"] - row["created_at"] <= 8
    (due,) = desk.office.webhooks.log(desk.office.webhooks.find(endpoint["id"], "local"), 1)
    desk.app.state.announcer.send(due, desk.office.webhooks.find(endpoint["id"], "local"))
    (row,) = log(desk, endpoint)
    assert (row["attempts"], row["status_code"], row["next_attempt_at"]) == (2, 200, None)
    assert receiver.taken[0][0]["webhook-id"] == receiver.taken[1][0]["webhook-id"]


def test_endpoints_are_listed_changed_tested_rotated_and_removed(desk, receiver, endpoint):
    address = f"/v1/webhook_endpoints/{endpoint['id']}"
    assert [row["id"] for row in desk.http.get("/v1/webhook_endpoints").json()["data"]] == [endpoint["id"]]
    assert "signing_secret" not in desk.http.get(address).json()
    assert desk.http.post(address, json={"name": "other"}).json()["name"] == "other"
    trial = desk.http.post(f"{address}/test", json={"event_type": "video.failed"}).json()
    assert (trial["status_code"], trial["success"]) == (200, True)
    verified(receiver.taken[-1], endpoint["signing_secret"])
    rotated = desk.http.post(
        f"{address}/rotate_secret", json={"keep_old_secret_active_for_24_hours": True}
    ).json()
    desk.http.post(f"{address}/test", json={"event_type": "video.failed"})
    for secret in (endpoint["signing_secret"], rotated["signing_secret"]):
        assert verified(receiver.taken[-1], secret).type == "video.failed"
    assert desk.http.delete(address).json()["deleted"] and desk.http.get(address).status_code == 404
    offered = desk.http.get("/v1/webhook_event_types").json()["data"]
    assert {"video.completed", "video.failed", "fine_tuning.job.succeeded"} < set(offered)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "https://169.254.169.254/x", "https://localhost/x", "x"]
)
def test_private_receivers_are_refused_unless_the_operator_names_them(desk, url):
    asked = {"name": "x", "url": url, "event_types": ["video.failed"]}
    reply = desk.http.post("/v1/webhook_endpoints", json=asked)
    assert code(reply, 400) in ("request_error", "invalid_value")


def test_the_checked_address_is_the_one_that_is_connected_to(receiver, monkeypatch):
    look_up, answers = socket.getaddrinfo, iter(["127.0.0.1", "127.0.0.1"])

    def found(host, *rest, **options):  # a third look-up of the name would fail
        return look_up(next(answers) if host == "rebinding.example" else host, *rest, **options)

    monkeypatch.setattr("socket.getaddrinfo", found)
    with pytest.raises(RequestError, match="private"):
        Outside(("rebinding.example",)).check("http://rebinding.example/", "url")
    url = f"http://rebinding.example:{receiver.server_port}/x"
    outside = Outside((f"rebinding.example:{receiver.server_port}",), may_be_private=True)
    status, _ = outside.request("POST", url, "url", content=b"{}")
    assert status == 200 and json.loads(receiver.taken[0][1]) == {}
