"""Which CUDA graphs vLLM captures."""

from __future__ import annotations


def capture_sizes(max_num_seqs: int, max_num_batched_tokens: int) -> list[int]:
    """Token counts for which vLLM 0.33 captures CUDA graphs; smaller batches are padded to the next.

    1, 2, 4, then multiples of 8 below 256 and of 16 above, up to min(2 max_num_seqs, 512, max_num_batched_tokens),
    and `max_num_seqs` itself (`config/vllm.py`, `_set_cudagraph_sizes`).
    """
    largest = min(2 * max_num_seqs, 512, max_num_batched_tokens)
    sizes = {1, 2, 4, *range(8, 256, 8), *range(256, 513, 16), max_num_seqs}
    return sorted(size for size in sizes if size <= largest)
