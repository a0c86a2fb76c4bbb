import torch

from vitascope.training.sgm_vfi.camera import blocky, degraded


def test_blocks_rounded_finely_change_nothing():
    frames = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(blocky(frames, torch.full((2, 1, 1, 1), 1e-5)), frames, atol=1e-4, rtol=0)


def test_blocks_rounded_coarsely_lose_detail_and_keep_the_mean():
    frames = torch.rand(1, 3, 32, 32) * 0.1 + 0.5
    made = blocky(frames, torch.full((1, 1, 1, 1), 0.25))
    assert made.std() < 0.5 * frames.std()
    assert (made.mean() - frames.mean()).abs() < 0.01


def test_some_frames_are_spoilt_each_in_its_own_way():
    clean = torch.full((64, 3, 16, 16), 0.5)
    first, second = degraded(clean, clean, torch.Generator().manual_seed(0))
    spoilt = (first != clean).flatten(1).any(1)
    assert 0.1 < spoilt.float().mean() < 0.9
    assert (first[spoilt] != second[spoilt]).any()
    assert 0 <= first.min() <= first.max() <= 1
