"""From bills and percentiles to a verdict."""
