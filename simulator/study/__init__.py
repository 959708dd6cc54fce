"""Many scenarios at once: sweeps over their settings, and the search for the cheapest that will do."""
