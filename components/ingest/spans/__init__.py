"""Reading by day: what was read of a day is kept, and read again only where it may have changed."""
