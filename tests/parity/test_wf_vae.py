"""WF-VAE against upstream's own outputs, whole and in chunks, and the names in published checkpoints."""

from __future__ import annotations

import pytest
import torch

from tests.parity.golden import Case, cases, compare_all, released_shapes, say
from vitascope.models.wf_vae import AutoencoderKLWFVAE
from vitascope.models.wf_vae.convert import PUBLISHED, config_from_upstream, tensors_from_upstream

ATOL = 2e-5
SYSTEMS = ("wf-vae", "open-sora-plan-1.3")
CASES = [(case, name) for system in SYSTEMS for case in cases(system) for name in case.starting("vae")]
RELEASED = {
    name: shapes
    for system in SYSTEMS
    for name, shapes in released_shapes(system).items()
    if name.startswith("wfvae")
}


def autoencoder(case: Case, name: str) -> AutoencoderKLWFVAE:
    tensors = case.group(name, "sd.")
    vae = AutoencoderKLWFVAE(**config_from_upstream(case.config[name]["config"], tensors))
    vae.load_state_dict(tensors_from_upstream(tensors))
    return vae.eval()


@torch.no_grad()
@pytest.mark.parametrize(("case", "name"), CASES, ids=str)
def test_outputs_equal_upstreams(case, name):
    vae, clip = autoencoder(case, name), case.group(name, "in.")["x"]
    encoded = vae.encoder(clip)
    decoded = vae.decoder(case.group(name, "out.")["moments"].chunk(2, dim=1)[0])
    image = vae.encode(clip[:, :, :1]).latent_dist.parameters
    actual = {
        "moments": encoded.sample,
        "enc_l1": encoded.level1,
        "enc_l2": encoded.level2,
        "decoded": decoded.sample,
        "dec_l1": decoded.level1,
        "dec_l2": decoded.level2,
        "moments_image": image,
        "decoded_image": vae.decode(image.chunk(2, dim=1)[0]).sample,
    }
    # Chunk sizes are upstream's way to the same result; ours needs none.
    vae.enable_tiling(2)
    actual["moments_tiled"] = vae.encode(clip).latent_dist.parameters
    actual["decoded_tiled"] = vae.decode(encoded.sample.chunk(2, dim=1)[0]).sample
    compare_all(case, name, actual, ATOL)


@pytest.mark.parametrize("name", RELEASED)
def test_every_released_parameter_has_its_place(name):
    released = {key: torch.empty(shape, device="meta") for key, shape in RELEASED[name].items()}
    wanted = {key: tuple(tensor.shape) for key, tensor in tensors_from_upstream(released).items()}
    with torch.device("meta"):
        models = {model: AutoencoderKLWFVAE(**config) for model, config in PUBLISHED.items()}
    shapes = {
        model: {key: tuple(tensor.shape) for key, tensor in vae.state_dict().items()}
        for model, vae in models.items()
    }
    fitting = [model for model, ours in shapes.items() if ours == wanted]
    say(f"{name}: {len(wanted)} of {len(released)} tensors are parameters, of {fitting}")
    assert len(fitting) == 1
