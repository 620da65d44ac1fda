"""The operations of clients on hosts: commands, detached processes, files and sockets."""
