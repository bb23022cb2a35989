"""Whatever someone does to the record who writes to the database and knows no secret is found and located."""

import json
from datetime import timedelta

import pytest
from tests.features.audit.conftest import names, sql
from tests.features.mini_app import SECRET

from limen.core.audit_chain import SAID
from limen.events import LoggedIn, PasswordChanged
from limen.features import Audit

pytestmark = pytest.mark.anyio

NUMBER = 12
QUOTED_X = "'x'"
COLUMNS = ("id", "seq", *SAID, "key_id", "mac", "hash", "seal")


@pytest.fixture
async def filled(mini):
    """A record of a dozen entries, each in its place."""
    await fill(mini, NUMBER)
    assert (await mini.auth[Audit].verify()).is_intact
    return mini


async def fill(mini, number):
    for each in range(number):
        event = LoggedIn(at=mini.clock.now(), subject=str(each), session_id=str(each), amr=("pwd",))
        await mini.auth.kernel.events.publish(event)
    await mini.auth[Audit].write()
    await mini.auth[Audit].seal()


async def flaws(mini, **options):
    report = await mini.auth[Audit].verify(**options)
    return [(flaw.kind, flaw.seq, flaw.last_seq) for flaw in report.flaws]


async def test_a_change_of_any_column_is_located(filled):
    blob = "x'00112233445566778899aabbccddeeff'"
    if not filled.auth.kernel.database.is_sqlite:
        blob = f"decode({blob[1:]}, 'hex')"
    different = {
        "id": "id + 1000",
        "seq": "seq + 1000",
        "event_id": "'00000000000040008000000000000000'",
        "at": "'2001-01-01 00:00:00.000000'",
        "count": "count + 1",
        "details": "'{}'",
        **dict.fromkeys(("mac", "hash", "seal"), blob),
    }
    await sql(filled, "CREATE TABLE kept AS SELECT * FROM limen_audit WHERE seq = 5")
    for column in COLUMNS:
        await sql(filled, f"UPDATE limen_audit SET {column} = {different.get(column, QUOTED_X)} WHERE seq = 5")
        found = await flaws(filled)
        if column == "seq":
            assert ("missing", 5, 5) in found
            assert ("inserted", NUMBER + 1, 1005) in found
        else:
            assert ("changed", 5, 5) in found, column
            assert {seq for _, seq, _ in found} <= {5, 6}, column
        await sql(filled, "DELETE FROM limen_audit WHERE seq IN (5, 1005)")
        await sql(filled, "INSERT INTO limen_audit SELECT * FROM kept")
        assert await flaws(filled) == [], column


async def test_one_flipped_bit_is_located(filled):
    (row,) = await sql(filled, "SELECT details FROM limen_audit WHERE seq = 7")
    flipped = chr(ord(row[0][-3]) ^ 1)
    details = row[0][:-3] + flipped + row[0][-2:]
    assert len(details) == len(row[0])
    await sql(filled, "UPDATE limen_audit SET details = :details WHERE seq = 7", details=details)
    assert await flaws(filled) == [("changed", 7, 7)]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (5, 5), (4, 8)])
async def test_deleted_entries_are_located(filled, first, last):
    await sql(filled, f"DELETE FROM limen_audit WHERE seq BETWEEN {first} AND {last}")
    assert await flaws(filled) == [("missing", first, last)]


async def test_entries_cut_off_at_the_end_are_located_even_when_it_went_on(filled):
    await sql(filled, "DELETE FROM limen_audit WHERE seq > 9")
    assert await flaws(filled) == [("missing", 10, 12)]
    await fill(filled, 2)
    assert await flaws(filled) == [("missing", 10, 12)]


async def test_a_deleted_entry_whose_place_is_closed_up_is_located(filled):
    await sql(filled, "DELETE FROM limen_audit WHERE seq = 5")
    for seq in range(6, NUMBER + 1):
        await sql(filled, f"UPDATE limen_audit SET seq = {seq - 1} WHERE seq = {seq}")
    found = await flaws(filled)
    assert found[0] == ("changed", 5, 5)


async def test_entries_that_change_places_are_located(filled):
    for change in ("seq = 999 WHERE seq = 4", "seq = 4 WHERE seq = 8", "seq = 8 WHERE seq = 999"):
        await sql(filled, f"UPDATE limen_audit SET {change}")
    found = await flaws(filled)
    assert {("changed", 4, 4), ("changed", 8, 8)} <= set(found)
    assert {seq for _, seq, _ in found} <= {4, 5, 8, 9}


COPIED = ", ".join(name for name in SAID if name != "event_id")


async def test_an_inserted_entry_is_located_wherever_it_is_put(filled):
    one = "'11111111111141118111111111111111'"
    copy = f"INSERT INTO limen_audit (event_id, {COPIED}, key_id, mac, hash, seal, seq) SELECT {one}, {COPIED}, key_id"
    await sql(filled, f"{copy}, mac, hash, seal, {NUMBER + 1} FROM limen_audit WHERE seq = 3")
    assert set(await flaws(filled)) >= {("inserted", NUMBER + 1, NUMBER + 1), ("changed", NUMBER + 1, NUMBER + 1)}


async def test_a_forged_entry_that_waits_for_its_place_gets_none(filled):
    one = "'11111111111141118111111111111111'"
    copy = f"INSERT INTO limen_audit (event_id, {COPIED}, mac) SELECT {one}, {COPIED}, mac"
    await sql(filled, f"{copy} FROM limen_audit WHERE seq = 3")
    await fill(filled, 1)
    report = await filled.auth[Audit].verify()
    (flaw,) = report.flaws
    ((expected,),) = await sql(filled, "SELECT id FROM limen_audit WHERE seq IS NULL")
    assert (flaw.kind, flaw.id) == ("forged", expected)
    assert report.last_seq == NUMBER + 1, "the genuine ones go on"


@pytest.mark.parametrize("column", ["seq", "hash", "anchor_seq", "anchor_hash", "mac"])
async def test_a_changed_head_is_found_and_nothing_new_is_sealed_under_it(filled, column):
    is_number = column.endswith("seq")
    value = f"{column} - 3" if is_number else "x'00'" if filled.auth.kernel.database.is_sqlite else "'\\x00'::bytea"
    await sql(filled, f"UPDATE limen_audit_head SET {column} = {value}")
    assert ("head", None, None) in await flaws(filled)
    await fill(filled, 1)
    assert ((await filled.auth[Audit].verify()).waiting) == 1


@pytest.mark.parametrize("damage", ["DELETE FROM limen_audit_head", "UPDATE limen_audit_head SET seq = 3"])
async def test_a_lost_head_is_on_record_for_ever_once_the_chain_goes_on(filled, damage):
    await sql(filled, "DELETE FROM limen_audit WHERE seq > 9")
    await sql(filled, damage)
    await fill(filled, 1)
    filled.clock.advance(minutes=11)
    await fill(filled, 1)
    assert ("resumed", 10, 10) in await flaws(filled)
    await fill(filled, 1)
    assert "audit_chain_resumed" in await names(filled)
    found = await flaws(filled)
    assert [each for each in found if each[0] != "missing"] == [("resumed", 10, 10)]


async def test_an_older_state_of_the_whole_record_is_found_by_a_noted_head(filled):
    """Nothing inside the database can tell; what was noted elsewhere does."""
    old = await sql(filled, "SELECT seq, hash, mac FROM limen_audit_head")
    await fill(filled, 3)
    noted = (await filled.auth[Audit].verify()).head
    await sql(filled, f"DELETE FROM limen_audit WHERE seq > {NUMBER}")
    restored = dict(zip(("seq", "hash", "mac"), old[0], strict=True))
    await sql(filled, "UPDATE limen_audit_head SET seq = :seq, hash = :hash, mac = :mac", **restored)
    assert await flaws(filled) == [], "the database alone is an older genuine record"
    assert await flaws(filled, noted=noted) == [("truncated", NUMBER + 3, NUMBER + 3)]


async def test_a_noted_head_is_still_there_later(filled):
    noted = (await filled.auth[Audit].verify()).head
    await fill(filled, 3)
    assert await flaws(filled, noted=noted) == []
    with pytest.raises(ValueError, match="SEQ:HASH"):
        await filled.auth[Audit].verify(noted="12:zz")


async def test_heads_are_said_in_the_log(mini, caplog):
    with caplog.at_level("INFO", logger="limen.audit"):
        await fill(mini, 3)
    said = [json.loads(record.message) for record in caplog.records if record.name == "limen.audit"]
    (checkpoint,) = [each for each in said if each["event"] == "audit_checkpoint"]
    assert checkpoint["head"].partition(":")[0].isdigit()


async def test_old_entries_are_purged_and_the_rest_stays_verifiable(open_audited):
    mini = await open_audited(retention=timedelta(days=30))
    await fill(mini, 5)
    noted = (await mini.auth[Audit].verify()).head
    mini.clock.advance(days=31)
    await fill(mini, 4)
    await mini.auth[Audit].purge()
    report = await mini.auth[Audit].verify(noted=noted)
    assert (report.is_intact, report.first_seq, report.last_seq) == (True, 6, 9), report
    await sql(mini, "DELETE FROM limen_audit WHERE seq = 6")
    assert await flaws(mini) == [("missing", 6, 6)]
    mini.clock.advance(days=31)
    await mini.auth[Audit].purge()
    await fill(mini, 1)
    assert (await mini.auth[Audit].verify()).first_seq == 10


async def test_a_new_root_secret_leaves_old_entries_verifiable_also_when_the_old_one_is_dropped(open_audited):
    new = "another secret of more than thirty-two bytes, for tests"
    mini = await open_audited()
    await fill(mini, 3)
    mini = await open_audited(settings={"secret_key": new, "secret_key_fallbacks": (SECRET,)})
    assert await flaws(mini) == []
    await fill(mini, 3)
    mini = await open_audited(settings={"secret_key": new})
    report = await mini.auth[Audit].verify()
    assert (report.is_intact, report.unsealed, report.last_seq) == (True, 3, 6)
    await sql(mini, "UPDATE limen_audit SET subject = 'x' WHERE seq = 2")
    assert await flaws(mini) == [("changed", 2, 2)]


async def test_a_root_secret_that_is_not_known_is_named(open_audited):
    mini = await open_audited()
    await fill(mini, 3)
    mini = await open_audited(settings={"secret_key": "another secret of more than thirty-two bytes, for tests"})
    (flaw, *_) = (await mini.auth[Audit].verify()).flaws
    assert "LIMEN_SECRET_KEY_FALLBACKS" in flaw.sentence


async def test_what_is_written_in_transactions_and_behind_answers_is_one_chain(mini):
    for each in range(5):
        change = PasswordChanged(at=mini.clock.now(), subject=str(each))
        async with mini.auth.kernel.database.transaction() as connection:
            await mini.auth.kernel.events.record(connection, change)
        await mini.auth.kernel.events.publish(change)
        await mini.auth.kernel.events.publish(change)  # told twice, there once
    await fill(mini, 5)
    report = await mini.auth[Audit].verify()
    assert (report.is_intact, report.checked, report.waiting) == (True, 10, 0)
