"""Lines over serial devices and pyserial's URLs.

``connect`` opens an endpoint. A device is opened as a port (``device``), and a ``device_line`` uses the port. A URL is opened
as a ``thread_line``. ``rates`` sets the rate of both. ``open_errors`` makes the errors for a port that cannot be opened.
"""
