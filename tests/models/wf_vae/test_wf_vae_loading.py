"""Published files as they may come, and files that are none of ours."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.models.wf_vae.tiny_wf_vae import UPSTREAM_CONFIG, tiny_wf_vae
from vitascope.errors import InvalidMedia, NoNetwork, WeightsMissing
from vitascope.models.wf_vae import AutoencoderKLWFVAE, load_wf_vae


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWFVAE:
    return tiny_wf_vae()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(UPSTREAM_CONFIG))
    return tmp_path


def upstream_tensors(vae):
    filters = {
        "encoder.wavelet_tranform_l1.aa": torch.ones(1, 1, 2, 2),
        "decoder.inverse_wavelet_transform_out.h": torch.ones(1, 1, 2, 2, 2),
    }
    return {**vae.state_dict(), **filters}


def same_weights(left, right) -> bool:
    right = right.state_dict()
    return all(torch.equal(tensor, right[key]) for key, tensor in left.state_dict().items())


def test_safetensors(folder, vae):
    save_file(upstream_tensors(vae), folder / "diffusion_pytorch_model.safetensors")
    loaded = load_wf_vae(folder)
    assert same_weights(loaded, vae)
    assert loaded.config.num_connect_blocks == 2  # counted: the config does not tell
    assert loaded.config.scaling_factor == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("nesting", ["ema", "gen_model", "state_dict", "bare"])
def test_training_checkpoints(folder, vae, nesting):
    good = upstream_tensors(vae)
    bad = {key: torch.zeros_like(tensor) for key, tensor in good.items()}
    averaged = {f"module.{key}": tensor for key, tensor in good.items()}
    checkpoint = {
        "ema": {"ema_state_dict": averaged, "state_dict": {"gen_model": bad}},
        "gen_model": {"ema_state_dict": {}, "state_dict": {"gen_model": good, "dics_model": bad}},
        "state_dict": {"state_dict": {**good, "loss.logvar": torch.zeros(())}, "epoch": 3},
        "bare": good,
    }[nesting]
    torch.save(checkpoint, folder / "merged.ckpt", _use_new_zipfile_serialization=nesting != "bare")
    assert same_weights(load_wf_vae(folder), vae)


def test_shards(folder, vae):
    tensors = upstream_tensors(vae)
    names = sorted(tensors)
    shards = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
    for file, keys in shards.items():
        save_file({key: tensors[key] for key in keys}, folder / file)
    index = {"weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same_weights(load_wf_vae(folder), vae)
    (folder / "model-2-of-2.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="1 of 2 shards"):
        load_wf_vae(folder)


def test_a_bare_file_with_a_config_of_ours(tmp_path, vae):
    torch.save(upstream_tensors(vae), tmp_path / "any.ckpt")
    config = {key: value for key, value in vae.config.items() if not key.startswith("_")}
    assert same_weights(load_wf_vae(tmp_path / "any.ckpt", config=config), vae)


def test_saved_by_us_and_read_again(tmp_path, vae):
    vae.save_pretrained(tmp_path)
    assert same_weights(load_wf_vae(tmp_path), vae)
    assert same_weights(AutoencoderKLWFVAE.from_pretrained(tmp_path), vae)


class Trap:
    """Would open a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_code_is_not_run(folder):
    torch.save({"state_dict": Trap(folder / "sprung")}, folder / "merged.ckpt")
    with pytest.raises(InvalidMedia, match="which is never done"):
        load_wf_vae(folder)
    assert not (folder / "sprung").exists()


def test_another_familys_files_are_refused_in_one_line(folder, vae):
    save_file({"conv_in.weight": torch.zeros(3, 3)}, folder / "model.safetensors")
    with pytest.raises(InvalidMedia, match="not the weights of AutoencoderKLWFVAE") as refused:
        load_wf_vae(folder)
    assert "\n" not in str(refused.value)
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKLMochi"}))
    with pytest.raises(InvalidMedia, match="AutoencoderKLMochi"):
        load_wf_vae(folder)


def test_weights_of_another_size_are_refused(folder, vae):
    save_file(upstream_tensors(vae), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(UPSTREAM_CONFIG | {"base_channels": 16}))
    with pytest.raises(InvalidMedia, match=r"in the file and .* by the config"):
        load_wf_vae(folder)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(WeightsMissing, match="no folder"):
        load_wf_vae(tmp_path / "nothing")
    with pytest.raises(WeightsMissing, match=r"no config\.json"):
        load_wf_vae(tmp_path)
    with pytest.raises(NoNetwork, match="not in the cache"):
        load_wf_vae("chestnutlzj/WF-VAE-L-16Chn")
