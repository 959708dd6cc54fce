"""What breaks, restarts and scales, and when replicas are up."""
