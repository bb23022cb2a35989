"""OAuth2's password flow with scopes, in FastAPI's own words: `Security(…, scopes=[…])`.

`limen dev` serves it with a first admin. Press **Authorize** on http://localhost:8000/docs, or ask as
any OAuth2 client does:

    POST /auth/token    the form grant_type=password&username=…&password=…&scope=reports:read

A token carries what was asked for, and never more than its user may do; without `scope` it carries all of that.
"""

from typing import Annotated

from fastapi import FastAPI, Security

from limen import Accounts, Auth, Passwords, Principal, Role, Roles, Tokens, User

auth = Auth(
    roles=[
        Role("member", ["profile:read", "reports:read"], description="Everyone who registers.", default=True),
        Role("analyst", ["profile", "reports"], description="Writes reports too."),
        Role("admin", ["*"], description="May do everything."),
    ],
    permissions={  # the scopes that Swagger UI offers
        "profile:read": "See your own profile",
        "reports:read": "Read reports",
        "reports:write": "Publish reports",
    },
    features=[Passwords(), Tokens(), Accounts(), Roles()],
)

app = FastAPI(title="OAuth2 with scopes")
auth.install(app, default="deny")  # a route that is neither guarded nor marked public stops the start

ProfileReader = Annotated[User, Security(auth.current_user, scopes=["profile:read"])]
ReportReader = Annotated[Principal, Security(auth.current_principal, scopes=["reports:read"])]
ReportWriter = Annotated[Principal, Security(auth.current_principal, scopes=["reports:write"])]

reports: list[dict[str, str]] = [{"title": "A first report", "by": "the template"}]


@app.get("/")
@auth.public
async def home() -> dict[str, str]:
    """Open to everyone, and says so."""
    return {"docs": "/docs"}


@app.get("/profile")
async def profile(user: ProfileReader) -> dict[str, str]:
    """For a token with the scope `profile:read`; the row comes from the database."""
    return {"email": user.email}


@app.get("/scopes")
async def scopes(principal: ReportReader) -> list[str]:
    """What the caller's token carries; no look at the database."""
    return sorted(principal.permissions)


@app.get("/reports")
async def read_reports(_: ReportReader) -> list[dict[str, str]]:
    """For a token with the scope `reports:read`."""
    return reports


@app.post("/reports", status_code=201)
async def publish_report(title: str, writer: ReportWriter) -> dict[str, str]:
    """For a token with the scope `reports:write`; a member's has it not, whatever was asked for."""
    reports.append({"title": title, "by": writer.subject})
    return reports[-1]
