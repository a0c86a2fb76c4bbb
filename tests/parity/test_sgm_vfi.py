"""SGM-VFI against what upstream's own code computed."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import torch
from torch import Tensor

from golden import Case, cases, compare, golden_root, say
from vitascope.flow.warping import splat_mean, splat_sum
from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.convert import convert
from vitascope.models.sgm_vfi.global_matching import importance_map, key_points, shift_to_time
from vitascope.models.sgm_vfi.layers import resize, resize_flow
from vitascope.models.sgm_vfi.network import SGMVFI

SYSTEM = "sgmvfi"
RELATIVE = 5e-5  # of the largest value, or absolute below 1
# Cells that only the rim of a splat reaches divide one tiny number by another.
LOOSER = {"mid.flow_fix_shifted": 10.0}


def upstream_shapes() -> dict[str, list[int]]:
    return json.loads((golden_root() / SYSTEM / "state_dict_keys.json").read_text())


def drawn(key: str, shape: list[int]) -> np.ndarray:
    """A parameter by the fixtures' recipe: seeded by its upstream name."""
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) >= 2:
        return values / np.float32(np.sqrt(np.prod(shape[1:])))
    if key.endswith("bias"):
        return np.float32(0.1) * values
    return np.float32(0.5) + np.float32(0.1) * values


def upstream_state() -> dict[str, np.ndarray]:
    return {key: drawn(key, shape) for key, shape in upstream_shapes().items()}


def network_of(config: dict) -> SGMVFI:
    ratio = config["num_key_points"]
    network = SGMVFI(
        SGMVFIConfig(
            width=config["F"],
            depths=tuple(config["depth"]),
            key_point_ratio=None if ratio == -1 else ratio,
        )
    )
    state = {key: torch.from_numpy(values) for key, values in upstream_state().items()}
    network.load_state_dict(convert(state))
    return network.eval()


def sampled_like(actual: Tensor, expected: Tensor) -> Tensor:
    """Large fixtures keep the first channels and every n-th pixel only."""
    if actual.ndim != 4 or actual.shape == expected.shape:
        return actual
    rows, columns = (-(-a // e) for a, e in zip(actual.shape[2:], expected.shape[2:], strict=True))
    return actual[:, : expected.shape[1], ::rows, ::columns]


@torch.inference_mode()
def computed(network: SGMVFI, first: Tensor, second: Tensor, time: float, down: float) -> dict[str, Tensor]:
    """Everything that a fixture may hold, under the fixture's names."""
    both = torch.cat((first, second))
    *_, at_quarter, at_eighth = network.features(both)
    matching = network.matching_features(both)
    motion = network.motion(first, second)
    (flow0, mask0), (helped_flow, helped_mask), (flow, mask) = motion.steps
    grid = matching.shape[-2:]
    count = network.matching.num_key_points(*grid)
    time_map = torch.full_like(first[:, :1], 0.5)
    _, _, local = network.stages[0](
        torch.cat((first, second, time_map), 1), torch.cat(at_eighth.chunk(2), 1), None
    )
    found = {
        "mid.af2": at_quarter,
        "mid.af3": at_eighth,
        "mid.gm_feat": matching,
        "mid.flow0": flow0,
        "mid.mask0": mask0,
        "mid.flow0_s": local,
        "mid.flow_fix_norm": motion.matched,
        "mid.flow_fix_shifted": shift_to_time(motion.matched, 0.5, count),
        "mid.flow_t": helped_flow - flow0,
        "mid.mask_t": helped_mask - mask0,
        "flow_iter1": flow,
        "pred": network.synthesis((first, second), flow, mask),
    }
    if count is not None:
        found["mid.importance_map"] = importance_map(first, second, flow0)
        found["mid.kp_ind"] = key_points(found["mid.importance_map"], grid, count)[..., None]
    small = network.motion(resize(first, down), resize(second, down), time)
    found["hr_flow"], hr_mask = resize_flow(small.flow, 1 / down), resize(small.mask, 1 / down)
    found["hr_pred"] = network.synthesis((first, second), found["hr_flow"], hr_mask)
    return found


def same_points(case: Case, name: str, actual: Tensor, expected: Tensor) -> None:
    """Key points are a set: their order is free, and a near tie at its border may swap."""
    for ours, theirs in zip(actual.flatten(1).tolist(), expected.flatten(1).tolist(), strict=True):
        swapped = len(set(ours) ^ set(theirs))
        say(f"{case.system} {case.name} {name}: {swapped} of {len(theirs)} key points differ")
        assert swapped <= len(theirs) // 50


def with_fixture(name: str) -> list[Case]:
    return [case for case in cases(SYSTEM) if name in case.names]


def test_forward() -> None:
    for case in with_fixture("forward"):
        config, fixture = case.config["forward"], case.tensors("forward")
        network = network_of(config)
        first, second = (fixture[f"in.img{i}_u8"].float() / 255 for i in (0, 1))
        ours = computed(network, first, second, config["t"], config["down"])
        expected = case.group("forward", "out.")
        for name, tensor in expected.items():
            if name not in ours:
                say(f"{case.system} {case.name} {name}: not compared, our network has no such tensor")
            elif name == "mid.kp_ind":
                same_points(case, name, ours[name], tensor)
            else:
                atol = RELATIVE * LOOSER.get(name, 1.0) * max(1.0, tensor.abs().max().item())
                compare(case, name, sampled_like(ours[name], tensor), tensor, atol)
        assert expected.keys() & ours.keys(), case


def test_the_weights_are_those_of_the_fixtures() -> None:
    if not cases(SYSTEM):
        say("sgmvfi: no cases in this folder of fixtures")
        return
    state = upstream_state()
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].tobytes())
    for case in with_fixture("forward"):
        assert digest.hexdigest() == case.config["forward"]["state_dict_sha256"]
        for key, values in case.group("forward", "probe.").items():
            np.testing.assert_array_equal(state[key].ravel()[:4], values.numpy())


def test_splatting() -> None:
    for case in with_fixture("softsplat"):
        given, expected = case.group("softsplat", "in."), case.group("softsplat", "out.")
        values, flow, metric = given["x"], given["flow"], given["metric"]
        ours = {
            "sum": splat_sum(values, flow),
            "avg": splat_mean(values, flow, torch.ones_like(metric)),
            "linear": splat_mean(values, flow, metric.abs() + 0.1),
            "soft": splat_mean(values, flow, metric.exp()),
        }
        for name, tensor in expected.items():
            compare(case, f"softsplat.{name}", ours[name], tensor, 2e-6)
