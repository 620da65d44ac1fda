"""The test bus: tests that use hosts, with variables, files and commands at every level.

================= ==================================================================
``bus``           all requests, and the end of hosts and owners
``objects``       hosts, tests, claims, files and commands
``tree``          the trees of these objects: handles, names, limits, rows
``scope``         the variables and files that an object sees
``substitution``  variables and files in the arguments of a command
``claims``        requests for hosts: their order, their errors, deadlocks
``request``       one request for hosts
``candidates``    the hosts that a request may get, and reserved hosts
``matching``      distinct hosts for several wants
``processes``     processes: their states, and the queues of the hosts
``process_waits`` waits for processes and for deletions
``placement``     the files that hosts have
``owners``        the owners of tests
``actions``       what the hub does at a host after a change
``show``          the objects as records for display
``checks``        limits, and rules for names and values
================= ==================================================================
"""
