"""Lines over serial devices and pyserial's URLs.

``connect`` opens an endpoint. A device becomes a ``device`` (the port) with a ``device_line`` on top of it; a URL
becomes a ``thread_line``. ``rates`` sets the rate of either, and ``open_errors`` words what can go wrong.
"""
