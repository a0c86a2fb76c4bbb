"""Too big is said before loading, and explained when memory runs out on the way."""

from types import SimpleNamespace

import pytest
import torch

from tests.generators import tiny_cogvideox as tiny
from vitascope.engine import memory
from vitascope.engine.placement import Placement
from vitascope.errors import OutOfMemory
from vitascope.generators import for_model

CPU = Placement(device="cpu", dtype="float32")


def test_a_budget_that_is_too_small_is_refused_with_both_numbers(tmp_path):
    folder = tiny.save(tmp_path / "2b")
    sizes = memory.component_gib(folder, "float32")
    assert set(sizes) == {"text_encoder", "transformer", "vae"}
    loaded = for_model(str(folder)).load(CPU)
    count = sum(p.numel() for name in sizes for p in getattr(loaded.pipeline, name).parameters())
    assert sum(sizes.values()) * 2**30 / 4 == pytest.approx(count, rel=0.02)
    tight = Placement(device="cpu", dtype="float32", memory_gib=sum(sizes.values()) / 2)
    with pytest.raises(OutOfMemory, match=r"need .* GiB on cpu in float32 and .* GiB may be used"):
        for_model(str(folder)).load(tight)


def test_half_the_bytes_in_half_the_precision(tmp_path):
    folder = tiny.save(tmp_path / "2b")
    full, half = (sum(memory.component_gib(folder, dtype).values()) for dtype in ("float32", "bfloat16"))
    assert half == full / 2


def test_offload_needs_room_for_the_largest_part_alone():
    placement = Placement(device="cuda", dtype="bfloat16", memory_gib=5.0, offload="model")
    sizes = {"transformer": 4.0, "text_encoder": 4.0}
    if torch.cuda.is_available():
        memory.check_room(sizes, placement)
    with pytest.raises(OutOfMemory, match="may be used"):
        memory.check_room({"transformer": 1e6}, Placement(device="cpu", dtype="float32"))


def test_torchs_own_complaints_become_one_line():
    for complaint in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        MemoryError(),
    ):
        said = r"ran out of memory while dreaming; try .*fewer frames.*vae_tiling"
        with pytest.raises(OutOfMemory, match=said), memory.exhaustion_explained(CPU, "dreaming"):
            raise complaint
    with pytest.raises(RuntimeError, match="shapes"), memory.exhaustion_explained(CPU, "dreaming"):
        raise RuntimeError("shapes do not fit")


def test_an_allocation_that_cannot_be_is_explained():
    with pytest.raises(OutOfMemory), memory.exhaustion_explained(CPU, "allocating"):
        torch.empty(2**50)


def test_a_limit_ends_with_the_placement_that_asked_for_it(monkeypatch):
    """Two models in one process: the second one is not held to the first one's limit."""
    allowed = []
    card = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: allowed.append(share))
    memory.cap(Placement(device="cuda", memory_gib=24))
    memory.cap(Placement(device="cuda"))
    memory.cap(Placement(device="cpu", memory_gib=24))
    assert allowed == [pytest.approx(23.2 / 80), 1.0]
