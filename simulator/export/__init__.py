"""A kept run in the formats of other tools: OpenMetrics, CSV, Parquet, a Grafana dashboard."""
