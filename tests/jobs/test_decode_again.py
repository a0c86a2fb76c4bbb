"""Decoding runs out of memory: it is tried once more in tiles, from the latents that were kept."""

import pytest

from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.jobs.attempt import JobRunner
from vitascope.jobs.house import VIDEO, House
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.media import probe

NUM_STEPS = 2


@pytest.mark.slow
@pytest.mark.parametrize("even_in_tiles", [False, True])
def test_a_decoding_that_runs_out_of_memory_costs_no_denoising(tmp_path, monkeypatch, even_in_tiles):
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    decode, forward, calls = AutoencoderKLCogVideoX._decode, CogVideoXTransformer3DModel.forward, []

    def too_large(self, *args, **kwargs):
        if even_in_tiles or not self.use_tiling:
            raise torch.OutOfMemoryError("no room")
        return decode(self, *args, **kwargs)

    def counted(self, *args, **kwargs):
        calls.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(AutoencoderKLCogVideoX, "_decode", too_large)
    monkeypatch.setattr(CogVideoXTransformer3DModel, "forward", counted)
    office = Office(House(tmp_path / "house"))
    runner = JobRunner(office.house, office.ledger, Engine(Placement(device="cpu")), 60)
    options = {"num_inference_steps": NUM_STEPS, "num_frames": 9}
    job = office.submit(Submission(Order(prompt="a red ball", model="sprout", options=options)))
    runner.work(job.id)
    done = office.ledger.get(job.id)
    assert len(calls) == NUM_STEPS, "the second try starts after the last step"
    if even_in_tiles:
        assert (done.status, done.error_code) == ("failed", "out_of_memory")
    else:
        assert done.status == "completed", done.error_message
        assert done.result["recipe"]["placement"]["vae_tiling"] is True
        assert any("tiles" in line for line in done.result["warnings"])
        assert probe(office.house.job(job.id) / VIDEO).num_frames == 9
    office.close()
