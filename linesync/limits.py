"""Every constant of the protocol, with its unit and the section of docs/protocol.md that defines it.

Times are in seconds and sizes in bytes unless a comment says otherwise. *Serial* constants are for serial lines, *pipe*
constants for sockets and pipes.
"""

from __future__ import annotations

__all__: list[str] = []  # use these names as limits.NAME; do not import them with a star

VERSION = 1  # the newest protocol version that this code knows (section 4.1)
OLDEST_VERSION = 1  # the oldest protocol version that this code knows

# -- frames (section 2) ----------------------------------------------------------------------------------------------
BASIC_FRAME = 127  # the longest frame, with its start and its newline, until both ends agree on longer frames
CONTROL_FRAME = 127  # the longest frame that may be sent inside another frame
LONGEST_FRAME = (1 << 20) - 1  # the largest length that four length digits can express; receivers announce far less
SERIAL_FRAME = 2048  # the longest frame that this implementation announces on serial lines
PIPE_FRAME = 1 << 18  # the same on sockets and pipes
BULK_TIME = 0.55  # the longest duration of a frame on the line, so that a lost frame is soon repeated
CHECK_SIZE = 6  # base64url digits of the 32-bit check
NONCE_SIZE = 8  # base64url digits: 48 random bits

# -- foreign text (section 3) ----------------------------------------------------------------------------------------
FOREIGN_IN_FRAME = 2048  # the maximum size of foreign text that is removed from the inside of one frame
FOREIGN_TRIES = 1000  # the maximum number of checks that are computed to find two foreign texts in one frame
FOREIGN_LINES = 16  # the maximum number of foreign line ends inside one frame that are tried
REPAIR_SHARE = 100  # the number of bytes of damaged frames that may be checked for each received byte
REPAIR_MOST = 3 << 20  # the maximum number of bytes of damaged frames that may be checked without a pause
FRAME_PATIENCE = 0.3  # an incomplete frame is discarded if no byte of it arrives for this time
LINE_PATIENCE = 1.0  # the same after a line end, because a printed line may have interrupted the frame
PIPE_PATIENCE = 5.0  # the same on sockets and pipes, which lose no bytes but may pause
HELD_COUNT = 16  # the maximum number of damaged pieces that are held until an undamaged copy arrives
HELD_BYTES = 16384  # the maximum size of all held pieces together
HELD_TIME = 2.0  # the longest time that a piece is held

# -- calling and keeping alive (section 4) ---------------------------------------------------------------------------
CALL_FAST = 0.2  # the interval of the first hellos, and of the first hellos after the loss of a session
CALL_AGAIN = 0.1  # the same interval while there is a session that lost its line
CALL_FAST_COUNT = 25  # the number of hellos with the short interval
CALL_SLOW = 1.0  # the interval of later hellos
SILENCE = 3.0  # a listener on a shared line sends nothing when it has received no valid frame for this time
KEEPALIVE_CALLER = (
    2.8  # the interval of a caller's keepalives; shorter than SILENCE, so that a listener can always answer
)
KEEPALIVE_LISTENER = (
    7.0  # the interval of a listener's keepalives; both together are 5 bytes a second in an idle session
)
KEEPALIVE_PIPE = 8.0  # the interval of keepalives at both ends of a line that is not shared
POLL_IDLE = 7.5  # a caller polls after this time without a valid frame
QUIET_AFTER = 1.0  # a line is quiet this time after an unanswered poll
QUIET_AFTER_PIPE = 5.0  # the same on sockets and pipes, where a busy peer is more likely than a lost line
QUIET_LISTENER = 8.0  # for a listener, a line is quiet after this time without a valid frame

# -- bounds of a hub or an agent (section 4.10) ----------------------------------------------------------------------
SESSIONS = 16384  # the maximum number of accepted lines; smaller if the process may open fewer files
AGENTS_ONLY = 0.125  # the share of SESSIONS that is reserved for agents
HANDSHAKE = 10.0  # the time within which a session must begin on an accepted line
SCRIPT_SILENCE = 600.0  # a silent script without waits and holds is disconnected after this time
SCRIPT_RECLAIM = 30.0  # the same while a new connection needs its place
PROCESS_SHARE = 0.5  # the share of the places not reserved for agents that one process may use
SENDER_SHARE = 0.75  # the same for one user, or for one address
LOG_BURST = 5  # the number of similar log lines about one peer that are written within LOG_PERIOD; others are counted
LOG_PERIOD = 60.0  # the period of LOG_BURST
LOG_KINDS = 1000  # the maximum number of kinds of log lines that are counted at the same time

# -- sequence, acknowledgement, recovery (section 5) -----------------------------------------------------------------
SEQ_BITS = 12
SEQ_MOD: int = 1 << SEQ_BITS
WINDOW_FRAMES = 1024  # the maximum number of frames in flight in one lane; less than half of SEQ_MOD
ACK_RANGES = 8  # the maximum number of ranges beyond the cumulative acknowledgement in one ack frame
ACK_DELAY = 0.04  # the longest time that an acknowledgement waits for a data frame that can carry it
ACK_DELAY_MAX = 0.2  # the same for the bulk lane, where frames are long
MEASURE = 0.1  # the shortest interval of full acknowledgements while data frames carry acknowledgements
MEASURE_COST = 27.0  # on slow lines, the interval is this number of control frames long, which uses 0.6 % of the line
MEASURE_MOST = 0.3  # the interval is not extended beyond the longer of this time ...
MEASURE_COST_MOST = 10.0  # ... and the duration of this number of control frames, which uses 2 % of the line
ACK_EVERY = 1 << 18  # the number of received bytes that forces an acknowledgement
FIRST_RTT = 0.5  # the round-trip time that is assumed before the first measurement
PROBE_FLOOR = 0.02  # the smallest allowance for the variation of the round-trip time in the probe timeout
POLL_MAX = 1.0  # the longest interval of polls to a peer that does not answer
WINDOW_BYTES = 4 << 20  # the maximum size of data in flight in all lanes on lines without a rate, and behind a gap

# -- pacing (section 5.6) --------------------------------------------------------------------------------------------
AHEAD = 0.008  # the longest time by which a sender may be ahead of a serial line
AHEAD_SLACK = 0.005  # the smallest difference between the line and its estimate that is corrected

# -- channels (section 6) --------------------------------------------------------------------------------------------
CREDIT_SERIAL = 1 << 16  # the credit of a new channel, in each direction
CREDIT_LEAST = 64  # a hello with less credit is malformed, because no record would fit
CREDIT_PIPE = 1_000_000  # the credit of a new channel on sockets and pipes
CHANNELS = 4096  # the maximum number of open channels of a session
MESSAGE_MAX = 1 << 20  # the longest message
PIECES_MAX = 8 << 20  # the maximum size of all incomplete messages and openings of a session together
OPENINGS_MAX = 8 << 20  # the maximum size of the openings of all open channels of a session together
UNREAD_MAX = 48 << 20  # the maximum memory for all unread records of a session
RECORD_MEMORY = 200  # the memory that is counted for an unread record in addition to its body
REPLIES_MAX = 64 << 20  # a session ends if replies and notes of more than this size wait because the peer does not read
SCRIPT_REPLIES_MAX = 8 << 20  # the same in an agent, for one script
OPEN_MAX = 1 << 18  # the longest opening of a channel, such as the arguments and the environment of a command

# -- compression (section 6.5) ---------------------------------------------------------------------------------------
DATA_WINDOW = 15  # bits: the deflate window of a channel's data, 32 KiB
TEXT_WINDOW = 12  # bits: the deflate window of a lane's texts, 4 KiB
ZSTD_WINDOW = 18  # bits: the window of a data stream in Zstandard
ZIPPED_LEAST = 128  # the number of waiting bytes from which the data of a channel is compressed
ZIPPED_PIECE = 1 << 14  # the maximum number of bytes that are compressed in one call
ZIPPED_WORTH = 0.97  # data that compression does not reduce to this share of its size is sent uncompressed
UNTRIED_LEAST = 1 << 16  # the number of bytes that are sent uncompressed before the next attempt; doubled each time
UNTRIED_MOST = 1 << 20  # the largest such number
SHAPE_MAX = 128  # the longest text whose shape (the text without its numbers) is kept for later texts
SHAPE_NUMBERS = 12  # the maximum number of numbers in such a text

# -- probing for longer frames (section 7) ---------------------------------------------------------------------------
PROBE_SIZES: tuple[int, ...] = (256, 512, 1024, 2048)  # the lengths of the probes
PROBE_TRIES = 3  # the number of unanswered probes after which a length is not used

# -- faster rates (section 7.2) --------------------------------------------------------------------------------------
CLIMB_RATES = (115200, 230400, 460800, 921600, 1500000, 3000000, 4000000)  # bits a second, in the order of the trials
CLIMB_START = 0.1  # the wait before the first question, and after the line is up again
CLIMB_ANSWER = 0.25  # the time for an answer, in addition to a round trip and a half-sent frame
CLIMB_ASKS = 3  # the number of unanswered questions after which a rate has failed
CLIMB_MEET = 0.3  # the time for the first frame of the peer at a new rate
CLIMB_HERE = 0.04  # the interval of the first frames at a new rate
CLIMB_TESTS = 12  # the number of test frames in each direction
CLIMB_LOST = 3  # the number of test frames that may be lost
CLIMB_TESTS_LATE = 0.1  # the time for the test frames, in addition to their duration on the line
CLIMB_VERDICT = 0.3  # the time from the last test frame to the verdict
CLIMB_KEEP = 0.2  # the time for the answer to a keep
CLIMB_PROVE = 0.5  # the time for an ordinary frame after a rate was kept
CLIMB_AGAIN = 2.0  # the wait before a failed rate is tried again; ten times as long after each further failure
CLIMB_AGAIN_MOST = 3600.0  # the longest such wait
CLIMB_BLAME = 2.0  # if a silent peer is heard again within this time, the rate has failed, not the line
CLIMB_STEADY = 60.0  # the failures of a rate that was in use for this time are forgotten
RATE_MARGIN = (
    0.01  # the wait after the estimated end of sending, so that the FIFO is empty before the port gets a new rate
)
RATE_SETTLE = 0.02  # the wait after the change of a port, so that the other end can change its port too
RATE_STRANGE = 16  # the number of bytes without text or frames after which the two ends may have different rates
RATE_DOUBT_ASK = 0.2  # the time from these bytes to a poll
RATE_DOUBT = 0.6  # the time from these bytes to the return to the first rate

# -- requests (section 8) --------------------------------------------------------------------------------------------
LEASE = 20.0  # a host is lost if it sends no valid frame for this time; the hub can set another time
KEPT = 1 << 18  # unconfirmed units of the channel of a command that each end keeps in each direction (section 8.7)
FORWARD_LEAST = 1 << 11  # the smallest window of a forwarded connection, end to end (section 8.8)
FORWARD_MOST = 1 << 17  # the largest such window
COPY_ENTRIES = 1 << 18  # the maximum number of files and folders of one copy (section 8.4)
COPY_FIELD = 1 << 16  # the longest field of bytes in a record of a copy, except data
