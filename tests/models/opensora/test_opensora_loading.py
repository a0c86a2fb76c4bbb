"""Published files in every form that they come in, and files that are something else."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from tests.models.opensora.tiny_opensora import tiny_stdit3, tiny_text_encoder, tiny_tokenizer, tiny_vae
from vitascope.errors import InvalidMedia, NoNetwork, WeightsMissing
from vitascope.models.opensora.convert import convert_stdit3, convert_vae
from vitascope.models.opensora.loading import load_stdit3, load_text_encoder, load_vae

CONFIG = {
    "hidden_size": 32,
    "num_heads": 2,
    "depth": 2,
    "caption_channels": 32,
    "model_max_length": 16,
    "input_sq_size": 512,
    "pred_sigma": True,
    "enable_flash_attn": True,
    "architectures": ["STDiT3"],
}


def published(net, convert, backwards) -> dict[str, torch.Tensor]:
    """The tensors of `net` under upstream's names; fails unless `convert` undoes the renaming."""
    ours = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for part in ("weight", "bias"):
        for name in [name for name in ours if name.endswith(f"attn1.to_q.{part}")]:
            stem = name.removesuffix(f"to_q.{part}")
            ours[f"{stem}qkv.{part}"] = torch.cat([ours.pop(f"{stem}to_{x}.{part}") for x in "qkv"])
        for name in [name for name in ours if name.endswith(f"attn2.to_k.{part}")]:
            stem = name.removesuffix(f"to_k.{part}")
            ours[f"{stem}kv_linear.{part}"] = torch.cat([ours.pop(f"{stem}to_{x}.{part}") for x in "kv"])
    theirs = {}
    for name, tensor in ours.items():
        for pattern, upstream in backwards:
            name = re.sub(pattern, upstream, name)
        theirs[name] = tensor
    assert convert(theirs).keys() == net.state_dict().keys()
    return theirs


STDIT3_BACKWARDS = [
    (r"^patch_embed\.", "x_embedder.proj."),
    (r"^time_embed\.linear_1", "t_embedder.mlp.0"),
    (r"^time_embed\.linear_2", "t_embedder.mlp.2"),
    (r"^fps_embed\.linear_1", "fps_embedder.mlp.0"),
    (r"^fps_embed\.linear_2", "fps_embedder.mlp.2"),
    (r"^modulation\.", "t_block.1."),
    (r"^caption_projection\.linear_", "y_embedder.y_proj.fc"),
    (r"^null_caption$", "y_embedder.y_embedding"),
    (r"^rope_frequencies$", "rope.freqs"),
    (r"^scale_shift_table$", "final_layer.scale_shift_table"),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^transformer_blocks\.", "spatial_blocks."),
    (r"^temporal_transformer_blocks\.", "temporal_blocks."),
    (r"\.ff\.net\.0\.proj\.", ".mlp.fc1."),
    (r"\.ff\.net\.2\.", ".mlp.fc2."),
    (r"\.attn1\.norm_([qk])\.", r".attn.\1_norm."),
    (r"\.attn1\.to_out\.0\.", ".attn.proj."),
    (r"\.attn2\.to_out\.0\.", ".cross_attn.proj."),
    (r"\.attn2\.to_q\.", ".cross_attn.q_linear."),
    (r"\.attn1\.", ".attn."),
    (r"\.attn2\.", ".cross_attn."),
]
VAE_BACKWARDS = [
    (r"^spatial_vae\.", "spatial_vae.module."),
    (r"^(temporal_vae\.(?:.*\.)?(?:\w*conv\w*|shortcut|\w+samplers\.\d+))\.(weight|bias)$", r"\1.conv.\2"),
    (r"^(temporal_vae\.\w+)\.levels\.", r"\1.block_res_blocks."),
    (r"^(temporal_vae\.\w+)\.mid\.", r"\1.res_blocks."),
    (r"^(temporal_vae\.\w+)\.(down|up)samplers\.", r"\1.conv_blocks."),
    (r"^(temporal_vae\.\w+)\.norm_out\.", r"\1.norm1."),
    (r"^temporal_vae\.encoder\.conv_out\.", "temporal_vae.encoder.conv2."),
    (r"^temporal_vae\.decoder\.conv_in\.", "temporal_vae.decoder.conv1."),
    (r"\.shortcut\.", ".conv3."),
]


@pytest.fixture(scope="module")
def stdit3():
    return tiny_stdit3()


@pytest.fixture
def folder(stdit3, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def equal(net, other) -> bool:
    mine, theirs = net.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("form", ["model.safetensors", "model.pt", "shards"])
def test_a_published_denoiser_loads_from_any_form(stdit3, folder, form):
    tensors = published(stdit3, convert_stdit3, STDIT3_BACKWARDS)
    if form == "shards":
        names = sorted(tensors)
        shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
        for file, part in shards.items():
            save_file({name: tensors[name] for name in part}, folder / file)
        weight_map = {name: file for file, part in shards.items() for name in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    elif form.endswith(".pt"):
        torch.save(tensors, folder / form)
    else:
        save_file(tensors, folder / form)
    assert equal(load_stdit3(folder, torch.float32), stdit3)
    assert load_stdit3(folder).dtype == torch.bfloat16
    if form != "shards":
        assert equal(load_stdit3(folder / form, torch.float32), stdit3)


def test_a_published_vae_loads_whatever_its_size(tmp_path):
    vae = tiny_vae(width=32, groups=32)
    (tmp_path / "config.json").write_text(
        json.dumps({"micro_frame_size": 17, "scale": [3.85, 2.32, 2.33, 3.06]})
    )
    save_file(published(vae, convert_vae, VAE_BACKWARDS), tmp_path / "model.safetensors")
    assert equal(load_vae(tmp_path, torch.float32), vae)


@pytest.mark.parametrize(
    ("names", "likeness"),
    [
        (["spatial_vae.module.a.weight", "temporal_vae.b.weight"], "Open-Sora 1.2's VAE"),
        (
            ["transformer_blocks.0.norm1.linear.weight", "patch_embed.text_proj.weight"],
            "CogVideoX's denoiser",
        ),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "a T5 text encoder"),
        (["blocks.0.self_attn.q.weight", "patch_embedding.weight"], "Wan's denoiser"),
        (["something.weight"], "'something.weight'"),
    ],
)
def test_weights_of_another_family_are_refused_by_name(folder, names, likeness):
    save_file({name: torch.zeros(1) for name in names}, folder / "model.safetensors")
    with pytest.raises(InvalidMedia, match=likeness) as refused:
        load_stdit3(folder)
    assert "\n" not in str(refused.value)


def test_weights_that_lack_a_tensor_are_refused(stdit3, folder):
    tensors = published(stdit3, convert_stdit3, STDIT3_BACKWARDS)
    del tensors["rope.freqs"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InvalidMedia, match="rope_frequencies"):
        load_stdit3(folder)


def test_weights_of_another_size_are_refused(stdit3, folder):
    (folder / "config.json").write_text(json.dumps({**CONFIG, "hidden_size": 64, "num_heads": 4}))
    save_file(published(stdit3, convert_stdit3, STDIT3_BACKWARDS), folder / "model.safetensors")
    with pytest.raises(InvalidMedia, match="by the config"):
        load_stdit3(folder)


def test_pickled_code_is_not_run(folder):
    class Evil:
        def __reduce__(self):
            return (print, ("gotcha",))

    torch.save({"spatial_blocks.0": Evil()}, folder / "model.pt")
    with pytest.raises(InvalidMedia):
        load_stdit3(folder)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsMissing):
        load_stdit3(tmp_path)
    with pytest.raises(WeightsMissing):
        load_stdit3(tmp_path / "nowhere")


def test_a_text_encoder_loads_from_a_folder(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    tiny_text_encoder().save_pretrained(tmp_path)
    tokenizer, encoder = load_text_encoder(tmp_path, torch.float32)
    assert tokenizer("a red ball").input_ids == tiny_tokenizer()("a red ball").input_ids
    assert encoder.dtype == torch.float32


def test_a_folder_without_text_encoder_is_named(tmp_path):
    with pytest.raises(WeightsMissing, match="no T5 text encoder"):
        load_text_encoder(tmp_path)
    with pytest.raises(NoNetwork, match="t5-v1_1-xxl"):
        load_text_encoder()


def test_a_hub_id_without_network_says_so():
    with pytest.raises(NoNetwork, match="OpenSora-STDiT-v3"):
        load_stdit3()
