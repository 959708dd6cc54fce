"""Discrete-event engine: arrivals, routers, vLLM replicas and metered APIs on one SimPy clock.

Reading guide: `simulation` builds a run; `ledger` has its requests and what becomes of them, of a long run a stretch
at a time, in the words of `record`; `site` has what a hosting pattern is made of; `cluster` is its face towards SimPy.
Four wings: `vllm` is what a replica does, `api` what a metered API does, `routing` who serves a request, `operations`
what breaks, restarts and scales. Nothing here knows money, calendars or files.
"""
