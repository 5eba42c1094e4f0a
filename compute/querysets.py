"""Reads of this app's tables that more than one caller needs."""

from collections.abc import Collection
from datetime import date, datetime
from typing import TYPE_CHECKING

from django.db import models

from compute.protocol import notices
from compute.states import OPEN_TASKS, RUNNING, ComputationState, ConsentState, TaskState
from exchange.kernel import identifiers

if TYPE_CHECKING:
    from compute import models as tables
    from exchange.members.models import Organization


class ComputationQuerySet(models.QuerySet["tables.Computation"]):
    """Computations, and how they are locked."""

    def locked(self) -> "ComputationQuerySet":
        """Rows held until the transaction ends; another worker waits."""
        return self.select_for_update(no_key=True, of=("self",))

    def locked_if_free(self) -> "ComputationQuerySet":
        """Rows held until the transaction ends; those another worker holds are left to it."""
        return self.select_for_update(no_key=True, skip_locked=True, of=("self",))

    def in_states(self, states: Collection[ComputationState]) -> "ComputationQuerySet":
        return self.filter(state__in=[state.value for state in states])

    def by_ref(self, ref: str) -> "tables.Computation | None":
        """The computation of a reference, or None."""
        return self.filter(ref=ref).first()

    def to_advance(self) -> "ComputationQuerySet":
        """Those a pass might move without anyone else acting, oldest first."""
        waiting = (ComputationState.CONSENTING, ComputationState.AUTHORIZED, ComputationState.EXECUTING)
        unreceipted = models.Q(state=ComputationState.RELEASED.value, result__receipt__isnull=True)
        ready = models.Q(state__in=[state.value for state in (*waiting, ComputationState.SEALED)])
        return self.filter(ready | unreceipted).order_by("created", "pk")

    def at_nodes_of(self, organizations: Collection[str]) -> "ComputationQuerySet":
        """Dispatched or running ones with an open task at a node of one of these organisations, by URN."""
        refs = [identifiers.parse_urn(urn, kind="org") for urn in organizations]
        still = [state.value for state in OPEN_TASKS]
        return self.in_states(RUNNING).filter(tasks__organization__ref__in=refs, tasks__state__in=still).distinct()

    def overdue(self, now: datetime) -> "ComputationQuerySet":
        return self.filter(deadline__lte=now)

    def seen_by(self, organization: "Organization") -> "ComputationQuerySet":
        """Those an organisation takes part in: as buyer, or as a party of the contract."""
        involved = models.Q(buyer=organization) | models.Q(consents__organization=organization)
        return self.filter(involved).distinct()

    def with_parties(self) -> "ComputationQuerySet":
        return self.select_related("contract", "buyer").prefetch_related(
            "tasks__organization", "consents__organization"
        )


class ConsentQuerySet(models.QuerySet["tables.Consent"]):
    """Consents."""

    def awaited_of(self, organization: "Organization") -> "ConsentQuerySet":
        """What this organisation's node should answer now."""
        return self.filter(
            organization=organization,
            state=ConsentState.PENDING.value,
            computation__state=ComputationState.CONSENTING.value,
        )


class NodeTaskQuerySet(models.QuerySet["tables.NodeTask"]):
    """Tasks, and how they are locked."""

    def locked(self) -> "NodeTaskQuerySet":
        return self.select_for_update(no_key=True, of=("self",))

    def in_states(self, states: Collection[TaskState]) -> "NodeTaskQuerySet":
        return self.filter(state__in=[state.value for state in states])

    def lapsed(self, now: datetime) -> "NodeTaskQuerySet":
        """Leased tasks whose lease has run out."""
        leased = (TaskState.CLAIMED, TaskState.READY, TaskState.RUNNING)
        return self.in_states(leased).filter(lease_until__lte=now)


class DataNodeQuerySet(models.QuerySet["tables.DataNode"]):
    """Nodes."""

    def heard_since(self, moment: datetime) -> "DataNodeQuerySet":
        return self.filter(last_seen__gte=moment)


class NoticeBatchQuerySet(models.QuerySet["tables.NoticeBatch"]):
    """Batches of notices to data subjects."""

    def with_token(self, token: bytes) -> "NoticeBatchQuerySet":
        """The published batch that a token was sealed in: one or none."""
        return self.filter(tokens__digest=notices.token_digest(token), published__isnull=False)

    def since(self, day: date) -> "NoticeBatchQuerySet":
        """Published on this day or later, in an order that tells nothing within a day."""
        return self.filter(published__gte=day).order_by("published", "ref")


class SeenMessageQuerySet(models.QuerySet["tables.SeenMessage"]):
    """Nonces."""

    def older_than(self, moment: datetime) -> "SeenMessageQuerySet":
        return self.filter(seen_at__lt=moment)
