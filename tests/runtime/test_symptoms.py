"""What a line without linesync at its other end looks like, and what is said of it."""

from __future__ import annotations

import random

import pytest

from linesync.runtime.symptoms import Symptoms

NEVER = float("-inf")


def symptoms(*, calls: bool = True, baud: int | None = 115200) -> Symptoms:
    return Symptoms(calls=calls, endpoint="/dev/ttyS0,115200", baud=baud, now=0.0)


def told(detector: Symptoms, until: float, *, heard_at: float = NEVER, echo: int = 0) -> list[str]:
    """What is said up to a time, looked at once a second."""
    seconds = range(1, int(until) + 1)
    said = [detector.look(float(now), heard_at=heard_at, echo=echo) for now in seconds]
    return [sentence for sentence in said if sentence]


def test_garbage_is_taken_for_a_wrong_baud_rate_and_said_once() -> None:
    detector = symptoms(calls=False)
    detector.heard(random.Random(1).randbytes(100))
    (sentence,) = told(detector, 60)
    assert "baud" in sentence and "115200" in sentence and "--port /dev/ttyS0" in sentence
    assert detector.sentence == sentence


@pytest.mark.parametrize(
    "prompt", [b"\r\nDebian GNU/Linux 12 sut ttyS0\r\n\r\nsut login: ", b"Password: ", b"Username:"]
)
def test_a_login_prompt_is_known_and_masking_the_getty_advised(prompt: bytes) -> None:
    for calls, other in ((True, "hub"), (False, "agent")):
        detector = symptoms(calls=calls)
        detector.heard(prompt)
        (sentence,) = told(detector, 30)
        assert "systemctl mask" in sentence and f"linesync {other}" in sentence


def test_echo_is_told_by_our_own_frames_that_come_back() -> None:
    (sentence,) = told(symptoms(), 30, echo=240)
    assert "come back" in sentence and "stty raw" in sentence


def test_other_text_is_only_told_to_be_text() -> None:
    detector = symptoms(calls=False)
    detector.heard(b"U-Boot 2024.01\r\nHit any key to stop autoboot: 3")
    (sentence,) = told(detector, 30)
    assert "text arrives" in sentence and "linesync console" in sentence


def test_silence_is_told_by_the_end_that_calls_and_by_no_other() -> None:
    assert told(symptoms(calls=False), 60) == []
    (sentence,) = told(symptoms(), 60)
    assert "nothing answers" in sentence and "null modem" in sentence
    assert told(symptoms(), 4) == [], "not before a hub had time to answer"


def test_a_session_clears_it_and_kernel_messages_on_a_good_line_are_no_symptom() -> None:
    detector = symptoms()
    assert len(told(detector, 10)) == 1
    assert detector.look(11.0, heard_at=10.5, echo=0) == "" and detector.sentence == ""
    for now in range(12, 40):
        detector.heard(b"[   12.345678] usb 1-1: new high-speed USB device\r\n")
        assert detector.look(float(now), heard_at=now - 0.5, echo=0) == ""
    detector.heard(b"sut login: ")
    late = [detector.look(float(now), heard_at=39.5, echo=0) for now in range(40, 70)]
    assert [bool(sentence) for sentence in late].count(True) == 1, "its agent died, and a getty came"
