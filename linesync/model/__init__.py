"""The decisions, as pure state machines: who gets what, and when.

The model has no asyncio, sockets, files, threads, clock, randomness or logging, and it does not know the wire. ``now``
(monotonic seconds) is an argument of each call, ``next_timer()`` says when to call ``handle_timer(now)``, and each decision
is returned as a small frozen event.

====================== ====================================================================================
``decisions``          the events
``participants``       clients, causes of an absence, rules for names
``timers``             deadlines by key
``state``              the state of each named thing as a small typed record
``journal``            what an input changed, as rows for a store
``kept``               what is stored of each thing, as a small typed record
``hosts``              the hosts and whether they are alive; their members and published groups
``sync.services``      all services together, as one machine that a hub drives
``sync.waits``         the common part of all services: retries, deadlines, deaths, confirmations, limits
``sync.place``         what a service answers about one named thing at which arrivals wait
``sync.kept_results``  ended arrivals, kept for retries
``sync.barrier``       arrivals that wait for each other, by count or by members
``sync.semaphore``     units that clients give, take and hold
``sync.lock``          one owner at a time, with a fencing token
``sync.event``         flags that stay set until they are cleared
``sync.mailbox``       topics, which keep messages for all readers
``sync.exchange``      each member gives data and gets the data of all
``sync.deadlock``      clients that wait for each other in a cycle
====================== ====================================================================================
"""
