"""What anybody can make a hub look up, over and over, is found by an index, however many rows there are."""

import pytest

from hub.store.statements import Statements
from tests.store.conftest import opened


@pytest.fixture
async def store(on_sqlite):
    async with opened(on_sqlite()) as store:
        yield store


@pytest.fixture
def plans(monkeypatch):
    """How SQLite goes about each statement."""
    found = []
    execute = Statements.execute

    def explain(self, statement, values=None):
        text = statement.compile(self._connection, compile_kwargs={"literal_binds": True})
        found.extend(row[3] for row in self._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
        return execute(self, statement, values)

    monkeypatch.setattr(Statements, "execute", explain)
    return found


@pytest.mark.parametrize(
    ("look_up", "index"),
    [
        (lambda tx: tx.user_by_identity("google", "a@b.org"), "ix_user_google_login_in_any_case"),
        (lambda tx: tx.user_by_identity("facebook", "a@b.org"), "ix_user_facebook_login_in_any_case"),
        (lambda tx: tx.user_by_identity("github", "a@b.org"), "ix_user_github_login_in_any_case"),
        (lambda tx: tx.oauth.client_with_secret("app", "x"), "sqlite_autoindex_oauth_client_1"),
        (lambda tx: tx.oauth.client_by_oauth_id("app"), "sqlite_autoindex_oauth_client_1"),
        (lambda tx: tx.oauth.grant_by_code("x"), "sqlite_autoindex_oauth_grant_1"),
        (
            lambda tx: tx.oauth.password_grant(user_id=1, client_id=1, scope="GetDevice"),
            "ix_oauth_grant_user_id_client_id",
        ),
        (lambda tx: tx.oauth.forget_codes(1, limit=9), "ix_oauth_grant_codes"),
    ],
)
async def test_nothing_is_looked_for_in_every_row(store, plans, look_up, index):
    await store.transact(look_up)

    assert not [step for step in plans if step.startswith("SCAN")]
    assert any(index in step for step in plans), plans
