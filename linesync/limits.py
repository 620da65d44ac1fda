"""Every constant of the protocol, with its unit and the section of docs/protocol.md that fixes it.

Times are seconds, sizes are bytes unless a name says otherwise.
"""

from __future__ import annotations

__all__: list[str] = []  # the names below are read as limits.NAME, never starred

VERSION = 1  # the protocol version this code speaks best (section 4.1, Hello)
OLDEST_VERSION = 1  # the oldest it still speaks

# -- frames (section 2) ----------------------------------------------------------------------------------------------
BASIC_FRAME = 127  # longest frame, start and newline included, before anything longer is agreed
CONTROL_FRAME = 127  # longest frame that may stand inside another one
LONGEST_FRAME = (1 << 20) - 1  # what four length digits can say; a receiver announces far less
SERIAL_FRAME = 2048  # the longest frame a serial receiver here announces
PIPE_FRAME = 1 << 18  # the same on sockets and pipes
BULK_TIME = 0.55  # seconds of line time that a frame may take at most: a lost one is known and repeated soon
CHECK_SIZE = 6  # base64url digits of the 32-bit check
NONCE_SIZE = 8  # base64url digits: 48 random bits

# -- foreign text (section 3) ----------------------------------------------------------------------------------------
FOREIGN_IN_FRAME = 1024  # foreign text inside one frame that is still spliced out
FOREIGN_TRIES = 1000  # checks made at most for two foreign texts in one frame
FOREIGN_LINES = 6  # foreign line ends inside one frame that are still tried
FRAME_PATIENCE = 0.3  # a frame that gets no byte for this long is given up as damaged
PIPE_PATIENCE = 5.0  # the same on sockets and pipes, which lose nothing, but may stand still for a while
HELD_COUNT = 16  # damaged pieces that wait for their good copy
HELD_BYTES = 16384  # and all of them together
HELD_TIME = 2.0  # and how long

# -- calling and keeping alive (section 4) ---------------------------------------------------------------------------
CALL_FAST = 0.2  # between hellos at first and after a loss
CALL_AGAIN = 0.1  # the same, on a line on which a session was lost that still stands
CALL_FAST_COUNT = 25  # how many of those
CALL_SLOW = 1.0  # between hellos after that
SILENCE = 3.0  # on a shared line a listener says nothing this long after the last valid frame
KEEPALIVE_CALLER = 2.8  # below SILENCE, so that a listener may always answer
KEEPALIVE_LISTENER = 7.0  # with the caller's, an idle session costs 5 bytes a second
KEEPALIVE_PIPE = 8.0  # either end of a line that nobody else is on
POLL_IDLE = 7.5  # a caller that heard nothing for this long asks
QUIET_AFTER = 1.0  # an unanswered poll for this long: the line is quiet
QUIET_AFTER_PIPE = 5.0  # the same on sockets and pipes, where a busy peer is likelier than a lost line
QUIET_LISTENER = 8.0  # nothing valid for this long: the line is quiet, for a listener

# -- sequence, acknowledgement, recovery (section 5) -----------------------------------------------------------------
SEQ_BITS = 12
SEQ_MOD: int = 1 << SEQ_BITS
WINDOW_FRAMES = 1024  # frames in flight in one lane; below half of SEQ_MOD
ACK_RANGES = 8  # ranges past the cumulative acknowledgement in one ack frame
ACK_DELAY = 0.04  # how long an acknowledgement may wait for a frame to ride on
ACK_DELAY_MAX = 0.2  # the same for bulk, where frames are long
MEASURE = 0.1  # a full acknowledgement at least so often while acknowledgements ride on data ...
MEASURE_COST = 27.0  # ... but no oftener than so many control frames' time, which is 0.6 % of the line
MEASURE_MOST = 0.3  # ... unless that is longer than this ...
MEASURE_COST_MOST = 10.0  # ... and than so many control frames' time, which is 2 %
ACK_EVERY = 1 << 18  # bytes received that force an acknowledgement
FIRST_RTT = 0.5  # assumed until measured
PROBE_FLOOR = 0.02  # least probe timeout
POLL_MAX = 1.0  # most between two polls of an unanswering peer
WINDOW_BYTES = 4 << 20  # bytes in flight, all lanes, on lines without a rate

# -- pacing (section 5.6) --------------------------------------------------------------------------------------------
AHEAD = 0.008  # how far ahead of a serial line its sender may be
AHEAD_SLACK = 0.005  # a lag of the line behind our reckoning that is worth correcting

# -- channels (section 6) --------------------------------------------------------------------------------------------
CREDIT_SERIAL = 1 << 16  # credit of a new channel, each direction
CREDIT_LEAST = 64  # a hello that gives less is malformed: no record would ever fit
CREDIT_PIPE = 1_000_000
CHANNELS = 4096  # open at once in a session
MESSAGE_MAX = 1 << 20  # one message, reassembled
PIECES_MAX = 8 << 20  # half-received messages and openings of a session, all together
OPEN_MAX = 1 << 18  # the words that open a channel (a command's argv and environment)

# -- compression (section 6.5) ---------------------------------------------------------------------------------------
DATA_WINDOW = 15  # bits: the window of a channel's data, 32 KiB
TEXT_WINDOW = 12  # bits: the window of a lane's texts, 4 KiB
ZSTD_WINDOW = 18  # bits of a data stream's window in Zstandard
ZIPPED_LEAST = 128  # bytes that wait on a channel when its data is first compressed
ZIPPED_PIECE = 1 << 14  # bytes of data that are compressed at once
ZIPPED_WORTH = 0.97  # data that does not get smaller than this share of itself goes as it is
UNTRIED_LEAST = 1 << 16  # bytes of it until the next try; twice as many each further time ...
UNTRIED_MOST = 1 << 20  # ... up to this
SHAPE_MAX = 128  # longest text that is remembered
SHAPE_NUMBERS = 12  # most numbers in it

# -- probing for longer frames (section 7) ---------------------------------------------------------------------------
PROBE_SIZES: tuple[int, ...] = (256, 512, 1024, 2048)
PROBE_TRIES = 3

# -- faster rates (section 7.2) --------------------------------------------------------------------------------------
CLIMB_RATES = (115200, 230400, 460800, 921600, 1500000, 3000000, 4000000)  # bits a second, tried in this order
CLIMB_START = 0.1  # before the first question, and after the line came back
CLIMB_ANSWER = 0.25  # for the answer, with a round trip and the frame that is half sent
CLIMB_ASKS = 3  # unanswered ones
CLIMB_MEET = 0.3  # at a new rate, for a first sign of the peer
CLIMB_HERE = 0.04  # between two signs
CLIMB_TESTS = 12  # test frames in each direction
CLIMB_LOST = 3  # so many of them may be lost
CLIMB_TESTS_LATE = 0.1  # beyond their time on the line
CLIMB_VERDICT = 0.3  # from the last test to the verdict
CLIMB_KEEP = 0.2  # for the answer to a keep
CLIMB_PROVE = 0.5  # for an ordinary frame, once a rate was kept
CLIMB_AGAIN = 2.0  # before a rate that failed is tried again, ten times as long after each further failure ...
CLIMB_AGAIN_MOST = 3600.0  # ... up to this
CLIMB_BLAME = 2.0  # a peer heard again so soon after a failure: the rate was to blame, and no cut
CLIMB_STEADY = 60.0  # a rate that stood for so long begins anew
RATE_MARGIN = 0.01  # beyond the reckoning, before a port is set: what is in its FIFO leaves
RATE_SETTLE = 0.02  # after a port was set, for the other end to do the same
RATE_STRANGE = 16  # bytes that are no text, without a frame: the two ends may have different rates
RATE_DOUBT_ASK = 0.2  # then a poll
RATE_DOUBT = 0.6  # then back to the first rate

# -- requests (section 8) --------------------------------------------------------------------------------------------
LEASE = 20.0  # without a valid frame, after which a host is lost, unless the hub says otherwise
