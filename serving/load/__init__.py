"""Load on a server: requests at a rate or over connections, and what came of them."""
