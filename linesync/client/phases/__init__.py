"""Runs the services of a group on this host, in order and together with the other hosts."""

from .runner import Phases
from .service import AGAIN, Round, Service

__all__ = ["AGAIN", "Phases", "Round", "Service"]
