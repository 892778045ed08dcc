"""What the package costs and how fast it is, beside its peers; every number in docs/performance.md comes from here."""
