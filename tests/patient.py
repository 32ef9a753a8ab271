"""httpx's functions for a machine that stalls: a minute for an answer instead of five seconds."""

import functools

import httpx

get = functools.partial(httpx.get, timeout=60)
post = functools.partial(httpx.post, timeout=60)
request = functools.partial(httpx.request, timeout=60)
