"""xDiT's own repository for Mochi, mochi-xdit, as a `denoise` that can be raced; its `src` must be on PYTHONPATH."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import types
from typing import Any
from unittest import mock

import torch

import peer_systems as systems
from vitascope.engine.parallel.layout import Layout


def mochi_xdit(subjects: systems.Subjects, layout: Layout, compiled: bool) -> systems.Denoise:
    """xDiT's Mochi: the network of its repository mochi-xdit (the authors' code), its sampling loop.

    `compiled` is its switch COMPILE_DIT, which its documentation does not set.

    Its FlashAttention is version 2's unless that is missing, then cuDNN; here version 3 runs in its place. Its loop
    imports `ray`, which it does not use on one host.
    """
    os.environ["COMPILE_DIT"] = "1"
    systems.stand_in_for_flash_attention_3()
    sys.modules.setdefault("ray", types.ModuleType("ray"))
    if not hasattr(subjects, "mochi_xdit_network"):
        subjects.mochi_xdit_network = _mochi_network(subjects, layout)
    network = subjects.mochi_xdit_network
    from genmo.mochi_preview import pipelines  # type: ignore[import-not-found]

    class Quiet:
        def __iter__(self) -> Any:
            return iter(self.range)

        def __init__(self, range_: Any, **_: Any) -> None:
            self.range = range_

    pipelines.get_new_progress_bar = Quiet
    pipelines.dit_latents_to_vae_latents = lambda latents: latents

    def denoise(num_steps: int) -> tuple[list[float], torch.Tensor | None]:
        clock, calls = systems.Clock(), []

        def counted(*args: Any, **kwargs: Any) -> Any:
            if len(calls) % (1 if layout.cfg == 2 else 2) == 0:
                clock.mark()
            calls.append(1)
            return network(*args, **kwargs)

        texts = {"cond": 0, "null": 1}
        conditioning = {
            kind: {"y_feat": [subjects.text[i : i + 1]], "y_mask": [subjects.valid[i : i + 1]]}
            for kind, i in texts.items()
        }
        stance = torch.compiler.set_stance("default" if compiled else "force_eager")
        same_noise = mock.patch.object(pipelines, "torch", Drawing(subjects.noise))
        with torch.inference_mode(), stance, same_noise:  # its loop draws the noise itself
            latents = pipelines.sample_model(
                subjects.device,
                counted,
                conditioning,
                seed=1,
                width=subjects.task.width,
                height=subjects.task.height,
                num_frames=subjects.task.num_frames,
                num_inference_steps=num_steps,
                cfg_schedule=[4.5] * num_steps,
                sigma_schedule=pipelines.linear_quadratic_schedule(num_steps, 0.025),
            )
        clock.mark()
        return clock.steps()[1:], latents.float()

    return denoise


class Drawing:
    """torch, whose `randn` is this noise: in the eyes of one module, since inductor draws too."""

    def __init__(self, noise: torch.Tensor) -> None:
        self.noise = noise

    def randn(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.noise.clone()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _mend_yunchang() -> None:
    """xfuser 0.7.0 asks yunchang for parts for NPUs that its newest release, 0.6.4, does not have."""
    from yunchang.ring import ring_flash_attn, utils  # type: ignore[import-not-found]

    if not hasattr(utils, "update_npu_out"):
        utils.update_npu_out = None
    name = "yunchang.ring.ring_npu_flash_attn"
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].RingNpuFlashAttnFunc = ring_flash_attn.RingFlashAttnFunc  # type: ignore[attr-defined]


def _mochi_network(subjects: systems.Subjects, layout: Layout) -> Any:
    from flash_attn_interface import flash_attn_varlen_func  # type: ignore[import-not-found]
    from genmo.lib import attn_imports  # type: ignore[import-not-found]
    from genmo.mochi_preview.dit.joint_model import set_use_xdit  # type: ignore[import-not-found]

    set_use_xdit(layout.world > 1)
    if layout.world > 1:
        _mend_yunchang()
        from xfuser.core import long_ctx_attention
        from xfuser.core.distributed import initialize_model_parallel
        from yunchang.kernels import AttnType  # type: ignore[import-not-found]

        systems.begin_anew()
        initialize_model_parallel(
            sequence_parallel_degree=layout.ulysses * layout.ring,
            ulysses_degree=layout.ulysses,
            ring_degree=layout.ring,
            classifier_free_guidance_degree=layout.cfg,
        )
        long_ctx_attention.xFuserLongContextAttention = functools.partial(
            long_ctx_attention.xFuserLongContextAttention, attn_type=AttnType.FA3
        )

    def packed(qkv: Any, cu_seqlens: Any, max_seqlen: int, softmax_scale: Any = None, **_: Any) -> Any:
        query, key, value = qkv.unbind(1)
        lengths = (cu_seqlens, cu_seqlens, max_seqlen, max_seqlen)
        return flash_attn_varlen_func(query, key, value, *lengths, softmax_scale=softmax_scale)

    attn_imports.flash_varlen_qkvpacked_attn = packed
    from genmo.mochi_preview.dit.joint_model.asymm_models_joint import (  # type: ignore[import-not-found]
        AsymmDiTJoint,
    )

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(subjects.device):
        network = AsymmDiTJoint(
            depth=subjects.config.num_layers,
            patch_size=2,
            num_heads=24,
            hidden_size_x=3072,
            hidden_size_y=1536,
            mlp_ratio_x=4.0,
            mlp_ratio_y=4.0,
            in_channels=12,
            qk_norm=True,
            qkv_bias=False,
            t5_feat_dim=subjects.config.text_embed_dim,
            timestep_scale=1000.0,
            rope_theta=10000.0,
            attention_mode="flash",
        )
    torch.set_default_dtype(before)
    network.load_state_dict(in_the_authors_names(subjects.parts["transformer"].state_dict()), assign=True)
    return network.eval().requires_grad_(False)


# Of the authors' Mochi and of diffusers', what is one and the same tensor. Weights matter to time: a network that
# is left as its constructor made it has zeros in its norms, and a GPU at its power limit attends faster to zeros.
SAME = {
    "t5_y_embedder": "time_embed.pooler",
    "t5_yproj": "time_embed.caption_proj",
    "t_embedder.mlp.0": "time_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_embed.timestep_embedder.linear_2",
    "x_embedder.proj": "patch_embed.proj",
    "final_layer.linear": "proj_out",
    "mod_x": "norm1.linear",
    "attn.q_norm_x": "attn1.norm_q",
    "attn.k_norm_x": "attn1.norm_k",
    "attn.q_norm_y": "attn1.norm_added_q",
    "attn.k_norm_y": "attn1.norm_added_k",
    "attn.proj_x": "attn1.to_out.0",
    "attn.proj_y": "attn1.to_add_out",
    "mlp_x.w2": "ff.net.2",
    "mlp_y.w2": "ff_context.net.2",
    "blocks.": "transformer_blocks.",
}
SWAPPED = {
    "final_layer.mod": "norm_out.linear",
    "mlp_x.w1": "ff.net.0.proj",
    "mlp_y.w1": "ff_context.net.0.proj",
}
JOINED = {
    "attn.qkv_x": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "attn.qkv_y": ("attn1.add_q_proj", "attn1.add_k_proj", "attn1.add_v_proj"),
}


def in_the_authors_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' Mochi as the authors' code has it: joined projections, halves of gates the other way round.

    Source: diffusers 0.42.1, scripts/convert_mochi_to_diffusers.py, read backwards.
    """
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        for ours, theirs in (("norm1_context.linear_1.", "mod_y."), ("norm1_context.linear.", "mod_y.")):
            name = name.replace(ours, theirs)
        for theirs, parts in JOINED.items():
            if parts[0] in name:
                both = [weights[name.replace(parts[0], part)] for part in parts]
                renamed[_blocks(name.replace(parts[0], theirs))] = torch.cat(both)
        if any(part in name for parts in JOINED.values() for part in parts):
            continue
        for theirs, ours in SWAPPED.items():
            if f".{ours}." in f".{name}":
                name, tensor = name.replace(ours, theirs), torch.cat(tensor.chunk(2)[::-1])
        for theirs, ours in SAME.items():
            name = f".{name}".replace(f".{ours}", f".{theirs}")[1:]
        renamed[name] = tensor
    return renamed


def _blocks(name: str) -> str:
    return name.replace("transformer_blocks.", "blocks.")
