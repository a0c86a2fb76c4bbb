"""One of several processes that share a denoiser's sites; the first says how far the split result is from the whole."""

import torch
import torch.distributed as dist
from diffusers.models._modeling_parallel import ContextParallelConfig

from tests.models.opensora.tiny_opensora import tiny_stdit3


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    torch.accelerator.device_count = lambda: 1  # diffusers counts accelerators; a CPU has none
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = tiny_stdit3(num_attention_heads=4)
    inputs = {
        "hidden_states": torch.randn(2, 4, 5, 6, 8),
        "timestep": torch.tensor([900.0, 20.0]),
        "encoder_hidden_states": torch.randn(2, 6, 32),
        "encoder_attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
        "fps": torch.full((2,), 24.0),
        "height": 48,
        "width": 64,
        "frame_mask": torch.tensor([[False, True, True, True, True]] * 2),
    }
    whole = model(**inputs).sample
    model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=dist.get_world_size()))
    error = (model(**inputs).sample - whole).abs().max()
    dist.all_reduce(error, dist.ReduceOp.MAX)
    assert whole.abs().max() > 0.1
    if dist.get_rank() == 0:
        print(f"{dist.get_world_size()} processes: max error {error.item()}")  # noqa: T201
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
