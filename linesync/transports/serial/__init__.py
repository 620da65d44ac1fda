"""Lines over serial devices and pyserial's URLs.

``connect`` opens an endpoint. A device is opened as a port (``device``) with a line on top of it (``device_line``). A URL is
opened as a ``thread_line``. ``rates`` sets the rate of both, and ``open_errors`` makes the errors for a port that cannot be
opened.
"""
