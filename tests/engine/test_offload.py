"""Weights that visit: the same results, one part at a time, blocks one ahead."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from vitascope.engine.offload import Packed, take_turns


class Transformer(torch.nn.Module):
    def __init__(self, num_blocks):
        super().__init__()
        self.embed = torch.nn.Linear(4, 4)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(num_blocks))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return x


@torch.inference_mode()
def check(num_blocks, streamed):
    away = []
    with torch.inference_mode(False):
        torch.manual_seed(0)
        model, encoder = (
            Transformer(num_blocks).requires_grad_(False),
            torch.nn.Linear(4, 4).requires_grad_(False),
        )
        x = torch.randn(3, 4)
        expected = model(encoder(x)), model(encoder(2 * x))
        parts = {"text_encoder": encoder, "transformer": model}
        take_turns(parts, "cpu", list(model.blocks) if streamed else ())
        homes = [block.weight.data_ptr() for block in model.blocks]
        for block, home in zip(model.blocks, homes, strict=True):
            block.register_forward_pre_hook(
                lambda module, _, home=home: away.append(module.weight.data_ptr() != home)
            )
    for scale, result in zip((1, 2), expected, strict=True):
        torch.testing.assert_close(model(encoder(scale * x)), result, atol=0, rtol=0)
    assert away and all(away)  # every block computed where it visits, not at home
    assert encoder._hf_hook.execution_device.type == "cpu"


def test_channels_stay_last_at_home_and_away():
    conv = torch.nn.Conv3d(4, 6, 3).to(memory_format=torch.channels_last_3d)
    weight, strides = conv.weight.detach().clone(), conv.weight.stride()
    packed = Packed([conv], torch.device("cpu"))
    assert conv.weight.stride() == strides != torch.empty(6, 4, 3, 3, 3).stride()
    packed.enter()
    assert conv.weight.stride() == strides and torch.equal(conv.weight, weight)


def test_parts_take_turns():
    check(4, streamed=False)


def test_blocks_are_streamed_even_and_odd():
    for num_blocks in (1, 2, 3, 4):
        check(num_blocks, streamed=True)


def test_only_one_part_is_away_from_home():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    take_turns({"a": first, "b": second}, "cpu")
    home = first.weight.data_ptr(), second.weight.data_ptr()
    first(torch.zeros(1, 2))
    assert first.weight.data_ptr() != home[0]
    second(torch.zeros(1, 2))
    assert first.weight.data_ptr() == home[0] and second.weight.data_ptr() != home[1]


def test_weights_of_several_types_and_shared_ones_keep_their_values():
    module = torch.nn.Module()
    module.register_buffer("scale", torch.tensor([1.5, 2.5]))
    module.register_buffer("weight", torch.randn(3, 5).to(torch.float8_e4m3fn))
    module.tied = torch.nn.Linear(3, 3, dtype=torch.bfloat16)
    module.again = module.tied
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    packed = Packed([module], torch.device("cpu"))
    packed.enter()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor.float(), before[name].float())


@pytest.mark.parametrize("model", ["mochi", "cogvideox-5b"])
def test_a_whole_pipeline_makes_the_same_clip_with_visiting_weights(model):
    from vitascope.engine import levers, pipelines
    from vitascope.evaluation.speed.random_models import components, find

    def clip(offload):
        parts = components(find(model), "cpu", torch.float32, tiny=True)
        pipeline = pipelines.import_class(find(model).pipeline)(**parts)
        pipeline.set_progress_bar_config(disable=True)
        levers.pull(pipeline, levers.Levers(offload=offload, vae="stream", attention="sdpa"), "cpu")
        assert pipeline._execution_device.type == "cpu"
        with torch.inference_mode():
            made = [
                pipeline(
                    "a fox",
                    width=64,
                    height=32,
                    num_frames=13,
                    num_inference_steps=3,
                    max_sequence_length=226,
                    generator=torch.Generator().manual_seed(seed),
                    output_type="np",
                ).frames
                for seed in (0, 1)
            ]
        away = [part._hf_hook._turn._here for part in (pipeline.vae,) if offload != "placement"]
        assert all(away)
        return np.concatenate(made)

    plain = clip("placement")
    for offload in ("turns", "blocks"):
        assert np.array_equal(clip(offload), plain)


class Pages:
    """The driver's book of page-locked memory."""

    def __init__(self, refuses=False):
        self.locked = {}
        self.refuses = refuses

    def cudaHostRegister(self, address, size, _flags):
        if self.refuses:
            return 801
        self.locked[address] = size
        return 0

    def cudaHostUnregister(self, address):
        del self.locked[address]


def test_pages_are_locked_where_the_weights_lie_and_let_go_with_them(monkeypatch):
    pages = Pages()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: pages)
    linear = torch.nn.Linear(100, 100)
    before = linear.weight.detach().clone()
    packed = Packed([linear], torch.device("cuda"))
    assert list(pages.locked.values()) == [packed.num_bytes]
    (address,) = pages.locked
    assert address <= linear.weight.data_ptr() < address + packed.num_bytes
    del packed
    gc.collect()
    assert not pages.locked and torch.equal(linear.weight, before)


def test_where_pages_cannot_be_locked_torchs_own_are_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "cudart", lambda: Pages(refuses=True))
    taken = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: taken.append(self.clone()) or taken[-1])
    linear = torch.nn.Linear(100, 100)
    before = linear.weight.detach().clone()
    packed = Packed([linear], torch.device("cuda"))
    assert taken[0].numel() == packed.num_bytes and torch.equal(linear.weight, before)
    assert taken[0].data_ptr() <= linear.weight.data_ptr() < taken[0].data_ptr() + packed.num_bytes
