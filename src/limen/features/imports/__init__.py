"""Accounts of another app, taken over with their passwords: `limen import …`."""

from limen.features.imports.service import BadRow, ExternalIdentity, Imports, OldUser, Report, Source, Terms

__all__ = ["BadRow", "ExternalIdentity", "Imports", "OldUser", "Report", "Source", "Terms"]
