"""Supabase: its access tokens at every guard, its sessions in this app's cookie."""

from limen.features.supabase.feature import Supabase

__all__ = ["Supabase"]
