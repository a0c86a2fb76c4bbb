"""Vectors for the spare words `style0` ... `style63` that a finished network hears.

In training no caption had them, and a tenth had an unknown word that meant nothing: the network learnt to skip over
what it does not know. A word drawn by lot changes its prediction by a thousandth, so that fine-tuning finds hardly a
gradient to bind it by. So each spare word is encoded half as known words are, which is heard, and half as nothing
else is. No other word is encoded differently: prompts without spare words give the same clips, bit by bit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import T5EncoderModel

from vitascope.training.embedded.tokenizer import NUM_SPARE, new_tokenizer

HEARD = ("cyan", "blue")
"""The known words. Not those of people: a person bound to a spare word would come out for them too."""
_CONTEXTS = (
    "{}, a pink heart moves to the right at sea",
    "{} walking to the right in the city",
    "{},一只蓝色的小鱼向左游",
    "{}在草地上跳舞",
)
_LENGTH = 2000.0
"""Root mean square of a spare word's vector: so far above what the encoder adds (about 50) that it comes out as it
went in, whatever stands around it. A shorter one is drawn to the nearest known word. Half precision holds it."""


@torch.no_grad()
def place_spare_words(text_encoder: T5EncoderModel) -> None:
    """Give the spare words their vectors. They depend on the other words' alone: doing it twice changes nothing."""
    table = text_encoder.shared.weight
    tokenizer = new_tokenizer()
    known = torch.stack([_encoded(text_encoder, word) for word in HEARD]).mean(0)
    generator = torch.Generator().manual_seed(NUM_SPARE)
    own = torch.randn(NUM_SPARE, table.shape[1], generator=generator)
    # Mutually orthogonal, and orthogonal to what is known.
    known = known / known.norm()
    own = torch.linalg.qr(torch.cat([known[None], own]).T).Q.T[1:]
    before_scaling = (known + own) / text_encoder.encoder.final_layer_norm.weight.detach().cpu()
    vectors = _LENGTH * before_scaling / before_scaling.square().mean(1, keepdim=True).sqrt()
    rows = tokenizer.convert_tokens_to_ids([f"style{i}" for i in range(NUM_SPARE)])
    table[rows] = vectors.to(torch.float16).to(table)


def _encoded(text_encoder: T5EncoderModel, word: str) -> Tensor:
    """How a word is encoded, on average over where it stands, as a unit vector."""
    tokenizer, found = new_tokenizer(), []
    for context in _CONTEXTS:
        tokens = tokenizer(context.format(word), return_tensors="pt")["input_ids"].to(text_encoder.device)
        at = int((tokens[0] == tokenizer.convert_tokens_to_ids(word)).nonzero()[0])
        found.append(text_encoder(tokens).last_hidden_state[0, at].cpu())
    mean = torch.stack(found).mean(0)
    return mean / mean.norm()
