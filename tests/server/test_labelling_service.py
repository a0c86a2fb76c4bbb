"""A service that labels everything: what its files say to tools that are not ours, and who can change it."""

import json
import subprocess

import openai
import pytest

from tests.server.conftest import MODEL, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ATTEMPTS = (
    {"label": "none"},
    {"params": {"label": "none"}},
    {"extra_params": {"label": "none"}},
    {"is_moderated": False},
    {"params": {"labels": {"c2pa": "x"}}},
    {"order": {"label": "none"}},
)


def told(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_labels_are_read_by_ffprobe_and_exiftool_and_no_request_removes_them(tmp_path):
    with serving(tmp_path / "house", "--label", "cn") as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        for attempt in ATTEMPTS:
            with pytest.raises(openai.BadRequestError):
                client.videos.create(prompt="bars", model=MODEL, extra_body=attempt)
        made = client.videos.create_and_poll(prompt="bars", model=MODEL)
        remixed = client.videos.poll(client.videos.remix(made.id, prompt="other bars").id)
        for number, (video, variant, name) in enumerate(
            [
                (made, "video", "a.mp4"),
                (remixed, "video", "b.mp4"),
                (made, "thumbnail", "c.webp"),
                (made, "spritesheet", "d.jpg"),
            ]
        ):
            path = tmp_path / f"{number}-{name}"
            client.videos.download_content(video.id, variant=variant).write_to_file(path)
            if variant == "video":
                tags = told("ffprobe", "-v", "error", "-show_format", "-of", "json", path)["format"]["tags"]
                label = json.loads(tags["AIGC"])
            else:
                label = json.loads(told("exiftool", "-json", "-XMP-TC260:all", path)[0]["Aigc"])
            assert label["Label"] == "1" and label["ContentProducer"] == "Vitascope" and label["ProduceID"]
            assert marked_by_eye(path)


def marked_by_eye(path):
    """Whether FFmpeg sees white letters on a dark plate in the corner of the first frame."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-vf", "crop=40:16:10:10,format=gray"]
    grey = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    bright, dark = sum(value > 180 for value in grey), sum(value < 70 for value in grey)
    return bright > len(grey) * 0.08 and dark > len(grey) * 0.3
