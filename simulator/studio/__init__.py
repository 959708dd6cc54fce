"""The studio: a scenario as controls on a page of this machine, and its answer as they move."""
