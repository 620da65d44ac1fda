"""Groups of hosts: views, ordered messages, and rounds of services that all members run together.

=============== ==================================================================
``log``         the one ordered log of a group, from which each member reads
``member``      one member: what it has received, and what it has not reported
``round``       the round of services that runs in the present view
``group``       one group: views, quorum, messages
``service``     all groups of a hub
=============== ==================================================================
"""
