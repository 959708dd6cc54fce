"""Which backends a workload may use at all."""
