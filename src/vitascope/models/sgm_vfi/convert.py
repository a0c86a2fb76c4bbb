"""From a file's tensors, upstream's or ours, to a network."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from vitascope.errors import InvalidMedia
from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.network import SGMVFI

# One pair a part of the network: upstream's name at the start of a key, ours in its place.
_RENAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^feature_bone\.block4\.(\d+)\.attn\.", r"features.motion_blocks.\1.attention."),
        (r"^feature_bone\.block4\.(\d+)\.mlp\.dwconv\.dwconv\.", r"features.motion_blocks.\1.mlp.depthwise."),
        (r"^feature_bone\.block4\.", "features.motion_blocks."),
        (r"^feature_bone\.patch_embed4\.", "features.patch_embed."),
        (r"^feature_bone\.patch_embed2\.", "features.downsamples.0."),
        (r"^feature_bone\.patch_embed3\.", "features.downsamples.1."),
        (r"^feature_bone\.norm4\.", "features.norm."),
        (r"^gmflow\.backbone\.layer(\d)\.(\d)\.downsample\.", r"gmflow.backbone.layer\1.\2.shortcut."),
        (r"^gmflow\.backbone\.layer1\.", "matching_features.encoder.blocks.0."),
        (r"^gmflow\.backbone\.layer2\.", "matching_features.encoder.blocks.1."),
        (r"^gmflow\.backbone\.layer3\.", "matching_features.encoder.blocks.2."),
        (r"^gmflow\.backbone\.", "matching_features.encoder."),
        (r"^gmflow\.transformer\.layers\.(\d+)\.self_attn\.", r"matching_features.layers.\1.self_attention."),
        (
            r"^gmflow\.transformer\.layers\.(\d+)\.cross_attn_ffn\.",
            r"matching_features.layers.\1.cross_attention.",
        ),
        (r"^block\.(\d)\.", r"stages.\1."),
        (r"^matching_block\.0\.merge\.conv\.", "matching.fusion.weights."),
        (r"^matching_block\.0\.refine_block\.", "matching.refinement."),
        (r"^contextnet\.conv1\.", "synthesis.context.levels.0."),
        (r"^contextnet\.conv2\.", "synthesis.context.levels.1."),
        (r"^contextnet\.conv3\.", "synthesis.context.levels.2."),
        (r"^contextnet\.conv4\.", "synthesis.context.levels.3."),
        (r"^unet\.(down|up)(\d)\.", r"synthesis.\1.\2."),
        (r"^unet\.conv\.", "synthesis.out."),
        (r"^((?:stages\.\d|matching\.refinement)\.)conv0\.", r"\1head."),
        (r"^((?:stages\.\d|matching\.refinement)\.)convblock\.", r"\1body."),
        (r"^((?:stages\.\d|matching\.refinement)\.)lastconv\.", r"\1tail."),
        (r"^(synthesis\.(?:context\.levels|down)\.\d\.)conv1\.", r"\g<1>0."),
        (r"^(synthesis\.(?:context\.levels|down)\.\d\.)conv2\.", r"\g<1>1."),
    )
)
# Upstream puts a stage's convolutions and PReLUs in one flat list; ours come in pairs.
_FLAT_STAGE = re.compile(r"^feature_bone\.block([123])\.conv\.(\d+)\.")
_CACHED_BUFFERS = ("attn_mask", "HW")


def rename(key: str) -> str:
    """Our name of an upstream parameter; names that are not upstream's come back unchanged."""
    flat = _FLAT_STAGE.match(key)
    if flat:
        stage, place = int(flat[1]) - 1, int(flat[2])
        return f"features.stages.{stage}.{place // 2}.{place % 2}.{key[flat.end() :]}"
    for pattern, ours in _RENAMES:
        key = pattern.sub(ours, key)
    return key


def convert(upstream: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole upstream state dict; the cached masks in it are dropped, the DDP prefix too.

    Source: MCG-NJU/SGM-VFI @40b5e74, Trainer_x4k.py (load filter), Apache-2.0.
    """
    kept = {
        key.removeprefix("module."): tensor
        for key, tensor in upstream.items()
        if not any(name in key.split(".") for name in _CACHED_BUFFERS)
    }
    return {rename(key): tensor for key, tensor in kept.items()}


def network_from(tensors: Mapping[str, Tensor], origin: str) -> SGMVFI:
    """The network that a file's tensors belong to, upstream's names or ours; its sizes are read from them.

    `origin` names the file in complaints.
    Raises: InvalidMedia if the tensors are another network's or a part of this one.
    """
    ours = convert(tensors)
    config = _config_of(ours, origin)
    network = SGMVFI(config)
    wanted = network.state_dict()
    missing = sorted(wanted.keys() - ours.keys())
    if missing:
        raise InvalidMedia(
            f"{origin!r} lacks {len(missing)} of {len(wanted)} tensors, such as {missing[0]!r}; upstream's "
            "complete weights are 'ours-1-2-points.pkl'",
            param="weights",
        )
    unknown = sorted(ours.keys() - wanted.keys())
    wrong = sorted(key for key in wanted if ours[key].shape != wanted[key].shape)
    if unknown or wrong:
        raise InvalidMedia(
            f"{origin!r} is no SGM-VFI: tensor {(unknown + wrong)[0]!r} does not belong", param="weights"
        )
    network.load_state_dict(ours)
    return network.eval()


def _config_of(ours: Mapping[str, Tensor], origin: str) -> SGMVFIConfig:
    def count(pattern: str) -> int:
        return len({found[1] for key in ours if (found := re.match(pattern, key))})

    def channels(key: str) -> int:
        if key not in ours:
            raise InvalidMedia(f"{origin!r} is no SGM-VFI: it has no tensor {key!r}", param="weights")
        return ours[key].shape[0]

    return SGMVFIConfig(
        width=channels("features.stages.0.0.0.weight"),
        depths=(
            *(count(rf"features\.stages\.{stage}\.(\d+)\.") for stage in range(3)),
            count(r"features\.motion_blocks\.(\d+)\."),
        ),
        stage_channels=channels("stages.0.head.0.0.weight"),
        matching_channels=channels("matching_features.encoder.conv2.weight"),
        matching_layers=count(r"matching_features\.layers\.(\d+)\."),
        fusion_channels=channels("matching.fusion.weights.0.weight"),
    )
