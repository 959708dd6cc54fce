"""Which CUDA graphs vLLM captures."""

from __future__ import annotations


def capture_sizes(max_num_seqs: int, max_num_batched_tokens: int, query_len: int = 1) -> list[int]:
    """Token counts for which vLLM 0.33 captures CUDA graphs; smaller batches are padded to the next.

    1, 2, 4, then multiples of 8 below 256 and of 16 above, up to min(2 max_num_seqs, 512, max_num_batched_tokens),
    and `max_num_seqs` itself (`config/vllm.py`, `_set_cudagraph_sizes`). Where every sequence computes
    `query_len` tokens, drafts among them, as many times 1, 2, 4, 8 and so on as well, and as much further.
    """
    largest = min(2 * max_num_seqs * query_len, 512, max_num_batched_tokens)
    sizes = {1, 2, 4, *range(8, 256, 8), *range(256, 513, 16), max_num_seqs}
    if query_len > 1:
        sizes |= {query_len * size for size in (*sizes, max_num_seqs)}
    return sorted(size for size in sizes if size <= largest)
