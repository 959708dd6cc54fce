"""Discrete-event engine: arrivals, routers, vLLM replicas and metered APIs on one SimPy clock.

Reading guide: `simulation` builds a run, `cluster` and `metered_api` are the two backends, `replica` keeps the time
of one vLLM engine, `scheduler` decides what each of its steps computes, `kv_cache` counts blocks. `stepwise` is the
slow reference. Nothing here knows money, calendars or files.
"""
