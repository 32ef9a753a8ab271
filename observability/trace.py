"""Trace ids, as the W3C's Trace Context has them."""

import functools
import hashlib
import re

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00; later ones may hold more.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


@functools.lru_cache(maxsize=8)
def trace_of_run(run_id: str) -> str:
    """The trace id of a run, 32 hex digits: every process of the run knows it without being told.

    Args:
      run_id: the pipeline run; "" has no trace.
    """
    return hashlib.sha256(run_id.encode()).hexdigest()[:32] if run_id else ""


def trace_of_header(traceparent: str) -> str:
    """The trace id in a ``traceparent`` header; "" where there is none, or no right one."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return ""
    return match[1]
