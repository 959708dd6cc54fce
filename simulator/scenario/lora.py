"""LoRA adapters: what a server makes room for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.base import Config, Faults, FieldError, Name, PositiveInt, check

#: Ranks that vLLM 0.33 has kernels for (`config/lora.py`, `MaxLoRARanks`).
Rank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]


class LoraSettings(Config):
    """LoRA adapters that a server takes (`--enable-lora`), under vLLM's names and with its defaults."""

    max_loras: Annotated[int, Field(gt=0, le=256)] = 1
    """Most adapters whose requests run at once; each has a slot on every GPU, which takes memory from KV blocks."""
    max_lora_rank: Rank = 16
    """Highest rank of an adapter. Memory and step time are those of this rank, whatever an adapter's own."""
    max_cpu_loras: PositiveInt | None = None
    """Adapters kept in host memory, from which they are copied into a slot; as many as `max_loras` when absent. One
    that is in neither is read from disk when a request of it starts."""
    adapters: Annotated[dict[Name, Annotated[int, Field(gt=0, le=512)]], Field(min_length=1)] | None = None
    """The adapters it has, with their ranks; any that a workload names when absent."""

    @property
    def host_loras(self) -> int:
        """Adapters kept in host memory."""
        return self.max_loras if self.max_cpu_loras is None else self.max_cpu_loras

    @check
    def _fits_what_there_is_room_for(self) -> Faults:
        if self.host_loras < self.max_loras:
            yield FieldError(("max_cpu_loras",), f"{self.max_cpu_loras} is less than max_loras {self.max_loras}")
        for name, rank in (self.adapters or {}).items():
            if rank > self.max_lora_rank:
                yield FieldError(("adapters", name), f"rank {rank} is above max_lora_rank {self.max_lora_rank}")
