import pytest
import torch

from vitascope.models.wf_vae.wavelet import HAAR_3D_GAIN, haar_2d, haar_3d, inverse_haar_2d, inverse_haar_3d


@pytest.mark.parametrize("num_frames", [1, 5, 9])
def test_inverse_undoes_the_transform(num_frames):
    clip = torch.randn(2, 3, num_frames, 4, 6, generator=torch.Generator().manual_seed(0))
    # The published gain is 1 / sqrt(8), rounded.
    assert torch.allclose(inverse_haar_3d(haar_3d(clip)), clip * 8 * HAAR_3D_GAIN**2, atol=1e-6)
    assert torch.allclose(inverse_haar_2d(haar_2d(clip)), clip, atol=1e-6)


def test_sub_bands_are_in_the_published_order():
    rows = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2, 1).expand(1, 1, 1, 2, 2)
    columns = rows.transpose(-1, -2)
    times = torch.tensor([1.0, -1.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 2)
    assert haar_2d(rows).flatten().nonzero().item() == 1
    assert haar_2d(columns).flatten().nonzero().item() == 2
    assert haar_3d(rows)[0, :, 0].flatten().nonzero().item() == 2
    assert haar_3d(columns)[0, :, 0].flatten().nonzero().item() == 1
    assert haar_3d(times, starts_clip=False).flatten().nonzero().item() == 4


def test_later_chunks_continue_the_first():
    clip = torch.randn(1, 3, 9, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = haar_3d(clip)
    chunks = [haar_3d(clip[:, :, :5]), haar_3d(clip[:, :, 5:], starts_clip=False)]
    assert torch.equal(torch.cat(chunks, dim=2), whole)
    parts = [inverse_haar_3d(whole[:, :, :2]), inverse_haar_3d(whole[:, :, 2:], starts_clip=False)]
    assert torch.equal(torch.cat(parts, dim=2), inverse_haar_3d(whole))
