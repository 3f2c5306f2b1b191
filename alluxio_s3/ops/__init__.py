"""What operators see: access log, metrics, health."""
