"""The facts that the rules judge: plain values, gathered once. No secret is among them, only what is said of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from limen.feature import Finding
from limen.http.route_map import MappedRoute
from limen.settings import AuthSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that was seen in a file of the app's own.

    Attributes:
        kind: what it is: `import`, `password bearer`, `secret`, `tutorial secret`, `unverified`, `debug`.
        name: which one.
    """

    kind: str
    name: str
    path: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The app's own files, as far as its imports lead.

    Attributes:
        speaks_of_limen: whether any of them imports it.
    """

    files: int = 0
    speaks_of_limen: bool = True
    marks: tuple[Mark, ...] = ()

    def of(self, kind: str) -> tuple[Mark, ...]:
        """The marks of one kind."""
        return tuple(mark for mark in self.marks if mark.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What can be said of the root secret.

    Attributes:
        name: under which it is set; empty when it is not.
        size: its bytes.
        bits: how many its spelling can hold at most.
        is_public: it is one that everyone knows.
        is_placeholder: it says itself that it should be replaced.
        refusal: why limen refuses to sign with it.
        committed_in: files of the repository that have it, `.env` of an earlier commit among them.
    """

    name: str = ""
    size: int = 0
    bits: float = 0
    is_public: bool = False
    is_placeholder: bool = False
    refusal: str = ""
    committed_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFile:
    """`.env` in the working directory.

    Attributes:
        mode: its permissions; None where there is no such file, or no such thing.
        in_repository: whether this folder is part of a git repository.
        is_ignored: whether git would leave it out.
        is_tracked: whether git has it.
    """

    exists: bool = False
    mode: int | None = None
    in_repository: bool = False
    is_ignored: bool = False
    is_tracked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """How an app answers pages of other origins."""

    any_origin: bool
    with_credentials: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieRoute:
    """A route that changes something and reads a cookie by itself, without a guard of limen's."""

    route: str
    cookies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What the loaded app is made of.

    Attributes:
        unguarded: neither guarded nor public on purpose.
        docs: paths at which its OpenAPI document and its pages are open to everyone.
    """

    features: frozenset[str] = frozenset()
    unguarded: tuple[MappedRoute, ...] = ()
    docs: tuple[str, ...] = ()
    cookie_routes: tuple[CookieRoute, ...] = ()
    cors: tuple[Cors, ...] = ()
    debug: bool = False
    audiences: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """What one password hash costs, by its figures and in this machine's processor time."""

    memory_kib: int
    iterations: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What became of a token that was made for the trial, and of forged ones.

    Attributes:
        failure: why the genuine one was refused; empty when it was accepted, or the app makes none.
        accepted: the forged ones that were accepted, by what they tried.
    """

    failure: str = ""
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSecret:
    """A column that holds what should be a digest or sealed."""

    table: str
    column: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The database that the app names.

    Attributes:
        url: without its password.
        outage: why it cannot be reached.
        lacks: what `limen migrate` would mend.
        clock_ahead: seconds by which its clock is ahead of the app's; None where it could not be asked.
    """

    url: str
    is_sqlite: bool = False
    outage: str = ""
    lacks: str = ""
    clock_ahead: float | None = None
    plain_secrets: tuple[PlainSecret, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A server beside the app: Redis, mail.

    Attributes:
        address: without its password.
        outage: why it cannot be reached; empty when it answered or was not asked.
        is_local: whether it is on this machine.
        is_encrypted: whether the connection is.
        has_password: whether one is sent.
    """

    address: str
    outage: str = ""
    is_local: bool = True
    is_encrypted: bool = False
    has_password: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Supabase:
    """The Supabase project that the settings name.

    Attributes:
        url: its address.
        is_exposed: plain http to another machine.
        outage: why it cannot be reached; empty when it answered or was not asked.
        bad_keys: why its key set cannot be used.
        key_kinds: the algorithms of its key set.
        has_legacy_secret: whether `LIMEN_SUPABASE_JWT_SECRET` is set.
        has_service_key: whether the key that is set passes every row-level policy.
    """

    url: str
    is_exposed: bool = False
    outage: str = ""
    bad_keys: str = ""
    key_kinds: tuple[str, ...] = ()
    has_legacy_secret: bool = False
    has_service_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the rules see. What could not be looked at is None or empty, and no rule speaks of it.

    Attributes:
        name: of the app: `main:app`.
        packages: installed versions by name.
        needed: the lowest version that limen takes, by name.
        settings: None when they cannot be read, which `settings_failure` says.
        unknown_settings: names that nothing reads, with the nearest one that something does.
        forwarded_allow_ips: of uvicorn, from the environment.
        load_failure: why the app could not be loaded.
        issuer_clock_ahead: seconds by which the issuer's `Date` is ahead of this machine.
        reported: what the app's features say themselves.
    """

    name: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    needed: Mapping[str, str] = field(default_factory=dict)
    sources: Sources = Sources()
    secret: Secret = Secret()
    env_file: EnvFile = EnvFile()
    settings: AuthSettings | None = None
    settings_failure: str = ""
    unknown_settings: tuple[tuple[str, str], ...] = ()
    forwarded_allow_ips: str = ""
    load_failure: str = ""
    app: App | None = None
    hashing: Hashing | None = None
    tokens: Tokens | None = None
    issuer_clock_ahead: float | None = None
    database: Database | None = None
    redis: Neighbour | None = None
    mail: Neighbour | None = None
    supabase: Supabase | None = None
    reported: tuple[Finding, ...] = ()

    @property
    def is_public(self) -> bool:
        """Whether people reach it from elsewhere, by its base URL."""
        return self.settings is not None and not is_loopback(self.settings.base_url)


def is_loopback(url: str) -> bool:
    """Whether this address is the machine itself."""
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")
