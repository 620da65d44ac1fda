"""The state of each named object as one small typed record. Commands show it, and ``--json`` prints it field by field.

======================= ==================================================================
``record``              the base of all records, and their JSON form
``status``              the complete state of a hub, with the clients
``hosts``               a host
``sync.barrier``        an open generation of a barrier
``sync.semaphore``      a semaphore
``sync.lock``           a lock
``sync.exchange``       an open generation of an exchange
``sync.event``          an event that is set or waited for
``sync.topic``          an ID of messages
``group``               a group, its views and its rounds
``process``             a detached process
``testbus``             the objects of the test bus
``namespace``           a namespace that has an owner or is in use
``change``              a change of the state
``principal``           the sender of a request
======================= ==================================================================

The services of ``linesync.model`` make these records, and clients read them from JSON. This package does not import
``dataclasses``, because that would take longer than a small command.
"""
