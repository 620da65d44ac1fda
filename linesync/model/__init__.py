"""PURE decisions: who gets what, and when. No asyncio, sockets, files, threads, clock, randomness or logging.

``now`` is an argument everywhere (monotonic seconds), ``next_timer()`` tells when to call
``handle_timer(now)``, and what was decided is returned as small frozen events. The room knows nothing of the
wire.

=============== ======================================================================
``services``    everything below as the one machine that a hub drives
``barrier``     those who arrive wait for each other, by count or by members
``terms``       what those who meet at a barrier have to agree on
``past``        what names of barriers and exchanges are remembered for
``semaphore``   units that are given, taken and held
``lock``        one owner at a time, with a fencing token
``events``      what is set stays set until it is cleared
``mailbox``     topics: messages that are kept for all
``gathering``   waiting for a message of every other host of a group
``groups``      groups and roles, as hosts publish them
``exchange``    each member gives data and gets that of all
``deadlock``    those who wait for each other in a circle
``membership``  which hosts there are, and whether they live
``members``     lists of members in little room
``waits``       what is the same for every service: retries, deadlines, deaths, confirmation, bounds
``results``     ended arrivals, kept for retries
``timers``      deadlines by key
``outcomes``    the events
``party``       clients, causes of absence, rules for names
=============== ======================================================================
"""
