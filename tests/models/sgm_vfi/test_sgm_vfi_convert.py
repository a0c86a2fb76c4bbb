import pytest
import torch

from tests.models.sgm_vfi.tiny import TINY
from vitascope.errors import InvalidMedia
from vitascope.models.sgm_vfi.convert import convert, network_from, rename
from vitascope.models.sgm_vfi.network import SGMVFI


@pytest.mark.parametrize(
    ("upstream", "ours"),
    [
        ("feature_bone.block2.conv.3.weight", "features.stages.1.1.1.weight"),
        ("feature_bone.block4.1.mlp.dwconv.dwconv.bias", "features.motion_blocks.1.mlp.depthwise.bias"),
        (
            "gmflow.backbone.layer3.0.downsample.0.weight",
            "matching_features.encoder.blocks.2.0.shortcut.0.weight",
        ),
        (
            "gmflow.transformer.layers.5.cross_attn_ffn.mlp.2.weight",
            "matching_features.layers.5.cross_attention.mlp.2.weight",
        ),
        ("matching_block.0.refine_block.lastconv.1.weight", "matching.refinement.tail.1.weight"),
        ("unet.down2.conv2.0.bias", "synthesis.down.2.1.0.bias"),
        ("contextnet.conv4.conv1.1.weight", "synthesis.context.levels.3.0.1.weight"),
    ],
)
def test_upstream_names_become_ours(upstream, ours):
    assert rename(upstream) == ours


def test_our_own_names_stay():
    names = SGMVFI(TINY).state_dict().keys()
    assert [rename(name) for name in names] == list(names)


def test_cached_buffers_and_the_ddp_prefix_are_dropped():
    tensors = {
        "module.unet.conv.bias": torch.zeros(3),
        "module.feature_bone.block4.1.attn_mask": torch.zeros(1),
        "module.feature_bone.block4.1.HW": torch.zeros(1),
    }
    assert convert(tensors).keys() == {"synthesis.out.bias"}


def test_the_sizes_are_read_from_the_tensors():
    network = network_from(SGMVFI(TINY).state_dict(), "tiny.safetensors")
    assert network.config == TINY
    assert not network.training


def test_half_a_network_is_told_from_a_whole_one():
    part = {key: value for key, value in SGMVFI(TINY).state_dict().items() if "refinement" not in key}
    with pytest.raises(InvalidMedia, match=r"'local\.pkl' lacks .*ours-1-2-points"):
        network_from(part, "local.pkl")


def test_another_network_is_refused_in_one_line():
    with pytest.raises(InvalidMedia, match=r"'other\.pth' is no SGM-VFI") as caught:
        network_from({"transformer.blocks.0.attn.qkv.weight": torch.zeros(3, 3)}, "other.pth")
    assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_is_refused():
    tensors = SGMVFI(TINY).state_dict() | {"synthesis.out.bias": torch.zeros(4)}
    with pytest.raises(InvalidMedia, match=r"synthesis\.out\.bias"):
        network_from(tensors, "odd.safetensors")
