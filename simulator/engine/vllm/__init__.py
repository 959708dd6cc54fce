"""One vLLM replica and a fleet of them, compiled.

`fleet` is the face of it, `dispatch` gives requests to replicas, `replica` keeps the time of one engine, `scheduler`
decides what each of its steps computes (`preemption` when requests fight over blocks), `kv_cache` counts blocks,
`step` says how long a step lasts, and `state` holds the records they all work on. `compiled` says how it is compiled,
`stepwise` is the slow reference.
"""
