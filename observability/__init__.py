"""How pipeline, workers and server tell what they do: log records and traces, alike in all of them.

Imports nothing of ours and no heavy library, so that any process can use it from its first line on.
"""
