"""Is a routing decision right? Metrics, baselines, benchmark files, tables and pictures."""
