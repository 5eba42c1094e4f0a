"""News of members for the apps above: sent by actions, inside their transaction.

`key_revoked` carries `key` (the SigningKey, just withdrawn) and `now`.
"""

from django.dispatch import Signal

key_revoked = Signal()
