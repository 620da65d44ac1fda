"""Every constant of the protocol, with its unit and the section of docs/protocol.md that defines it.

Times are seconds, sizes are bytes unless a name says otherwise.
"""

from __future__ import annotations

__all__: list[str] = []  # use these names as limits.NAME; do not import them with a star

VERSION = 1  # the newest protocol version that this code knows (section 4.1)
OLDEST_VERSION = 1  # the oldest version that it still knows

# -- frames (section 2) ----------------------------------------------------------------------------------------------
BASIC_FRAME = 127  # the longest frame, start and newline included, until a longer one is agreed
CONTROL_FRAME = 127  # the longest frame that may stand inside another one
LONGEST_FRAME = (1 << 20) - 1  # the most that four length digits can express; a receiver announces far less
SERIAL_FRAME = 2048  # the longest frame that we announce on serial lines
PIPE_FRAME = 1 << 18  # the same on sockets and pipes
BULK_TIME = 0.55  # seconds: the longest duration of a frame, so that a lost one is noticed and repeated soon
CHECK_SIZE = 6  # base64url digits of the 32-bit check
NONCE_SIZE = 8  # base64url digits: 48 random bits

# -- foreign text (section 3) ----------------------------------------------------------------------------------------
FOREIGN_IN_FRAME = 2048  # the most foreign text inside one frame that is separated from it
FOREIGN_TRIES = 1000  # the most checks that are computed for two foreign texts in one frame
FOREIGN_LINES = 16  # the most foreign line ends inside one frame that are tried
REPAIR_SHARE = 100  # bytes of damaged frames that are checked for each received byte ...
REPAIR_MOST = 3 << 20  # ... and the most that are checked in one go
FRAME_PATIENCE = 0.3  # an incomplete frame that gets no byte for this long is given up
LINE_PATIENCE = 1.0  # the same behind a line end, where a printed line may have interrupted the frame
PIPE_PATIENCE = 5.0  # the same on sockets and pipes, which lose nothing but may stop for a while
HELD_COUNT = 16  # the most damaged pieces that wait for their good copy
HELD_BYTES = 16384  # the most bytes of all of them together
HELD_TIME = 2.0  # how long a piece waits

# -- calling and keeping alive (section 4) ---------------------------------------------------------------------------
CALL_FAST = 0.2  # between the first hellos, and after a loss
CALL_AGAIN = 0.1  # the same if there is a session that lost its line
CALL_FAST_COUNT = 25  # the number of hellos at the short interval
CALL_SLOW = 1.0  # between later hellos
SILENCE = 3.0  # a listener on a shared line is silent from this time after the last valid frame on
KEEPALIVE_CALLER = 2.8  # shorter than SILENCE, so that a listener may always answer
KEEPALIVE_LISTENER = 7.0  # together with the caller's, an idle session costs 5 bytes a second
KEEPALIVE_PIPE = 8.0  # for both ends of a line that is not shared
POLL_IDLE = 7.5  # a caller that hears nothing for this long polls
QUIET_AFTER = 1.0  # after an unanswered poll the line is quiet
QUIET_AFTER_PIPE = 5.0  # the same on sockets and pipes, where a busy peer is more likely than a lost line
QUIET_LISTENER = 8.0  # for a listener, the line is quiet after this time without a valid frame

# -- bounds of a hub or an agent (section 4.10) ----------------------------------------------------------------------
SESSIONS = 16384  # the most lines that are accepted and open; fewer if the process may open fewer files
AGENTS_ONLY = 0.125  # the share of them that is reserved for agents
HANDSHAKE = 10.0  # seconds until a session must have begun on an accepted line
SCRIPT_SILENCE = 600.0  # a script that holds nothing and waits for nothing is closed after so many silent seconds
SCRIPT_RECLAIM = 30.0  # the same while a newcomer finds no free place
PROCESS_SHARE = 0.5  # the share of the other places that the connections of one process may take
SENDER_SHARE = 0.75  # the same for one user, or for one address
LOG_BURST = 5  # similar lines of the log about one peer that are written ...
LOG_PERIOD = 60.0  # ... in so many seconds; the others are counted
LOG_KINDS = 1000  # the most kinds of lines that are counted at the same time

# -- sequence, acknowledgement, recovery (section 5) -----------------------------------------------------------------
SEQ_BITS = 12
SEQ_MOD: int = 1 << SEQ_BITS
WINDOW_FRAMES = 1024  # the most frames in flight in one lane; below half of SEQ_MOD
ACK_RANGES = 8  # the most ranges beyond the cumulative acknowledgement in one ack frame
ACK_DELAY = 0.04  # how long an acknowledgement may wait for a data frame that carries it
ACK_DELAY_MAX = 0.2  # the same for the bulk lane, where frames are long
MEASURE = 0.1  # between full acknowledgements while data frames carry acknowledgements ...
MEASURE_COST = 27.0  # ... but at least the duration of so many control frames, which is 0.6 % of the line ...
MEASURE_MOST = 0.3  # ... unless that exceeds this time ...
MEASURE_COST_MOST = 10.0  # ... and the duration of so many control frames, which is 2 %
ACK_EVERY = 1 << 18  # received bytes that force an acknowledgement
FIRST_RTT = 0.5  # the round trip that is assumed until it is measured
PROBE_FLOOR = 0.02  # the least allowance for variation in the probe timeout
POLL_MAX = 1.0  # the longest time between two polls of a peer that does not answer
WINDOW_BYTES = 4 << 20  # bytes in flight in all lanes, on lines without a rate; a receiver keeps no more behind a gap

# -- pacing (section 5.6) --------------------------------------------------------------------------------------------
AHEAD = 0.008  # how far a sender may be ahead of a serial line
AHEAD_SLACK = 0.005  # the smallest lag of the line behind our estimate that is corrected

# -- channels (section 6) --------------------------------------------------------------------------------------------
CREDIT_SERIAL = 1 << 16  # the credit of a new channel, in each direction
CREDIT_LEAST = 64  # a hello that gives less is malformed, because no record would ever fit
CREDIT_PIPE = 1_000_000  # the same on sockets and pipes
CHANNELS = 4096  # the most open channels of a session
MESSAGE_MAX = 1 << 20  # the longest message
PIECES_MAX = 8 << 20  # all incomplete messages and openings of a session together
OPENINGS_MAX = 8 << 20  # the openings of all open channels of a session together
UNREAD_MAX = 48 << 20  # memory for all records of a session that their channels' users have not read
RECORD_MEMORY = 200  # bytes of memory for such a record, beside its body
REPLIES_MAX = 64 << 20  # replies and notes that wait for a peer which does not read them; then its session ends
SCRIPT_REPLIES_MAX = 8 << 20  # the same in an agent, for one script
OPEN_MAX = 1 << 18  # the longest opening of a channel (a command's arguments and environment)

# -- compression (section 6.5) ---------------------------------------------------------------------------------------
DATA_WINDOW = 15  # bits: the deflate window of a channel's data, 32 KiB
TEXT_WINDOW = 12  # bits: the deflate window of a lane's texts, 4 KiB
ZSTD_WINDOW = 18  # bits: the window of a data stream in Zstandard
ZIPPED_LEAST = 128  # bytes that must wait on a channel before its data is first compressed
ZIPPED_PIECE = 1 << 14  # the most bytes of data that are compressed in one go
ZIPPED_WORTH = 0.97  # data that does not shrink to this share of its size is sent uncompressed
UNTRIED_LEAST = 1 << 16  # bytes of such data until the next attempt, doubled each time ...
UNTRIED_MOST = 1 << 20  # ... up to this
SHAPE_MAX = 128  # the longest text that is remembered
SHAPE_NUMBERS = 12  # the most numbers in it

# -- probing for longer frames (section 7) ---------------------------------------------------------------------------
PROBE_SIZES: tuple[int, ...] = (256, 512, 1024, 2048)
PROBE_TRIES = 3  # unanswered probes after which a length is given up

# -- faster rates (section 7.2) --------------------------------------------------------------------------------------
CLIMB_RATES = (115200, 230400, 460800, 921600, 1500000, 3000000, 4000000)  # bits a second, in the order of trials
CLIMB_START = 0.1  # before the first question, and after the line is back
CLIMB_ANSWER = 0.25  # for the answer, beside a round trip and a half-sent frame
CLIMB_ASKS = 3  # unanswered questions after which a rate has failed
CLIMB_MEET = 0.3  # at a new rate, for the first frame of the peer
CLIMB_HERE = 0.04  # between two such frames
CLIMB_TESTS = 12  # test frames in each direction
CLIMB_LOST = 3  # how many of them may be lost
CLIMB_TESTS_LATE = 0.1  # beyond the duration of the tests on the line
CLIMB_VERDICT = 0.3  # from the last test to the verdict
CLIMB_KEEP = 0.2  # for the answer to a keep
CLIMB_PROVE = 0.5  # for an ordinary frame after a rate was kept
CLIMB_AGAIN = 2.0  # before a failed rate is tried again, ten times as long after each further failure ...
CLIMB_AGAIN_MOST = 3600.0  # ... up to this
CLIMB_BLAME = 2.0  # if the peer is heard again within this time, the rate failed, not the line
CLIMB_STEADY = 60.0  # the failures of a rate that stood for so long are forgotten
RATE_MARGIN = 0.01  # beyond our estimate, before a port is set, so that its FIFO is empty
RATE_SETTLE = 0.02  # after a port was set, so that the other end can do the same
RATE_STRANGE = 16  # bytes that are not text, without a frame: the two ends may have different rates
RATE_DOUBT_ASK = 0.2  # then we poll
RATE_DOUBT = 0.6  # then we go back to the first rate

# -- requests (section 8) --------------------------------------------------------------------------------------------
LEASE = 20.0  # a host that sends no valid frame for so long is lost, unless the hub says otherwise
KEPT = 1 << 18  # unconfirmed units of a resumable channel that each end keeps, in each direction
