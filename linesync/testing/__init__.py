"""The public test kit: lines with faults, on virtual time and on real ptys, and a conformance check for transports.

``faults`` and ``cable`` are the model of a faulty serial line; ``cable_rates`` adds ports with different rates.
``virtual_line`` runs two links on such a line on virtual time. ``virtual_loop`` and ``memory_lines`` run complete hubs and
agents on virtual time. ``pty_cable`` and ``nullmodem`` put the line between real ptys. ``conformance`` checks a transport,
and ``recorder`` records the calls of the transport for this check. ``conform`` checks an endpoint against docs/protocol.md.
"""
