"""Where users come from: `products` says what each app's columns mean, `databases` and `files` read the rows."""

from limen.features.imports.sources.databases import DatabaseRows
from limen.features.imports.sources.files import CsvRows, FirebaseRows, JsonLines, rows_of_file
from limen.features.imports.sources.products import (
    BetterAuth,
    Django,
    FastapiUsers,
    Firebase,
    HashConfig,
    Plain,
    Product,
    Supabase,
    Users,
)

__all__ = [
    "BetterAuth",
    "CsvRows",
    "DatabaseRows",
    "Django",
    "FastapiUsers",
    "Firebase",
    "FirebaseRows",
    "HashConfig",
    "JsonLines",
    "Plain",
    "Product",
    "Supabase",
    "Users",
    "rows_of_file",
]
