"""What waits for a job queued elsewhere."""
