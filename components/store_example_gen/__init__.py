"""Sources of rows other than SQL queries."""
