"""Recorded steps are steps like any other, and are left where they would not be."""

import json

import pytest

from tests.training.test_finetune import recipe, room  # noqa: F401  # a fixture
from vitascope.context import Context
from vitascope.training import recorded, run


def test_only_short_steps_on_one_gpu_are_recorded(room, tmp_path):  # noqa: F811
    asked = recipe(room, tmp_path)
    assert recorded.may_be_recorded(asked, 0.01, plain=True)
    assert not recorded.may_be_recorded(asked, 1.0, plain=True), "its kernels take longer than their launch"
    assert not recorded.may_be_recorded(asked, 0.01, plain=False)
    assert not recorded.may_be_recorded(recipe(room, tmp_path, accumulate=2), 0.01, plain=True)
    dropping = recipe(room, tmp_path, adapter={"rank": 2, "dropout": 0.1})
    assert not recorded.may_be_recorded(dropping, 0.01, plain=True)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_recorded_steps_learn_what_others_do(room, tmp_path, monkeypatch, caplog, dtype):  # noqa: F811
    settings = {"placement": {"device": "cuda", "dtype": dtype}, "steps": 12, "optimiser": {"lr": 0.01}}

    def losses(name):
        run(recipe(room, tmp_path / name, **settings), Context())
        return [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]

    quick = losses("quick")
    assert "not recorded" not in caplog.text
    monkeypatch.setattr(recorded, "RECORD_BELOW_S", 0.0)
    assert quick == pytest.approx(losses("plain"), rel=0.02)
