"""What changed between two results, why, and whether a policy lets it pass."""
