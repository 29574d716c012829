"""All rows about the definitions, and who judges them."""

from __future__ import annotations

from support.crds.api import Cause, CrdApi
from support.crds.live_rows import UPDATES, status_rows
from support.crds.manifests import Row
from support.crds.phase_rows import PHASE
from support.crds.policy_rows import POLICY
from support.crds.rows import IMAGES
from support.crds.rule_rows import rule_rows

REFUSED = [*POLICY, *PHASE, *IMAGES, *rule_rows()]
ROWS = [*REFUSED, *UPDATES, *status_rows()]


class ManifestChecker:
    """Checks rows at the API server; the objects of updates are created once."""

    def __init__(self, api: CrdApi) -> None:
        self._api = api
        self._there: set[tuple[str, str]] = set()

    def causes(self, row: Row) -> tuple[Cause, ...]:
        if row.how == "create":
            return self._api.create(row.manifest)
        key = (row.base, row.how)
        if key not in self._there:
            assert self._api.create(row.before, dry_run=False) == ()
            self._there.add(key)
        return self._api.update(row.manifest) if row.how == "update" else self._api.update_status(row.manifest)
