"""A permission system: roles, permissions, rules over objects and over lists, with limen.

    uvicorn examples.permission_system:app --no-proxy-headers

An author writes articles and changes their own, an editor changes all, a moderator may only take them down; everybody
sees what is published, authors their drafts too. Administrators assign roles at PUT /users/{id}/roles.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, params
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from limen import Auth, Policy, Principal, Role, permission, role, rule, shadow
from limen.db.users import Base

auth = Auth(
    roles=[
        Role("reader", ["articles:read"], default=True, description="Reads."),
        Role("author", ["articles:read", "articles:write"], description="Writes, and changes what is theirs."),
        Role("moderator", ["articles:read", "articles:hide"], description="Takes articles down."),
        Role("editor", ["articles"], description="Does everything with every article."),
        Role("admin", ["*"], description="May do everything."),
    ],
    permissions={
        "articles:read": "Read articles",
        "articles:write": "Write articles, and change one's own",
        "articles:hide": "Take articles down",
        "articles": "Everything with articles, other people's too",
    },
)


class Article(Base):
    """An article; `author_id` is the `sub` of whoever wrote it."""

    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]
    is_published: Mapped[bool] = mapped_column(default=False)


# --- rules over objects: one function decides an article that is loaded, and filters a list in SQL


@auth.policy("articles:read")
def published_or_own(principal: Principal, article: Article) -> bool | ColumnElement[bool]:
    return article.is_published | (article.author_id == principal.user_id)


@auth.policy("articles:write")
def author(principal: Principal, article: Article) -> bool | ColumnElement[bool]:
    return article.author_id == principal.user_id


@auth.policy("articles:hide")
def published(_: Principal, article: Article) -> bool | ColumnElement[bool]:
    return article.is_published


# --- the guides' helpers, each one line here


def require_permission(name: str) -> params.Depends:
    """As in the guides; `auth.require(name)` is already it."""
    return params.Depends(auth.require(name))


def role_checker(*allowed: str) -> params.Depends:
    """`RoleChecker(["admin", "editor"])` of the guides."""
    return params.Depends(auth.require(role(*allowed)))


def works_here(principal: Principal) -> bool:
    """The app's own rule, for what permissions cannot say."""
    return not principal.subject.startswith("guest-")


STAFF: Policy = role("editor", "admin") & rule(works_here)
# On trial: what would it change if the statistics needed a permission of their own? The log says so; nobody is refused.
STATISTICS: Policy = shadow(permission("articles") & STAFF, instead_of=STAFF)


async def session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(auth.kernel.database.engine) as current:
        yield current


Session = Annotated[AsyncSession, Depends(session)]


async def find_article(article_id: int, session: Session) -> Article | None:
    return await session.get(Article, article_id)


Reader = Annotated[Principal, Depends(auth.require("articles:read"))]
Author = Annotated[Principal, Depends(auth.require("articles:write"))]
Readable = Annotated[Article, Depends(auth.require("articles:read", on=find_article))]
Writable = Annotated[Article, Depends(auth.require("articles:write", on=find_article))]


class ArticleIn(BaseModel):
    title: str = Field(min_length=1, max_length=200)


class ArticleOut(ArticleIn):
    id: int
    author_id: str
    is_published: bool


@asynccontextmanager
async def make_tables(_: FastAPI) -> AsyncIterator[None]:
    """Good enough for an example; an app of yours runs `limen migrate` and its own migrations."""
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield


app = FastAPI(title="A permission system", lifespan=make_tables)
auth.install(app, default="deny")
articles = APIRouter(prefix="/articles", tags=["articles"])


@articles.get("", response_model=list[ArticleOut])
async def list_articles(reader: Reader, session: Session) -> list[Article]:
    """What one may read, and nothing of the rest: the database filters."""
    readable = select(Article).where(auth.filter(reader, "articles:read", Article)).order_by(Article.id)
    return list(await session.scalars(readable))


@articles.post("", response_model=ArticleOut, status_code=201)
async def write_article(body: ArticleIn, writer: Author, session: Session) -> Article:
    article = Article(title=body.title, author_id=writer.user_id or "")
    session.add(article)
    await session.commit()
    await session.refresh(article)
    return article


@articles.get("/{article_id}", response_model=ArticleOut)
async def read_article(article: Readable) -> Article:
    """404 for a draft of somebody else's: one may not even know of it."""
    return article


@articles.put("/{article_id}", response_model=ArticleOut)
async def change_article(article: Writable, body: ArticleIn, session: Session) -> Article:
    """403 for what one may read and not change."""
    article.title = body.title
    await session.commit()
    await session.refresh(article)
    return article


@articles.post("/{article_id}/publication", response_model=ArticleOut)
async def publish_article(article: Writable, session: Session) -> Article:
    article.is_published = True
    await session.commit()
    await session.refresh(article)
    return article


@articles.delete("/{article_id}/publication", status_code=204)
async def hide_article(article_id: int, moderator: Reader, session: Session) -> None:
    """The same decision by hand, where it depends on more than the route knows."""
    article = await session.get(Article, article_id)
    await auth.check(moderator, "articles:hide", article)
    if article is not None:
        article.is_published = False
    await session.commit()


app.include_router(articles)


@app.get("/staff", dependencies=[role_checker("editor", "admin")])
async def staff_page() -> str:
    return "For editors and administrators."


@app.get("/articles-statistics", dependencies=[Depends(auth.require(STATISTICS))])
async def statistics() -> dict[str, int]:
    return {"articles": 0}


@app.get("/export", dependencies=[require_permission("articles")])
async def export() -> list[str]:
    return []
