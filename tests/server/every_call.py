"""All video methods of an installed `openai` client, sync and async, against the service at argv[1]; prints JSON.

Run by `test_clients.py` in environments of their own: it imports nothing but the client.
"""

import asyncio
import io
import json
import sys

import openai

MODEL = "colour-bars"
URL = f"{sys.argv[1]}/v1"
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


async def settled(value):
    """A value, or what an awaitable gives."""
    return await value if hasattr(value, "__await__") else value


async def every_call(client):
    """Make, follow, list, download, remix, edit, extend, delete; what the installed client has."""
    videos, done = client.videos, []
    made = await settled(videos.create(prompt="bars", model=MODEL, extra_body={"params": {"seed": 3}}))
    assert made.status in ("queued", "in_progress"), made
    polled = await settled(videos.poll(made.id))
    assert (polled.status, polled.progress) == ("completed", 100), polled
    again = await settled(videos.create_and_poll(prompt="bars", model=MODEL, seconds="4", size="1280x720"))
    assert (again.seconds, again.size) == ("4", "1280x720"), again
    found = await settled(videos.retrieve(made.id))
    assert found.id == made.id and found.expires_at > found.completed_at
    done += ["create", "poll", "create_and_poll", "retrieve"]

    page = await settled(videos.list(limit=1))
    assert page.data[0].id == again.id and page.has_more
    following = await settled(page.get_next_page())
    assert following.data[0].id == made.id
    done.append("list")

    for variant, start in (("video", b"ftyp"), ("thumbnail", b"WEBP"), ("spritesheet", b"\xff\xd8")):
        content = await settled(videos.download_content(made.id, variant=variant))
        data = await settled(content.aread() if hasattr(content, "aread") else content.read())
        assert start in data[:16], (variant, data[:16])
    done.append("download_content")

    remixed = await settled(videos.poll((await settled(videos.remix(made.id, prompt="other bars"))).id))
    assert remixed.remixed_from_video_id == made.id and remixed.status == "completed"
    done.append("remix")

    named = {"idempotency-key": f"key-{made.id}"}
    twice = [await settled(videos.create(prompt="once", model=MODEL, extra_headers=named)) for _ in range(2)]
    assert twice[0].id == twice[1].id
    with_picture = await settled(
        videos.create_and_poll(prompt="bars", model=MODEL, input_reference=("x.png", PICTURE, "image/png"))
    )
    assert with_picture.status == "completed", with_picture
    done.append("create with a picture")

    if hasattr(videos, "edit"):
        content = await settled(videos.download_content(made.id))
        clip = await settled(content.aread() if hasattr(content, "aread") else content.read())
        file = ("clip.mp4", io.BytesIO(clip), "video/mp4")
        edited = await settled(videos.edit(prompt="edit", video=file, extra_body={"model": MODEL}))
        file = ("clip.mp4", io.BytesIO(clip), "video/mp4")
        longer = await settled(
            videos.extend(prompt="on", seconds="4", video=file, extra_body={"model": MODEL})
        )
        for video in (edited, longer):
            ended = await settled(videos.poll(video.id))
            assert ended.status == "completed", ended
        assert longer.seconds == "6", longer.seconds  # 17 frames and 31 new ones at 8 a second
        done += ["edit", "extend"]
    if hasattr(videos, "create_character"):
        for call in (
            lambda: videos.create_character(name="x", video=("c.mp4", b"x", "video/mp4")),
            lambda: videos.get_character("char_1"),
        ):
            try:
                await settled(call())
                raise AssertionError("characters are not supported")
            except openai.BadRequestError as error:
                assert error.code == "not_supported", error
        done += ["create_character", "get_character"]
    if hasattr(client.webhooks, "create"):
        hook = await settled(
            client.webhooks.create(
                name="x", url="https://93.184.215.14/hook", event_types=["video.completed"]
            )
        )
        assert hook.signing_secret.startswith("whsec_")
        await settled(client.webhooks.delete(hook.id))
        done.append("webhooks")

    file = await settled(client.files.create(file=("x.png", PICTURE, "image/png"), purpose="vision"))
    assert file.bytes == len(PICTURE)
    assert (await settled(client.files.delete(file.id))).deleted
    rows = [row.id for row in (await settled(client.models.list())).data]
    assert "sprout" in rows
    deleted = await settled(videos.delete(made.id))
    assert deleted.deleted
    try:
        await settled(videos.retrieve(made.id))
        raise AssertionError("it was deleted")
    except openai.NotFoundError as error:
        assert (error.param, error.code) == ("video_id", "not_found") and error.request_id
    return [*done, "files", "models", "delete"]


async def main():
    """Both clients, one after the other."""
    options = {"base_url": URL, "api_key": "none", "max_retries": 0}
    said = {"sync": await every_call(openai.OpenAI(**options))}
    async with openai.AsyncOpenAI(**options) as client:
        said["async"] = await every_call(client)
    sys.stdout.write(json.dumps({"openai": openai.__version__, **said}) + "\n")


asyncio.run(main())
