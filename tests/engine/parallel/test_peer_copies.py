"""Exchange by writing into each other's memory, on CPUs: files mapped by all ranks stand for GPUs' memory."""

import sys

import pytest
import torch
import torch.distributed as dist

from tests.engine.parallel.ranks import on_ranks
from tests.engine.parallel.shared_memory import SharedMemory
from tests.engine.parallel.test_plans import ROUNDING, cogvideox_and_inputs, mochi_and_inputs
from vitascope.engine.attention import QKV, best_exact
from vitascope.engine.attention_processors import install
from vitascope.engine.parallel.attention import SplitAttend, Tokens, on_one_device
from vitascope.engine.parallel.exchange import Collectives
from vitascope.engine.parallel.layout import SAMPLES_AT_ONCE, Layout, shares
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.peer_copies import NUM_SIGNALS, PeerCopies, peer_copies
from vitascope.engine.parallel.plans import split


def _by_peers(rank, model, inputs, layout, folder):
    """The output of one call after the other, and what one of them pushed."""
    mesh = Mesh.join(layout, torch.device("cpu"))
    cfg_group = mesh.cfg.index if layout.cfg > 1 else 0
    memory = SharedMemory(mesh.ulysses.index, layout.ulysses, f"{folder}/{cfg_group}")
    mesh.__dict__["carrier"] = PeerCopies(mesh.ulysses, memory)
    installed = split(model, mesh, "sdpa")
    install(model, installed.joint)
    outputs = [model(**each).sample for each in inputs]
    return outputs, installed.joint.num_pieces, memory.pushed


def _in_turns(inputs):
    """Batches of several sizes, each of other samples, so that rooms come to lie elsewhere and stale numbers show."""
    whole = {n: x if isinstance(x, tuple) else torch.cat([x, x.flip(0)]) for n, x in inputs.items()}
    cut = [slice(0, 2), slice(1, 2), slice(0, 3), slice(2, 3), slice(1, 4)]
    return [{n: x if isinstance(x, tuple) else x[part] for n, x in whole.items()} for part in cut]


@pytest.mark.parametrize("build", [mochi_and_inputs, cogvideox_and_inputs])
@pytest.mark.parametrize("layout", [Layout(ulysses=4), Layout(cfg=2, ulysses=2)], ids=Layout.described)
def test_copies_into_each_others_memory_give_the_output_of_one(build, layout, tmp_path):
    model, inputs, _ = build()
    calls = _in_turns(inputs)
    with torch.no_grad():
        expected = [model(**each).sample for each in calls]
    for part in range(layout.cfg):
        (tmp_path / str(part)).mkdir()
    for outputs, num_pieces, _ in on_ranks(layout.world, _by_peers, model, calls, layout, str(tmp_path)):
        assert num_pieces == 2, "heads go in halves"
        for output, whole in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output, whole, atol=ROUNDING, rtol=1e-5)


def test_a_rank_is_sent_no_more_than_it_lacks(tmp_path):
    model, inputs, _ = mochi_and_inputs()
    one = {name: value[:1] for name, value in inputs.items()}
    (tmp_path / "0").mkdir()
    for rank, (_, _, pushed) in enumerate(
        on_ranks(2, _by_peers, model, [one], Layout(ulysses=2), str(tmp_path))
    ):
        assert {to for to, _ in pushed} == {1 - rank}
        tokens, layers, half = (23, 22), len(model.transformer_blocks), 4 * 8
        text = 8 * half
        video = 3 * tokens[rank] * half + tokens[1 - rank] * half
        assert sum(count for _, count in pushed) == layers * (video + text)


def test_signals_suffice_for_eight_ranks_and_the_largest_group_of_samples():
    assert (4 * 2 * SAMPLES_AT_ONCE + 2) * 8 <= NUM_SIGNALS


class _Unreachable:
    """Memory that the second rank cannot have."""

    def __init__(self, group, device):
        self.index = group.index

    def ready(self):
        if self.index == 1:
            raise RuntimeError("peer access is not supported between these two devices")
        return True

    def greet(self):
        raise AssertionError("a rank goes on alone")

    greeted = greet


def _carriers(rank):
    mesh = Mesh.join(Layout(ulysses=2), torch.device("cpu"))
    on_cpus = peer_copies(mesh.ulysses, mesh.device)
    module = sys.modules[peer_copies.__module__]
    module.SymmetricMemory, module.cuda_capability = _Unreachable, lambda _: (9, 0)
    return on_cpus, peer_copies(mesh.ulysses, torch.device("cuda")), type(mesh.carrier)


def test_where_one_rank_does_not_reach_the_others_collectives_carry_for_all():
    assert on_ranks(2, _carriers) == [(None, None, Collectives)] * 2


def _both_ways(rank):
    """How many outputs by copies are not bit for bit those by collectives, sizes changing from call to call."""
    torch.cuda.set_device(rank)
    torch.manual_seed(rank)
    mesh, differing = Mesh.join(Layout(ulysses=2), torch.device("cuda", rank)), 0
    assert isinstance(mesh.carrier, PeerCopies), "these GPUs do not reach each other's memory"
    for turn in range(12):
        tokens = Tokens(4001 + 500 * (turn % 3))
        own = shares(tokens.total, 2)[rank]
        batch = 1 + turn % 2
        video, text = (
            QKV(*torch.randn(3, batch, count, 6, 64, device="cuda", dtype=torch.bfloat16))
            for count in (own, 16)
        )
        for words in text:
            dist.broadcast(words, 0, group=mesh.ulysses.process_group)
        lengths = torch.tensor([16, 5][:batch])
        ways = [
            SplitAttend(mesh, tokens, on_one_device(best_exact("cuda")), carrier, halves=True)
            for carrier in (mesh.carrier, Collectives(mesh.ulysses))
        ]
        outputs = [way(video, text, lengths) for way in ways]
        differing += sum(not torch.equal(one, other) for one, other in zip(*outputs, strict=True))
    return differing


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_copies_between_gpus_bring_what_collectives_bring():
    assert on_ranks(2, _both_ways, on_gpus=True) == [0, 0]
