"""The decisions of a hub, as pure state machines.

The model has no asyncio, sockets, files, threads, clock, randomness or logging, and it does not know the wire. ``now``
(monotonic seconds) is an argument of each call. ``next_timer()`` returns the time of the next ``handle_timer(now)``. Each
decision is returned as a small frozen record. The *services* of the model are the classes that decide one kind of
operation each, such as barriers or locks.

====================== ====================================================================================
``decisions``          the records of the decisions
``participants``       clients, and the causes of an absence
``names``              the rules for names, members and times
``timers``             deadlines by key
``state``              the state of each named object as a small typed record, for display
``journal``            the changed objects, as rows for a store
``kept``               the stored form of each object, as a small typed record
``hosts``              the hosts and whether they are alive; their members and published groups
``sync.services``      all services together, as one state machine for the hub
``sync.waits``         the common part of all services: retries, deadlines, deaths, confirmations, limits
``sync.place``         the interface of one named object at which arrivals wait
``sync.kept_results``  ended arrivals, kept for retries
``sync.barriers``      arrivals that wait for each other, by count or by members
``sync.semaphore``     units that clients give, take and hold
``sync.lock``          one owner at a time, with a fencing token
``sync.event``         flags that stay set until a client clears them
``sync.mailbox``       topics with messages, which stay for all readers
``sync.exchange``      each member gives data and gets the data of all
``sync.deadlock``      clients that wait for each other in a cycle
====================== ====================================================================================
"""
