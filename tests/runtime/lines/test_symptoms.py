"""Reports about the symptoms of a line whose other end does not run linesync."""

from __future__ import annotations

import random

import pytest

from linesync.runtime.lines.symptoms import Symptoms

NEVER = float("-inf")


def symptoms(*, calls: bool = True, baud: int | None = 115200) -> Symptoms:
    return Symptoms(calls=calls, endpoint="/dev/ttyS0,115200", baud=baud, now=0.0)


def reports(detector: Symptoms, until: float, *, heard_at: float = NEVER, echo: int = 0) -> list[str]:
    """All reports until a time. The detector is checked once a second."""
    seconds = range(1, int(until) + 1)
    sentences = [detector.check(float(now), heard_at=heard_at, echo=echo) for now in seconds]
    return [sentence for sentence in sentences if sentence]


def test_garbage_is_reported_once_as_a_wrong_baud_rate() -> None:
    detector = symptoms(calls=False)
    detector.receive(random.Random(1).randbytes(100))
    (sentence,) = reports(detector, 60)
    assert "baud" in sentence and "115200" in sentence and "--port /dev/ttyS0" in sentence
    assert detector.sentence == sentence


@pytest.mark.parametrize(
    "prompt", [b"\r\nDebian GNU/Linux 12 sut ttyS0\r\n\r\nsut login: ", b"Password: ", b"Username:"]
)
def test_a_login_prompt_is_recognised_and_the_advice_is_to_mask_the_getty(prompt: bytes) -> None:
    for calls, other in ((True, "hub"), (False, "agent")):
        detector = symptoms(calls=calls)
        detector.receive(prompt)
        (sentence,) = reports(detector, 30)
        assert "systemctl mask" in sentence and f"linesync {other}" in sentence


def test_own_frames_that_the_line_returns_are_reported_as_an_echo() -> None:
    (sentence,) = reports(symptoms(), 30, echo=240)
    assert "come back" in sentence and "stty raw" in sentence


def test_other_text_is_reported_as_text() -> None:
    detector = symptoms(calls=False)
    detector.receive(b"U-Boot 2024.01\r\nHit any key to stop autoboot: 3")
    (sentence,) = reports(detector, 30)
    assert "text arrives" in sentence and "linesync console" in sentence


def test_only_the_calling_end_reports_silence() -> None:
    assert reports(symptoms(calls=False), 60) == []
    (sentence,) = reports(symptoms(), 60)
    assert "nothing answers" in sentence and "null modem" in sentence
    assert reports(symptoms(), 4) == [], "a hub needs time to answer"


def test_a_session_removes_the_symptom_and_kernel_messages_are_not_a_symptom() -> None:
    detector = symptoms()
    assert len(reports(detector, 10)) == 1
    assert detector.check(11.0, heard_at=10.5, echo=0) == "" and detector.sentence == ""
    for now in range(12, 40):
        detector.receive(b"[   12.345678] usb 1-1: new high-speed USB device\r\n")
        assert detector.check(float(now), heard_at=now - 0.5, echo=0) == ""
    detector.receive(b"sut login: ")
    # The agent died, and a getty was started.
    later = [detector.check(float(now), heard_at=39.5, echo=0) for now in range(40, 70)]
    assert [bool(sentence) for sentence in later].count(True) == 1
