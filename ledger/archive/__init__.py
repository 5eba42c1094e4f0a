"""A log as files that anyone can check without us: no Django, no network, nothing but the proofs.

`layout` says what the files are, `tar` writes and reads them as one, `stores` reads either form, `checks` judges.
Made by `manage.py export_ledger`, judged by `hengshu archive verify`.
"""
