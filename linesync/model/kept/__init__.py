"""What is stored of each thing of the model, as one small typed record: a row of a store.

=============== ==================================================================
``values``      clients, outcomes and errors, which are parts of other records
``waits``       arrivals and results
``things``      hosts, namespaces, and the named things of the services
``rows``        all kinds of rows, and their reading
=============== ==================================================================

The services make these records (:mod:`linesync.model.journal`) and are restored from them. All times are monotonic seconds of
the hub that stored them. A later version may add a field, which then needs a default; it must not change what a field means.
The JSON of a record may contain lone surrogates as escapes, so it is written with ``ensure_ascii``.
"""
