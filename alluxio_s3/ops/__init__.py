"""What operators see: access log, health."""
