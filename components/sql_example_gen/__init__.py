"""Rows of a SQL query to Examples."""
