"""`vitascope generate` and `info`, with the generator that needs no weights."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import vitascope as package
from tests.generators import tiny_cogvideox
from vitascope.clip import Image
from vitascope.generators.colour_bars import ColourBars
from vitascope.media import write_image

PICTURE = next((Path(package.__file__).parent / "evaluation/prompts/toyworld-images").glob("*.png"))
BARS = ("--model", "colour-bars", "-q")


def test_writes_a_clip_that_says_how_to_make_it_again(vitascope, tmp_path):
    done = vitascope(
        "generate", "a star", *BARS, "-o", "star.mp4", "--seed", 7, "--frames", 9, "--size", "96x64"
    )
    assert done.code == 0, done.err
    clip = package.read("star.mp4")
    assert (clip.num_frames, clip.width, clip.height) == (9, 96, 64)
    told = vitascope("info", "star.mp4", "--json").json()
    assert told["recipe"]["stages"][0]["task"]["seed"] == 7
    again = vitascope(*shlex.split(told["command"])[1:])
    assert again.code == 0, again.err
    assert np.array_equal(package.read("again.mp4").array(), clip.array())
    assert "made again by" in vitascope("info", "star.mp4").out


def test_a_run_that_was_stopped_goes_on(vitascope, monkeypatch, tmp_path):
    model = tiny_cogvideox.save(tmp_path / "5b", "5b")
    asked = ("generate", "a star", "-m", model, "--steps", 8, "--device", "cpu", "--json")
    whole = vitascope(*asked, "-o", "whole/")
    assert whole.code == 0, whole.err

    @contextmanager
    def falling(_quiet):
        def fall(progress):
            if progress.stage == "denoise" and progress.step == 7:
                raise OSError("the power went")

        yield fall

    with monkeypatch.context() as patched:
        patched.setattr("vitascope.cli.making.progress_bar", falling)
        assert vitascope(*asked, "-o", "again/").code == 1
    again = vitascope(*asked, "-o", "again/")
    assert again.json()[0]["recipe"]["stages"][0]["notes"]["resumed_from_step"] == 5
    assert np.array_equal(package.read("again").array(), package.read("whole").array())
    assert "checkpoints: 0.0 MiB freed" in vitascope("clean").out


def test_several_clips_have_following_seeds(vitascope):
    done = vitascope("generate", "a star", *BARS, "-o", "star.gif", "-n", 3, "--seed", 5, "--json")
    rows = done.json()
    assert [row["path"] for row in rows] == ["star-1.gif", "star-2.gif", "star-3.gif"]
    assert [row["recipe"]["stages"][0]["task"]["seed"] for row in rows] == [5, 6, 7]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate", "", *BARS], 2, "prompt"),
        (["generate", "   ", *BARS], 2, "prompt"),
        (["generate", "a" * 100_000, *BARS], 2, "prompt"),
        (["generate", "a star", "-m", "colour-bar"], 2, "colour-bars"),
        (["generate", "a star", *BARS, "--size", "0x128"], 2, "width"),
        (["generate", "a star", *BARS, "--size", "big"], 2, "WIDTHxHEIGHT"),
        (["generate", "a star", *BARS, "--frames", "0"], 2, "num_frames"),
        (["generate", "a star", *BARS, "--guidance", "3"], 2, "guidance_scale"),
        (["generate", "a star", *BARS, "--set", "colour=red"], 2, "colour"),
        (["generate", "a star", *BARS, "--set", "colour"], 2, "name=value"),
        (["generate", "a star", *BARS, "--set", "model=sprout"], 2, "--set weights=PATH"),
        (["generate", "a star", *BARS, "--set", "seed=3"], 2, "--seed"),
        (["generate", "a star", *BARS, "--device", "warp"], 2, "device"),
        (["generate", "a star", *BARS, "-o", "nowhere/star.mp4"], 2, "nowhere"),
        (["generate", "a star", *BARS, "-o", "star.docx"], 2, "docx"),
        (["generate", "a star", *BARS, "--image", "none.png"], 2, "none.png"),
        (["generate", "", *BARS, "--poses", "none.json"], 2, "give the picture too"),
        (
            ["generate", "", *BARS, "--image", PICTURE, "--poses", "none.json"],
            2,
            "no pose file at 'none.json'",
        ),
        (["generate", "", *BARS, "--image", PICTURE, "--poses", PICTURE], 2, "is not a pose file"),
        (["generate", "", "--image", PICTURE, "--poses", "x.json"], 2, "mimicmotion-1.1"),
        (["generate", "", "-m", "mimicmotion-1.1", "--image", PICTURE], 2, "give a picture and the poses"),
        (["poses", "none.mp4"], 2, "none.mp4"),
        (["info", "none.mp4"], 2, "none.mp4"),
        (["generate", "a star", "--frames", "many"], 2, "--frames"),
        (["generate"], 2, "prompt"),
        (["paint"], 2, "paint"),
        (["list", "shelfs"], 2, "shelf"),
        (["apply", "revers", "none.mp4"], 2, "reverse"),
        (["apply", "expand-prompt", "none.mp4"], 2, "before a generation"),
        (["apply", "interpolate", "none.mp4", "--factor", "2", "--fps", "30"], 2, "not both"),
        (["run", "lop", "a star"], 2, "loop"),
        (["run", "loop", "a star", "--speed", "exact", "--set", "speed=turbo"], 2, "speed is said twice"),
        (
            ["generate", "a star", "--steps", 3, "--set", "num_inference_steps=4"],
            2,
            "is said twice: 3 by its flag",
        ),
        (["run", "loop", "a star", "--set", "vae_slicing=true"], 2, "no effect on one clip"),
        (["run", "image-to-video", "a star"], 2, "image-to-video.yaml, line 5: letterbox pads a picture"),
        (["run", "image-to-video", "a star"], 2, "--image"),
        (["run", "none.mp4"], 2, "no file 'none.mp4'"),
    ],
)
def test_refusals_are_one_line_with_their_code_and_leave_no_file(vitascope, tmp_path, arguments, code, words):
    done = vitascope(*arguments)
    assert done.code == code, (done.out, done.err)
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "output"),
    [
        *(
            (["generate", "a star", *BARS], name)
            for name in ("star.docx", "star.png", "full", "x" * 300 + ".mp4")
        ),
        *((["run", "bars.yaml", "a star"], name) for name in ("star.docx", "full")),
    ],
)
def test_what_could_not_be_written_is_refused_before_anything_is_made(
    vitascope, monkeypatch, tmp_path, command, output
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    (tmp_path / "bars.yaml").write_text("steps:\n  - generate: {model: colour-bars}\n")
    monkeypatch.setattr(ColourBars, "generate", lambda *_: pytest.fail("made for nothing"))
    done = vitascope(*command, "-o", output)
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err


def test_a_full_disk_behind_the_output_is_told_in_one_line(tmp_path):
    command = [sys.executable, "-m", "vitascope", "list", "steps"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert "no space left" in done.stderr and "internal" not in done.stderr


def test_a_device_or_pipe_is_not_replaced_by_a_file(vitascope, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = vitascope("generate", "a star", *BARS, "-o", "pipe")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert (tmp_path / "pipe").is_fifo()


def test_an_unknown_flag_is_asked_wrongly(vitascope):
    assert vitascope("generate", "a star", "--colour", "red").code == 2


def test_says_its_version_and_how_it_is_used(vitascope):
    assert vitascope("--version").out == f"vitascope {package.__version__}\n"
    assert vitascope("generate", "--help").code == 0
    assert "interpolate" in vitascope("run", "--help").out


def test_ctrl_c_leaves_no_half_file(tmp_path):
    command = [sys.executable, "-m", "vitascope", "generate", "a star", "-m", "colour-bars"]
    command += ["--steps", "1000", "--set", "seconds_a_step=0.05", "-o", "star.mp4"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_apply_treats_a_file_and_keeps_its_recipe(vitascope):
    vitascope("generate", "a star", *BARS, "-o", "star.mkv")
    done = vitascope("apply", "reverse", "star.mkv", "--and-forth", "-o", "loop.mkv", "-q")
    assert done.code == 0, done.err
    clip = package.read("loop.mkv")
    assert clip.num_frames == 32
    assert [stage.name for stage in clip.recipe.stages] == ["colour-bars", "star.mkv", "reverse"]
    told = vitascope("info", "loop.mkv", "--json").json()["command"]
    assert told == "vitascope run loop.mkv --video star.mkv -o again.mp4"
    assert vitascope(*shlex.split(told)[1:], "-q").code == 0
    assert np.array_equal(package.read("again.mp4").array(), clip.array())


def test_a_clip_says_what_made_it_and_is_made_again_or_otherwise(vitascope):
    Path("mine.yaml").write_text(
        "steps:\n  - expand-prompt: {style: plain}\n  - generate: {model: colour-bars}\n  - reverse\n"
    )
    knob = ("--set", "expand-prompt.timeout-s=9")
    done = vitascope("run", "mine.yaml", "a star", *knob, "--seed", 4, "--frames", 9, "-o", "star.mkv", "-q")
    assert done.code == 0, done.err
    told = vitascope("info", "star.mkv", "--json").json()["command"]
    assert vitascope(*shlex.split(told)[1:], "--fresh", "-q").code == 0
    first, again = package.read("star.mkv"), package.read("again.mp4")
    assert np.array_equal(first.array(), again.array())
    assert again.recipe.stages[0].task == first.recipe.stages[0].task
    done = vitascope("run", "star.mkv", "--set", "reverse.and-forth=true", "-o", "loop.mkv", "--keep", "-q")
    assert done.code == 0, done.err
    assert package.read("loop.mkv").num_frames == 16
    assert "MiB freed" in vitascope("clean").out
    assert not [path for path in map(Path, re.findall("kept: (.+)", done.out)) if path.exists()]


def test_a_clip_made_again_says_if_its_picture_is_another_by_now(vitascope):
    for value, changed in ((40, False), (90, True)):
        write_image(Image(np.full((64, 64, 3), value, np.uint8)), "start.png")
        if not changed:
            assert vitascope("generate", "a star", "--image", "start.png", *BARS, "-o", "star.mkv").code == 0
        done = vitascope("run", "star.mkv", "-q", "-o", "again.mkv")
        assert done.code == 0 and ("'start.png' is not the picture any more" in done.err) == changed


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            ("--speed", "turbo"),
            "speed='turbo' has no effect on workflow 'backwards', which generates nothing",
        ),
        (("--memory", "8GiB"), "memory_gib=8.0 has no effect"),
        (("--set", "attention=sdpa"), "attention='sdpa' has no effect"),
        (("--set", "vae_slicing=true"), "vae_slicing=True has no effect"),
    ],
)
def test_a_workflow_that_generates_nothing_takes_no_switch_but_the_device(vitascope, asked, words):
    vitascope("generate", "a star", "-m", "colour-bars", "--frames", 3, "-o", "star.mkv", "-q")
    Path("backwards.yaml").write_text("steps: [reverse]\n")
    treated = ("run", "backwards.yaml", "--video", "star.mkv", "-o", "out.mkv", "-q")
    done = vitascope(*treated, *asked)
    assert done.code == 2 and words in done.err and not Path("out.mkv").exists()
    assert vitascope(*treated, "--device", "cpu").code == 0


def test_lists_and_doctor(vitascope):
    assert "reverse" in vitascope("list", "steps").out
    assert "loop" in vitascope("list", "workflows").out
    assert any(row["name"] == "colour-bars" for row in vitascope("list", "generators", "--json").json())
    assert vitascope("models", "--json").json() is not None
    report = vitascope("doctor", "--json").json()
    assert report["memory_gib"] > 0
    assert "torch" in report["facts"]
