"""The log of a hub or an agent: it writes only a few similar sentences, and counts the others."""

from __future__ import annotations

import logging

import pytest

from linesync import limits
from linesync.runtime.listening.reports import LogLimit, RepeatFilter, Reports, kind_of

from .peers import pause, play


def admitted(log: LogLimit, sentence: str, times: int, now: float = 0.0, peer: str = "tcp") -> int:
    return sum(log.admits(sentence, peer, now) for _ in range(times))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("host a is up on tcp://h:1#17", "host a is up on tcp://h:1#18"),
        ("the peer requires Q, which", "the peer requires R, S, T, which"),
        ("refused 'run' of script 3.1", "refused 'put' of script 4.2"),
    ],
)
def test_sentences_that_differ_in_numbers_quotes_and_flags_are_similar(first: str, second: str) -> None:
    assert kind_of(first) == kind_of(second) != kind_of("the line is down")


def test_five_similar_sentences_a_minute_are_written_and_the_others_are_counted() -> None:
    log = LogLimit()
    assert sum(log.admits(f"the peer requires {chr(65 + n % 26)}, which", "tcp", n / 1000) for n in range(10_000)) == 5
    assert log.handle_timer(59.0) == []
    assert log.handle_timer(60.0) == [
        "9995 similar lines were omitted from the log; the last line: the peer requires P, which"
    ]


def test_while_similar_sentences_continue_only_their_number_is_written_each_minute() -> None:
    log = LogLimit()
    assert admitted(log, "x 1", 7) == 5
    assert len(log.handle_timer(60.0)) == 1
    assert admitted(log, "x 2", 1, now=61.0) == 0
    assert log.handle_timer(120.0) == ["1 similar line was omitted from the log; the last line: x 2"]
    assert log.handle_timer(180.0) == [] and log.next_timer() is None
    assert admitted(log, "x 3", 9, now=181.0) == 5


def test_after_a_minute_similar_sentences_are_written_again_without_a_timer() -> None:
    log = LogLimit()
    assert admitted(log, "x", 5) == 5
    assert admitted(log, "x", 5, now=60.0) == 5


def test_each_peer_and_each_kind_of_sentence_has_its_own_limit() -> None:
    log = LogLimit()
    assert admitted(log, "x 1", 6) == 5
    assert admitted(log, "x 1", 6, peer="unix") == 5
    assert admitted(log, "y 1", 6) == 5
    assert log.admits("port 1 is open", "", 0.0) and admitted(log, "port 2 is open", 6, peer="") == 5


def test_the_number_of_different_sentences_about_one_peer_is_limited() -> None:
    log = LogLimit()
    sentences = [f"{a}{b} came" for a in "abcdefghij" for b in "abcdefghij"]
    assert sum(log.admits(sentence, "tcp", 0.0) for sentence in sentences) == 10 * limits.LOG_BURST


def test_the_number_of_kinds_of_sentences_is_limited() -> None:
    log = LogLimit()
    assert sum(log.admits(f"sentence {n}", "", 0.0) for n in range(5000)) == limits.LOG_KINDS + limits.LOG_BURST
    assert len(log._windows) == limits.LOG_KINDS + 1


def test_the_log_writes_the_number_of_omitted_sentences_each_minute_and_at_the_end() -> None:
    async def test() -> None:
        lines: list[str] = []
        log = Reports(lines.append)
        for _ in range(9):
            log("x", peer="tcp", burst=1)
        assert lines == ["x"]
        await pause(60.0)
        assert lines == ["x", "8 similar lines were omitted from the log; the last line: x"]
        log("x", peer="tcp", burst=1)
        log.close()
        assert lines[2:] == ["1 similar line was omitted from the log; the last line: x"]

    play(test)


def test_log_records_with_similar_first_lines_are_limited() -> None:
    async def test() -> None:
        lines: list[str] = []
        repeat_filter = RepeatFilter(Reports(lines.append))
        records = [logging.LogRecord("asyncio", 40, "", 0, f"a task failed\ntask {n}", (), None) for n in range(20)]
        assert sum(repeat_filter.filter(record) for record in records) == limits.LOG_BURST
        await pause(61.0)
        assert lines == ["15 similar lines were omitted from the log; the last line: a task failed"]

    play(test)
