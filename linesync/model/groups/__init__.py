"""Groups of hosts: views, ordered messages, and rounds of services that all members run together.

===================== ================================================================
``log``               the one ordered log of a group, from which each member reads
``member``            one member: what it has received, and what it has not reported
``transitions``       the state tables of rounds and members
``round``             the round of services that runs in the current view
``messages``          the messages of one group, and their flow control
``group``             one group: its members, views and quorum
``members_wait``      waits until a group has enough members
``groups``            all groups of a hub
``members``           the members of all groups
``storing``           the stored rows of all groups
``checks``            checks of terms and services
``group_limits``      the limits of groups and services
``declarations``      declarations of services
``declarations_file`` the file that declares services
``order``             the order of the services
===================== ================================================================
"""
