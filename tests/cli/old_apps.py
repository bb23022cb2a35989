"""What other apps leave behind: made by the real ones where they run beside limen, by their documentation elsewhere."""

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path

DATA = Path(__file__).parent / "data"
FASTAPI_USERS_PASSWORDS = {
    "ada@example.com": "three tall ships",
    "bea@example.com": "café au lait, sil vous plaît",
    "cleo@example.com": "six red apples",
}

_DJANGO = """
import sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": sys.argv[1],
            "OPTIONS": {"init_command": "PRAGMA synchronous=OFF"},
        }
    },
    MIGRATION_MODULES={"auth": None, "contenttypes": None},  # the tables at once, as the migrations leave them
    PASSWORD_HASHERS=[
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.Argon2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ],
    USE_TZ=True,
)
django.setup()
from django.contrib.auth import hashers
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command

# As if they had registered on a machine of long ago.
hashers.PBKDF2PasswordHasher.iterations = 1000
hashers.BCryptSHA256PasswordHasher.rounds = 4
hashers.ScryptPasswordHasher.work_factor = 16
hashers.Argon2PasswordHasher.memory_cost = 64
hashers.Argon2PasswordHasher.parallelism = 1
call_command("migrate", verbosity=0, run_syncdb=True)
User.objects.create_superuser("ada", "Ada@Example.com", "three tall ships", first_name="Ada")
User.objects.create_user("bea", "bea@example.com", "five blue doors")
for name, hasher in (("cleo", "bcrypt_sha256"), ("dora", "scrypt"), ("emil", "argon2")):
    digest = make_password("six red apples", hasher=hasher)
    User.objects.create(username=name, email=f"{name}@example.com", password=digest)
User.objects.create_user("finn", "finn@example.com", None)
User.objects.create_user("gil@example.com", "gil@example.com", "seven grey cats", is_active=False)
User.objects.create_user("nomail", "", "eight old coats")
User.objects.create_user("Bea", "other@example.com", "nine new pens")
User.objects.create_user("a+b", "plus@example.com", "ten long roads")
User.objects.create(username="mia", email="mia@example.com", password=make_password("six red apples", hasher="md5"))
"""


def fastapi_users(folder: Path) -> str:
    """The URL of a database of fastapi-users 15's, with whoever registered there."""
    path = folder / "old.db"
    database = sqlite3.connect(path)
    database.executescript((DATA / "fastapi_users.sql").read_text("utf-8"))
    database.close()
    return f"sqlite+aiosqlite:///{path}"


def fastapi_users_token() -> str:
    """Ada's access token of it, good for a hundred years."""
    found = re.search(r"token of it: (\S+)", (DATA / "fastapi_users.sql").read_text("utf-8"))
    assert found
    return found[1]


def django(folder: Path) -> Path:
    """A SQLite file that Django itself made and filled."""
    path = folder / "django.sqlite3"
    subprocess.run([sys.executable, "-c", _DJANGO, str(path)], check=True, timeout=60)
    return path


def better_auth(folder: Path) -> str:
    """The URL of a SQLite file as better-auth's own migration and its password.ts leave it."""
    salt = "8f1d2c3b4a5968778695a4b3c2d1e0f0"  # the hexadecimal text itself is what scrypt gets
    secret = unicodedata.normalize("NFKC", "\ufb01ve \uff33hips at sea").encode()
    key = hashlib.scrypt(secret, salt=salt.encode(), n=16384, r=16, p=1, maxmem=2**26, dklen=64).hex()
    with sqlite3.connect(folder / "better.db") as database:
        database.executescript(BETTER_AUTH.format(digest=f"{salt}:{key}"))
    database.close()
    return f"sqlite:///{folder / 'better.db'}"


BETTER_AUTH = """
CREATE TABLE "user" ("id" text NOT NULL PRIMARY KEY, "name" text NOT NULL, "email" text NOT NULL UNIQUE,
    "emailVerified" integer NOT NULL, "image" text, "createdAt" date NOT NULL, "updatedAt" date NOT NULL,
    "role" text, "banned" integer);
CREATE TABLE "account" ("id" text NOT NULL PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL,
    "userId" text NOT NULL REFERENCES "user" ("id"), "accessToken" text, "refreshToken" text, "idToken" text,
    "scope" text, "password" text, "createdAt" date NOT NULL, "updatedAt" date NOT NULL);
INSERT INTO "user" VALUES
    ('7Kp2', 'Ada', 'ada@example.com', 1, NULL, '2026-01-02T03:04:05.000Z', '2026-01-02T03:04:05.000Z', 'user', 0),
    ('8Lq3', 'Bea', 'bea@example.com', 1, NULL, 1500000000000, 1500000000000, 'user', NULL),
    ('9Mr4', 'Cleo', 'cleo@example.com', 0, NULL, 1500000000, 1500000000, 'user', 1);
INSERT INTO "account" VALUES
    ('a1', '7Kp2', 'credential', '7Kp2', NULL, NULL, NULL, NULL, '{digest}', '2026-01-02', '2026-01-02'),
    ('a2', '104233', 'google', '8Lq3', 'ya29.x', NULL, NULL, NULL, NULL, '2026-01-02', '2026-01-02'),
    ('a3', '77', 'github', '8Lq3', 'gho_x', NULL, NULL, NULL, NULL, '2026-01-02', '2026-01-02'),
    ('a4', '9Mr4', 'credential', '9Mr4', NULL, NULL, NULL, NULL, '{digest}', '2026-01-02', '2026-01-02');
"""

FIREBASE_CONFIG = """\
hash_config {
  algorithm: SCRYPT,
  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}
"""


def firebase(folder: Path) -> Path:
    """A file as `firebase auth:export` writes it; Ada's hash is that of Firebase's own documentation."""
    users = [
        {
            "localId": "kYi4EvWQlQTKSfnJ3dRSP6IH3ed2",
            "email": "ada@example.com",
            "emailVerified": True,
            "passwordHash": "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
            "salt": "42xEC+ixf3L2lw==",
            "createdAt": "1500000000000",
            "lastSignedInAt": "1600000000000",
            "providerUserInfo": [],
        },
        {
            "localId": "googler",
            "email": "bea@example.com",
            "emailVerified": True,
            "displayName": "Béa 🚢",
            "disabled": True,
            "createdAt": "1500000000000",
            "providerUserInfo": [
                {"providerId": "google.com", "rawId": "1042", "email": "bea@gmail.com"},
                {"providerId": "phone", "rawId": "+49"},
            ],
        },
        {"localId": "anonymous", "createdAt": "1500000000000", "providerUserInfo": []},
        {
            "localId": "redacted",
            "email": "cleo@example.com",
            "passwordHash": "UkVEQUNURUQ=",
            "salt": "",
            "createdAt": "x",
            "providerUserInfo": [],
        },
    ]
    path = folder / "users.json"
    written = ",\n".join(json.dumps(user, indent=2, ensure_ascii=False) for user in users)
    path.write_text('{"users": [\n' + written + "]}\n", "utf-8")
    return path


SUPABASE = """
CREATE SCHEMA auth;
CREATE TABLE auth.users (
    instance_id uuid, id uuid NOT NULL PRIMARY KEY, aud varchar(255), role varchar(255), email varchar(255),
    encrypted_password varchar(255), email_confirmed_at timestamptz, last_sign_in_at timestamptz,
    raw_app_meta_data jsonb, raw_user_meta_data jsonb, is_super_admin boolean, created_at timestamptz,
    updated_at timestamptz, phone text UNIQUE, banned_until timestamptz, is_sso_user boolean NOT NULL DEFAULT false,
    deleted_at timestamptz, is_anonymous boolean NOT NULL DEFAULT false
);
CREATE TABLE auth.identities (
    provider_id text NOT NULL, user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    identity_data jsonb NOT NULL, provider text NOT NULL, last_sign_in_at timestamptz, created_at timestamptz,
    updated_at timestamptz, email text GENERATED ALWAYS AS (lower(identity_data ->> 'email')) STORED,
    id uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY, UNIQUE (provider_id, provider)
);
SET timezone = 'UTC';
INSERT INTO auth.users (id, email, encrypted_password, email_confirmed_at, created_at, banned_until, deleted_at) VALUES
    ('00000000-0000-4000-8000-000000000001', 'ada@example.com', '{digest}', now(), '2020-01-02 03:04:05', NULL, NULL),
    ('00000000-0000-4000-8000-000000000002', 'bea@example.com', '', now(), '2020-01-02 03:04:05', NULL, NULL),
    ('00000000-0000-4000-8000-000000000003', 'cleo@example.com', '{digest}', NULL, now(), '2900-01-01', NULL),
    ('00000000-0000-4000-8000-000000000004', NULL, NULL, NULL, now(), NULL, NULL),
    ('00000000-0000-4000-8000-000000000005', 'gone@example.com', '{digest}', now(), now(), NULL, now());
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider) VALUES
    ('ada', '00000000-0000-4000-8000-000000000001', '{{"email": "ada@example.com"}}', 'email'),
    ('104233', '00000000-0000-4000-8000-000000000002', '{{"sub": "104233", "email": "bea@gmail.com"}}', 'google'),
    ('77', '00000000-0000-4000-8000-000000000002', '{{"sub": "77"}}', 'github');
"""
"""The tables of Supabase Auth, with the columns that its migrations give them, and some people."""
