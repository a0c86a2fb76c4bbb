"""One of several processes that share a denoiser's tokens; the first says how far they are from one process."""

import sys

import torch
import torch.distributed as dist
from diffusers.models._modeling_parallel import ContextParallelConfig

from tests.models.opensora_plan.tiny_opensora_plan import tiny_transformer
from vitascope.errors import UnsupportedTask


@torch.no_grad()
def main(release: str) -> None:
    torch.set_num_threads(1)
    torch.accelerator.device_count = lambda: 1  # diffusers counts accelerators; a CPU has none
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = tiny_transformer(release, num_attention_heads=4, attention_head_dim=12)
    inputs = {
        "hidden_states": torch.randn(2, 4, 2, 8, 16),  # 64 tokens
        "timestep": torch.tensor([900.0, 20.0]),
        "encoder_hidden_states": torch.randn(2, 6, 32),
        "encoder_attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
    }
    whole = model(**inputs).sample
    model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=dist.get_world_size()))
    error = (model(**inputs).sample - whole).abs().max()
    dist.all_reduce(error, dist.ReduceOp.MAX)
    assert whole.abs().max() > 0.1
    refused = False
    try:
        model(**{**inputs, "hidden_states": torch.randn(2, 4, 2, 8, 8)})  # 32 tokens: 16 or 8 a process
    except UnsupportedTask:
        refused = True
    if dist.get_rank() == 0:
        print(f"{dist.get_world_size()} processes: max error {error.item()}, refused {refused}")  # noqa: T201
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
