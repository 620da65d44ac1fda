"""PURE decisions: who gets what, and when. No asyncio, sockets, files, threads, clock, randomness or logging.

``now`` is an argument everywhere (monotonic seconds), ``next_timer()`` tells when to call
``handle_timer(now)``, and what was decided is returned as small frozen events. The room knows nothing of the
wire.

=============== ======================================================================
``services``    everything below as the one machine that a hub drives
``barrier``     count barriers
``semaphore``   counting semaphores
``membership``  which hosts there are, and whether they live
``waits``       what is the same for every service: retries, deadlines, deaths, confirmation, bounds
``results``     ended arrivals, kept for retries
``timers``      deadlines by key
``outcomes``    the events
``party``       clients, causes of absence, rules for names
=============== ======================================================================
"""
