"""Many rounds of one barrier on lines that lose and damage bytes: a member is never more than one round ahead of the others."""

from __future__ import annotations

import json
import sys

from linesync.testing.faults import Faults
from tests.e2e.kit import Command, serial_site

ROUNDS = 200
MEMBERS = ("c1#a", "c1#b", "c2#a", "c2#b")
LOSSY = Faults(ber=5e-5, drop=2e-5)

MEMBER = """
import json, os, sys
from linesync import connect_blocking

place, hub, rounds, mine, *members = sys.argv[1:]
table = os.open(place, os.O_RDWR)
number = members.index(mine)

def counts():
    return [int(os.pread(table, 8, 8 * n)) for n in range(len(members))]

spread = set()
with connect_blocking(hub) as client:
    for round in range(1, int(rounds) + 1):
        os.pwrite(table, b"%8d" % round, 8 * number)  # before we arrive, so that the others see it when they are released
        result = client.barrier("rounds", members=members, member=mine, timeout=60)
        seen = counts()
        assert all(round <= count <= round + 1 for count in seen), (round, seen)
        assert result.generation == round, (round, result)
        spread.add(max(seen) - min(seen))
print(json.dumps({"rounds": round, "spread": sorted(spread)}))
"""


def test_four_members_on_two_lossy_lines_stay_synchronised_for_two_hundred_rounds() -> None:
    with serial_site(faults=LOSSY) as site:
        table = site.folder / "table"
        table.write_bytes(b"%8d" % 0 * len(MEMBERS))
        members = [
            Command(
                [
                    sys.executable,
                    "-c",
                    MEMBER,
                    str(table),
                    f"unix:{site.socket(member[:2])}",
                    str(ROUNDS),
                    member,
                    *MEMBERS,
                ],
                site.env,
                site.folder,
            )
            for member in MEMBERS
        ]
        try:
            for command in members:
                done = command.wait(120)
                assert (done.code, done.err) == (0, ""), done
                report = json.loads(done.out)
                assert report["rounds"] == ROUNDS and report["spread"] in ([0], [0, 1], [1]), report
        finally:
            for command in members:
                command.close()
        assert table.read_bytes().split() == [str(ROUNDS).encode()] * len(MEMBERS)
        for host in ("c1", "c2"):  # both ends of the host's line: chance decides which of them has to repeat a frame
            rows = site.json(host, "links")
            ends = [row for row in rows if row["host"] == host or row["end"] == host]
            assert len(ends) == 2, rows
            assert all(any(row[counter] for row in ends) for counter in ("damaged", "repeated")), ends
        assert site.json("hub", "status")["held"]["waits"] == 0
        assert set(site.states().values()) == {"up"}
