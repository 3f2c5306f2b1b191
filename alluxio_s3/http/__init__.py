"""The way of the bytes in and out: channel, routes, pipeline, bodies."""
