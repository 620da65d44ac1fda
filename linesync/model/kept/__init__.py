"""The stored form of each object of the model: one small typed record, which becomes one row of a store.

=============== ==================================================================
``values``      clients, outcomes and errors, which are parts of other records
``waits``       arrivals and results
``objects``     hosts, namespaces, and the named objects of the services
``groups``      groups, their members and their logs
``testbus``     the objects of the test bus
``rows``        all kinds of rows, and the reader of the rows
=============== ==================================================================

The services make these records (:mod:`linesync.model.journal`) and are restored from them. All times are monotonic seconds
of the hub that stored them. A later version may add a field. The new field needs a default, because older rows do not have
it. A later version must not change the meaning of a field.
The JSON of a record may contain lone surrogates as escapes, so it is written with ``ensure_ascii``.
"""
