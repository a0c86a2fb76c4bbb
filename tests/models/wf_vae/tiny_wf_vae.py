"""WF-VAE with random weights, small enough for a second on one core."""

import torch

from vitascope.models.wf_vae import AutoencoderKLWFVAE

UPSTREAM_CONFIG = {
    "_class_name": "WFVAEModel",
    "latent_dim": 4,
    "base_channels": 8,
    "encoder_num_resblocks": 1,
    "encoder_energy_flow_hidden_size": 4,
    "decoder_num_resblocks": 1,
    "decoder_energy_flow_hidden_size": 8,
    "norm_type": "layernorm",
    "t_interpolation": "trilinear",
    "scale": [0.1, 0.2, 0.3, 0.4],
    "shift": [0, 0, 0, 0],
}


def tiny_wf_vae(**changes) -> AutoencoderKLWFVAE:
    """What `UPSTREAM_CONFIG` says, with two connecting blocks."""
    config = {
        "latent_channels": 4,
        "base_channels": 8,
        "encoder_num_blocks": 1,
        "encoder_flow_channels": 4,
        "decoder_num_blocks": 1,
        "decoder_flow_channels": 8,
        "num_connect_blocks": 2,
        "scaling_factor": [0.1, 0.2, 0.3, 0.4],
        **changes,
    }
    torch.manual_seed(0)
    return AutoencoderKLWFVAE(**config).eval()
