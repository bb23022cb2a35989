"""`limen.testing.outbox`: a test reads an app's mail as people do, through the real outbox."""

from datetime import timedelta

import pytest
from tests.features.mini_app import features_of

from limen import Auth
from limen.features.mail import Letter, Mail
from limen.testing import Outbox, outbox

pytestmark = pytest.mark.anyio

VERIFY = {"link": "http://localhost:8000/verify#token=abc-D_1", "code": "042137", "valid_for": timedelta(hours=1)}


@pytest.fixture
async def letters(opened) -> tuple[Mail, Outbox]:
    mini = await opened(features=features_of(Mail()))
    return mini.auth[Mail], outbox(mini.auth)


async def test_a_letter_is_read_as_people_read_it(letters):
    mail, box = letters
    await mail.post(Letter(to="alice@example.com", template="verify_email", values=VERIFY))
    await mail.post(Letter(to="bob@example.com", template="test"))
    letter = await box.latest(to="alice@example.com")
    assert (letter.to, letter.template) == ("alice@example.com", "verify_email")
    assert (letter.link, letter.token, letter.code) == (VERIFY["link"], "abc-D_1", "042137")
    assert VERIFY["link"] in letter.html
    assert [each.template for each in await box.letters()] == ["verify_email", "test"]
    assert await box.letters(to="bob@example.com", template="verify_email") == []


async def test_what_is_not_in_a_letter_is_told(letters):
    mail, box = letters
    with pytest.raises(LookupError, match="what was: nothing"):
        await box.latest()
    await mail.post(Letter(to="bob@example.com", template="test"))
    letter = await box.latest()
    for name in ("link", "token", "code"):
        with pytest.raises(LookupError):
            getattr(letter, name)
    with pytest.raises(LookupError, match="test to bob@"):
        await box.latest(template="verify_email")


async def test_an_app_without_mail_has_no_outbox(opened):
    mini = await opened()
    auth: Auth = mini.auth
    with pytest.raises(LookupError, match="Mail is not among the features"):
        outbox(auth)
