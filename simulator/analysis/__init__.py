"""From stamps to percentiles, utilisation and intervals."""
