"""Wan 2.1 1.3B's denoising step by SGLang, by ours and by diffusers: the same weights and inputs, in turns.

    python benchmarks/peer_sglang.py -o RESULT.json

SGLang's own network runs (`pip install sglang==0.5.17`, the newest for torch 2.11; `sglang.multimodal_gen`), and what
it takes from other packages where they are installed. For those that are not, kernels stand in that pass over memory
as often: `fa3-fwd` for its FlashAttention-3, and compiled ones for flashinfer's rotation, for its norms in CuTe
(`nvidia-cutlass-dsl`) and for `sgl_kernel`. The result names them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import statistics
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from conditions import conditions
from kernel_kinds import profiled
from vitascope.engine import levers as levers_of
from vitascope.engine.placement import Placement
from vitascope.engine.subject import Gpu, Subject
from vitascope.evaluation.speed import random_models
from vitascope.evaluation.speed.step_inputs import draw

MODEL = "wan2.1-t2v-1.3b"
TINY = bool(os.environ.get("TINY_MODELS"))
ON_GPU = torch.cuda.is_available()
Call = Callable[[], Tensor]


def rms_norm(states: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """`sgl_kernel.rmsnorm`."""
    return functional.rms_norm(states.float(), states.shape[-1:], weight.float(), eps).to(states.dtype)


def norm_scale_shift(
    states: Tensor, weight: Any, bias: Any, scale: Tensor, shift: Tensor, _kind: str, eps: float
) -> Tensor:
    """SGLang's CuTe kernel of this name: one pass."""
    normed = functional.layer_norm(states.float(), states.shape[-1:], weight, bias, eps)
    return (normed * (1 + scale.float()) + shift.float()).to(states.dtype)


def scale_residual_norm_scale_shift(
    residual: Tensor,
    states: Tensor,
    gate: Tensor | None,
    weight: Any,
    bias: Any,
    scale: Tensor,
    shift: Tensor,
    kind: str,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """SGLang's CuTe kernel of this name: one pass."""
    summed = residual.float() + (states.float() if gate is None else states.float() * gate.float())
    return norm_scale_shift(summed, weight, bias, scale, shift, kind, eps).to(states.dtype), summed.to(
        residual.dtype
    )


def rotate(query: Tensor, key: Tensor, cos_sin_cache: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
    """SGLang's `apply_flashinfer_rope_qk_inplace` of interleaved pairs: one pass."""
    cos, sin = (part[None, : query.shape[1], None, :, None] for part in cos_sin_cache.chunk(2, dim=-1))
    sign = torch.tensor([-1.0, 1.0], device=query.device)
    turned = []
    for states in (query, key):
        pairs = states.float().unflatten(-1, (-1, 2))
        turned.append((pairs * cos + pairs.flip(-1) * sin * sign).flatten(-2).to(states.dtype))
    return turned[0], turned[1]


class SGLang:
    """SGLang's Wan on the weights of diffusers'."""

    def __init__(self, transformer: Any) -> None:
        self.stand_ins: list[str] = []
        self._prepare()
        from sglang.multimodal_gen.configs.models.dits import WanVideoConfig  # type: ignore[import-not-found]
        from sglang.multimodal_gen.runtime import server_args  # type: ignore[import-not-found]
        from sglang.multimodal_gen.runtime.distributed import parallel_state  # type: ignore[import-not-found]

        server_args.set_global_server_args(Settings())
        os.environ.update(LOCAL_RANK="0", RANK="0", WORLD_SIZE="1")
        parallel_state.maybe_init_distributed_environment_and_model_parallel(
            tp_size=1, sp_size=1, distributed_init_method=f"file://{tempfile.mktemp()}"
        )
        from sglang.multimodal_gen.runtime.models.dits import wanvideo  # type: ignore[import-not-found]

        self._stand_in(wanvideo)
        config = WanVideoConfig()
        for name, value in dict(transformer.config).items():
            if hasattr(config.arch_config, name) and name != "patch_size":
                setattr(config.arch_config, name, value)
        config.arch_config.__post_init__()
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(transformer.device):
            self.network = wanvideo.WanTransformer3DModel(config, hf_config={})
        torch.set_default_dtype(before)
        self._load(transformer, config.arch_config.param_names_mapping)
        self.network.eval().requires_grad_(False)

    def _load(self, transformer: Any, mapping: dict[str, str]) -> None:
        weights = {}
        for name, tensor in transformer.state_dict().items():
            for pattern, replacement in mapping.items():
                if re.match(pattern, name):
                    name = re.sub(pattern, replacement, name)
                    break
            weights[name] = tensor
        expected = self.network.state_dict()
        # all in 16 bits, as its loader has it
        weights = {name: part.view_as(expected[name]).to(torch.bfloat16) for name, part in weights.items()}
        self.network.load_state_dict(weights, assign=True)

    def _prepare(self) -> None:
        import transformers

        if importlib.util.find_spec("flashinfer") is None:
            os.environ["SGLANG_IS_FLASHINFER_AVAILABLE"] = "false"
            sys.meta_path.insert(
                0, Nothing("flashinfer", but="flashinfer.rope")
            )  # imported for LLMs without asking

        register = transformers.AutoConfig.register
        transformers.AutoConfig.register = staticmethod(  # a newer one knows some of SGLang's models already
            lambda name, config, exist_ok=True: register(name, config, exist_ok=True)  # noqa: ARG005
        )
        try:
            import sgl_kernel  # type: ignore[import-not-found]
        except Exception as error:  # noqa: BLE001  whatever a build for another machine says
            self.stand_ins.append(f"sgl_kernel ({type(error).__name__})")
            for name in [name for name in sys.modules if name.partition(".")[0] == "sgl_kernel"]:
                del sys.modules[name]
            sys.meta_path.insert(0, Nothing("sgl_kernel"))
            import sgl_kernel

            sgl_kernel.rmsnorm = torch.compile(rms_norm, dynamic=False)

    def _stand_in(self, wanvideo: Any) -> None:
        """Kernels for those whose packages are not here, before the network is made."""
        from sglang.multimodal_gen.runtime.layers import layernorm  # type: ignore[import-not-found]
        from sglang.multimodal_gen.runtime.layers.attention.backends import (  # type: ignore[import-not-found]
            flash_attn,
        )

        if not ON_GPU:
            return
        from fa3_fwd_interface import flash_attn_func  # type: ignore[import-not-found]

        @torch.library.custom_op("bench::fa3", mutates_args=())
        def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
            out = flash_attn_func(q, k, v, softmax_scale=scale)
            return out[0] if isinstance(out, tuple) else out

        attend.register_fake(lambda q, k, v, scale: torch.empty_like(q))  # noqa: ARG005
        flash_attn.flash_attn_varlen_func = lambda q, k, v, softmax_scale, **_: attend(q, k, v, softmax_scale)
        self.stand_ins.append("FlashAttention-3 (fa3-fwd)")
        compiled = partial(torch.compile, dynamic=False)
        if importlib.util.find_spec("cutlass") is None:
            self.stand_ins.append("norms in CuTe (compiled)")
            package = "sglang.kernels.ops.diffusion.cutedsl"
            for name in (package, f"{package}.scale_residual_norm_scale_shift"):
                sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__dict__.update(
                fused_norm_scale_shift=compiled(norm_scale_shift),
                fused_scale_residual_norm_scale_shift=compiled(scale_residual_norm_scale_shift),
            )
        if "SGLANG_IS_FLASHINFER_AVAILABLE" in os.environ:
            self.stand_ins.append("flashinfer's rotation (compiled)")
            wanvideo.apply_flashinfer_rope_qk_inplace = compiled(rotate)
        del layernorm

    def call(self, arguments: dict[str, Any]) -> Tensor:
        """One evaluation, as its denoising stage makes it."""
        from sglang.multimodal_gen.runtime.managers.forward_context import (  # type: ignore[import-not-found]
            set_forward_context,
        )

        autocast = torch.autocast("cuda", torch.bfloat16) if ON_GPU else nullcontext()
        with set_forward_context(current_timestep=0, attn_metadata=None), autocast:
            output: Tensor = self.network(**arguments)
        return output


class Nothing(MetaPathFinder, Loader):
    """A package in which every name and every module is there and none does anything."""

    def __init__(self, package: str, but: str = "") -> None:
        self.package, self.but = package, but

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        here = name.partition(".")[0] == self.package and name != self.but
        return ModuleSpec(name, self, is_package=True) if here else None

    def exec_module(self, module: types.ModuleType) -> None:
        module.__getattr__ = Idle().__getattr__  # type: ignore[method-assign]


class Idle:
    """Takes every attribute and every call for itself."""

    def __getattr__(self, name: str) -> Idle:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Idle:
        return self


class Settings(SimpleNamespace):
    """SGLang's settings, all at nothing."""

    def __getattr__(self, _name: str) -> None:
        return None


def ours(transformer: Any, speed: str) -> Any:
    """The network with our levers."""
    net = random_models.sharing_weights(transformer)
    stand_in = SimpleNamespace(transformer=net, vae=None, components={"transformer": net})
    placement = Placement(device="cuda" if ON_GPU else "cpu", speed=speed).resolve()
    chosen = levers_of.decide(Subject.of(stand_in), placement, Gpu.here(placement.device))
    levers_of.shrink(stand_in, chosen, placement.device)
    levers_of.pull(stand_in, chosen, placement.device)
    return net


class Race:
    """Steps in turns, of whoever is ready."""

    def __init__(self, output: Path, rounds: int) -> None:
        self.output, self.rounds = output, rounds
        self.until = float(os.environ.get("DEADLINE", "inf")) - 10
        model = random_models.find(MODEL)
        device = "cuda" if ON_GPU else "cpu"
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            self.transformer = model.build(TINY)["transformer"].eval().requires_grad_(False)
        torch.set_default_dtype(before)
        task = model.item(50).complete(model.task(TINY))
        latents = (16, (task.num_frames - 1) // 4 + 1, task.height // 8, task.width // 8)
        width = self.transformer.config.text_dim
        self.inputs = draw(self.transformer, latents, 512, width, device)
        self.rows: dict[str, dict[str, Any]] = {}
        self.ready: dict[str, Call] = {}
        self.result = {**conditions(device), "model": MODEL, "latents": latents, "rows": self.rows}

    def add(self, name: str, build: Callable[[], Call]) -> None:
        """Warm one up, then turns of all."""
        row: dict[str, Any] = {"steps_s": []}
        self.rows[name] = row
        began = time.perf_counter()
        try:
            call = build()
            for _ in range(2):
                output = self._step(call)
            row["warm_up_s"] = round(time.perf_counter() - began, 1)
            self._compare(row, output.float())
        except Exception as error:  # noqa: BLE001  the others go on
            traceback.print_exc()
            row["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            self.keep()
            return
        self.ready[name] = call
        for _ in range(self.rounds):
            for each, made in self.ready.items():
                if time.time() < self.until:
                    began = time.perf_counter()
                    self._step(made)
                    self.rows[each]["steps_s"].append(round(time.perf_counter() - began, 4))
                    self.rows[each]["step_s"] = round(statistics.median(self.rows[each]["steps_s"]), 4)
        self.keep()

    def profile(self) -> None:
        """Where one step of each goes."""
        for name, call in self.ready.items():
            if ON_GPU and time.time() < self.until and "kernels" not in self.rows[name]:
                self.rows[name]["kernels"] = profiled(partial(self._step, call), 1)
                self.keep()

    def _step(self, call: Call) -> Tensor:
        with torch.inference_mode():
            for _ in range(self.inputs.num_calls):
                output = call()
        if ON_GPU:
            torch.cuda.synchronize()
        return output

    def _compare(self, row: dict[str, Any], output: Tensor) -> None:
        if not hasattr(self, "expected"):
            self.expected = output
        row["relative_error"] = ((output - self.expected).norm() / self.expected.norm()).item()

    def keep(self) -> None:
        """Write what there is."""
        self.output.write_text(json.dumps(self.result, indent=1) + "\n")
        print(json.dumps(self.rows)[:2000], flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4, help="turns whenever a system has joined")
    parser.add_argument("--only", nargs="+", help="these systems alone")
    parser.add_argument("--profile", action="store_true", help="also where a step of each goes")
    given = parser.parse_args()
    race = Race(given.output, given.rounds)
    arguments = race.inputs.arguments

    def net(module: Any) -> Call:
        return lambda: module(**arguments, return_dict=False)[0]

    peers: list[SGLang] = []

    def sglang() -> Call:
        peers.append(SGLang(race.transformer))
        race.result["stand_ins"] = peers[0].stand_ins
        return partial(peers[0].call, arguments)

    def compiled(by_blocks: bool, mode: str | None = None) -> Call:
        network = peers[0].network
        for part in network.blocks if by_blocks else [network]:
            part.compile(fullgraph=False, dynamic=None, mode=mode)
        return partial(peers[0].call, arguments)

    systems: dict[str, Callable[[], Call]] = {
        "diffusers": lambda: net(race.transformer),
        "vitascope exact": lambda: net(ours(race.transformer, "exact")),
        "SGLang": sglang,
        "SGLang, its blocks compiled": lambda: compiled(by_blocks=True),
        "SGLang, compiled": lambda: compiled(by_blocks=False),
        "SGLang, compiled with max-autotune": lambda: compiled(False, "max-autotune-no-cudagraphs"),
    }
    for name, build in systems.items():
        if not given.only or name in given.only:
            for other in [other for other in race.ready if name.startswith("SGLang,") and "SGLang" in other]:
                race.ready.pop(other)  # it is the same network
            race.add(name, build)
            if given.profile:
                race.profile()
    os._exit(0)


if __name__ == "__main__":
    main()
