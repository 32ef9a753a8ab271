"""Points of an InfluxDB measurement: a source of rows."""
