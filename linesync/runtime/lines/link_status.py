"""Makes the state of the line of a peer."""

from __future__ import annotations

from ...wire.framing.frames import Lane
from ...wire.link import Link
from ..peer import Peer
from .link_state import LinkState, SessionState, Traffic

__all__ = ["link_state"]


def link_state(peer: Peer, name: str, owner: str, host: str) -> LinkState:
    """The state and the counters of one line.

    :param name: the label of the line.
    :param owner: the process at this end: ``hub`` or the name of a host.
    :param host: the process at the other end: ``hub`` or the name of a host; empty for a script or without a peer.
    """
    link, info = peer.link, peer.info
    return LinkState(
        line=name,
        end=owner,
        kind=info.kind if info else "",
        baud=(link.baud if link is not None and peer.line is not None else None) or (info.baud if info else None),
        state=_state(peer),
        trouble=_trouble(peer),
        traffic=Traffic(**link.counters.as_dict()) if link is not None else None,
        session=_session(link) if link is not None else None,
        host=host,
    )


def _session(link: Link) -> SessionState | None:
    session = link.session
    if session is None:
        return None
    round_trip = session.round_trip.smoothed
    return SessionState(
        peer_boot=session.peer.boot,
        frame=session.frame_sizer.agreed,
        frame_now=session.frame_sizer.length,
        form=session.form,
        repaired=link.repaired,
        round_trip_ms=None if round_trip is None else round(round_trip * 1000, 2),
        repeated=sum(session.senders[lane].repeated for lane in Lane),
        duplicates=sum(session.receivers[lane].duplicates for lane in Lane),
        channels=session.mux.open_count,
    )


def _trouble(peer: Peer) -> str:
    """One sentence about the fault of the line; empty if no fault is known."""
    if peer.line is None:
        return peer.lost_why.message if peer.lost_why is not None else ""
    return peer.symptoms.sentence if peer.symptoms is not None else ""


def _state(peer: Peer) -> str:
    if peer.line is None:
        return "down"
    if not peer.up:
        return "waiting"
    return "quiet" if peer.link is not None and peer.link.quiet else "up"
