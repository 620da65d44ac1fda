"""Groups of hosts: views, ordered messages, and rounds of services that all members run together.

================= ==================================================================
``log``           the one ordered log of a group, from which each member reads
``member``        one member: what it has received, and what it has not reported
``round``         the round of services that runs in the present view
``group``         one group: views, quorum, messages
``members_wait``  waits until a group has enough members
``groups``        all groups of a hub
``members``       the members of all groups
``checks``        checks of terms and services
``services``      declarations of services
``services_file`` the file that declares services
``order``         the order of the services
================= ==================================================================
"""
