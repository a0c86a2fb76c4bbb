"""Ranks that decode some rows each make the pixels of one; rows need not divide."""

import pytest
import torch

from tests.engine.parallel.ranks import on_ranks
from tests.engine.test_streaming_vae import cogvideox_vae, mochi_vae
from vitascope.engine import streaming_vae
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.rows import DecodingRows


def _first(output):
    return output[0] if isinstance(output, tuple) else output


def _decoded(rank, latents, world, build=mochi_vae, compiled=False):
    vae = build()
    streaming_vae.install(vae)
    stream = vae._vitascope_stream
    if compiled:
        stream._resnet = torch.compile(stream._resnet, backend="eager", fullgraph=True, dynamic=False)
    mesh = Mesh.join(Layout(ring=world), torch.device("cpu"))
    stream.share = DecodingRows(mesh.everyone)
    heights = []
    hook = vae.decoder.conv_in.register_forward_hook(lambda *call: heights.append(_first(call[2]).shape[3]))
    once, again = vae.decode(latents).sample, vae.decode(latents).sample
    hook.remove()
    assert torch.equal(once, again)
    return once, set(heights)


@pytest.mark.parametrize(
    ("world", "rows", "shares"),
    [
        (2, 5, [3, 2]),
        pytest.param(4, 6, [2, 2, 1, 1], marks=pytest.mark.slow),
        (3, 2, [2, 2, 2]),  # too few to share: each decodes all
    ],
)
def test_every_rank_has_the_pixels_of_one(world, rows, shares):
    torch.manual_seed(3)
    latents = torch.randn(2, 12, 3, rows, 4)
    expected = mochi_vae().decode(latents).sample.detach()
    for share, (pixels, heights) in zip(shares, on_ranks(world, _decoded, latents, world), strict=True):
        assert heights == {share}
        torch.testing.assert_close(pixels, expected, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("frames", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_every_rank_has_cogvideox_pixels_of_one(frames):
    torch.manual_seed(3)
    latents = torch.randn(1, 4, frames, 5, 3)
    expected = cogvideox_vae().decode(latents).sample.detach()
    for share, (pixels, heights) in zip(
        [3, 2], on_ranks(2, _decoded, latents, 2, cogvideox_vae), strict=True
    ):
        assert heights == {share}
        torch.testing.assert_close(pixels, expected, atol=5e-6, rtol=1e-5)


@pytest.mark.slow
def test_a_resnet_stays_one_graph():
    torch.manual_seed(3)
    latents = torch.randn(1, 12, 2, 4, 4)
    expected = mochi_vae().decode(latents).sample.detach()
    for pixels, _ in on_ranks(2, _decoded, latents, 2, mochi_vae, True):
        torch.testing.assert_close(pixels, expected, atol=5e-6, rtol=1e-5)
