"""StoreExampleGen: rows of a document store, a time-series database or a source of one's own."""

from components.sql_example_gen.component import SqlExampleGen


class StoreExampleGen(SqlExampleGen):
    """Reads a source of rows; takes and gives what SqlExampleGen does.

    ``source`` is any ``RowSource`` as JSON, ``watermark`` its fingerprint. A class of its own, so
    that metadata and reports say which kind of source a run has read.
    """
