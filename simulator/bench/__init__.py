"""Our engine beside the real one: recorded schedules, and whether we agree with them."""
