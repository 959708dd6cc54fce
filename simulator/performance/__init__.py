"""How long an engine step takes and how much memory a model leaves, from measured profiles."""
