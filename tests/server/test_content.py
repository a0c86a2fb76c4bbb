"""Downloads of a part, as RFC 9110 has them."""

import pytest


@pytest.fixture
def address(desk):
    video_id = desk.http.post("/v1/videos", json={"prompt": "bars", "model": "colour-bars"}).json()["id"]
    desk.work(video_id)
    return f"/v1/videos/{video_id}/content"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("0-9", slice(0, 10)),
        ("10-", slice(10, None)),
        ("-5", slice(-5, None)),
        ("5-99999999", slice(5, None)),
    ],
)
def test_a_part_is_sent_as_asked(desk, address, asked, part):
    whole = desk.http.get(address).content
    reply = desk.http.get(address, headers={"range": f"bytes={asked}"})
    assert (reply.status_code, reply.content) == (206, whole[part])
    assert reply.headers["content-range"].endswith(f"/{len(whole)}")


@pytest.mark.parametrize(
    "asked", ["bytes=9-2", "bytes=a-b", "bytes=-", "items=0-1", "bytes", "bytes=0-1,4-5"]
)
def test_what_is_no_part_is_answered_with_the_whole(desk, address, asked):
    reply = desk.http.get(address, headers={"range": asked})
    assert (reply.status_code, reply.content) == (200, desk.http.get(address).content)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_beyond_the_end_there_is_nothing(desk, address, asked):
    size = len(desk.http.get(address).content)
    reply = desk.http.get(address, headers={"range": asked})
    assert (reply.status_code, reply.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert reply.headers["content-range"] == f"bytes */{size}"
