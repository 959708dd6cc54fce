"""A metered API: rate limits, latency, failures, retries, prompt cache, batches."""
