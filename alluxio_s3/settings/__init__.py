"""alluxio-site.properties: every property, once."""
