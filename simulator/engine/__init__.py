"""Discrete-event engine: arrivals, routers, vLLM replicas and metered APIs on one SimPy clock.

Reading guide: `simulation` builds a run; `ledger` has its requests and what becomes of them, of a long run a stretch
at a time; `cluster` and `metered_api` are the two backends, as SimPy processes. What a cluster does is compiled
(`compiled` says how): `fleet` is its face, `dispatch` gives requests to replicas, `replica` keeps the time of one vLLM
engine, `scheduler` decides what each of its steps computes (`competition` when requests fight over blocks),
`kv_cache` counts blocks, and `state` holds the records they all work on. `stepwise` is the slow reference. Nothing
here knows money, calendars or files.
"""
