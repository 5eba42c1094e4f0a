"""Objections of data subjects."""
