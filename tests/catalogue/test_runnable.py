"""What `vitascope models` says is what the catalogue and the measurements say."""

import json
from pathlib import Path

import pytest

from vitascope.catalogue import find_card
from vitascope.catalogue.reading import read_toml
from vitascope.catalogue.runnable import facts_of, measured_gib, measured_here
from vitascope.engine.machine import Room
from vitascope.generators import known_models

KNOWN = [known for _, known in known_models()]
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
LARGE, SMALL = Room(memory_gib=512, gpu_gib=140), Room(memory_gib=8, gpu_gib=0)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_model_has_its_facts(known):
    facts = facts_of(known, LARGE)
    assert "?" not in (facts.era, facts.attention, facts.vae, facts.text_encoders, facts.licence)
    if not known.licence:
        assert facts.licence == find_card(known.card).facts.licence.text
    assert known.repo is None or facts.memory == "?" or facts.runs_here == "on the GPU"


def test_eras_are_those_of_the_report():
    eras = {known.name: facts_of(known, LARGE).era for known in KNOWN}
    assert eras["svd-xt"] == eras["animatediff"] == "Pseudo 2+1D U-Net"
    assert eras["open-sora-1.2"] == "2+1D DiT"
    assert eras["cogvideox-5b"] == eras["mochi-1"] == eras["hunyuan-video"] == "3D DiT"
    assert eras["hunyuan-video-1.5-480p-t2v"] == "Since 2025"


def test_a_small_machine_is_told_what_a_model_needs():
    hunyuan = next(known for known in KNOWN if known.name == "hunyuan-video")
    assert facts_of(hunyuan, SMALL).runs_here.startswith("no: ")
    sprout = next(known for known in KNOWN if known.name == "sprout")
    assert facts_of(sprout, SMALL).runs_here == "yes"


def test_what_was_measured_is_in_a_dated_result():
    found = {}
    for file in RESULTS.glob("*-families*.json"):
        for row in json.loads(file.read_text())["rows"]:
            if "peak_gib" in row:
                found.setdefault(row["model"], []).append(
                    {**row, "peak_gib": max(row["peak_gib"].values()), "row": row["model"]}
                )
    names = {known.name for known in KNOWN}
    for name, row in read_toml("measured.toml").items():
        assert name in names
        assert any(row.items() <= one.items() for one in found.get(row["row"], ())), f"{name}: no such result"
        assert measured_gib()[name] == row["peak_gib"]
    assert measured_here()["mochi-1"].step_s == 7.86
    assert measured_here()["hunyuanvideo-1.5"].step_s is None, "timed on a shared card only"
