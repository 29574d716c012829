"""The lists of images: verified images stay, revoked ones are removed, and listed ones need no verifier."""

from __future__ import annotations

from typing import Any

import msgspec

from titan_operator.admission.rules.verified_images import (
    listed_verdict,
    merge_lists,
    revocation_reason,
    with_revocation,
)
from titan_operator.api.verified_images import MAX_IMAGES, PinnedImage, RevokedImage, VerifiedImage, VerifiedImagesSpec
from titan_operator.supplychain.verdict import REVOKED, TrustTerms, Verdict

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
POLICY, OTHER_POLICY = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
TERMS = TrustTerms(POLICY)


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _image(number: int) -> str:
    return f"r/i@{_digest(number)}"


def _good(number: int, policy: str = POLICY, key: str = "release") -> dict[str, Verdict]:
    evidence = {"verifiedBy": key, "trustPolicy": policy}
    return {_image(number): Verdict(True, _digest(number), evidence=evidence)}


def _bad(number: int, reason: str) -> dict[str, Verdict]:
    return {_image(number): Verdict(False, _digest(number), reason, f"{reason} is why")}


def _listed(*numbers: int) -> VerifiedImagesSpec:
    lists = VerifiedImagesSpec()
    for number in numbers:
        lists = merge_lists(lists, _good(number), TERMS, NOW, None)
    return lists


def _digests(lists: VerifiedImagesSpec) -> list[str]:
    return [item.digest for item in lists.images]


def test_what_is_verified_is_listed_once_with_its_provenance() -> None:
    lists = merge_lists(_listed(1), _good(1), TERMS, LATER, None)
    assert lists.images == (
        VerifiedImage(digest=_digest(1), image=_image(1), verified_by="release", verified_at=NOW, trust_policy=POLICY),
    )


def test_another_trust_policy_verifies_anew_and_says_so() -> None:
    lists = merge_lists(_listed(1), _good(1, OTHER_POLICY, "second"), TrustTerms(OTHER_POLICY), LATER, None)
    (entry,) = lists.images
    assert (entry.verified_by, entry.verified_at, entry.trust_policy) == ("second", LATER, OTHER_POLICY)


def test_what_is_listed_under_the_policy_in_force_is_known_and_nothing_else() -> None:
    lists = _listed(1)
    verdict = listed_verdict(_image(1), lists, TERMS)
    assert verdict is not None
    assert verdict.verified
    assert verdict.evidence == {"verifiedBy": "release", "trustPolicy": POLICY, "verifiedAt": NOW}
    assert listed_verdict(_image(2), lists, TERMS) is None
    assert listed_verdict(_image(1), lists, TrustTerms(OTHER_POLICY)) is None
    assert listed_verdict(_image(1), lists, TrustTerms()) is None


def test_an_entry_without_a_policy_is_never_known_where_there_is_none() -> None:
    lists = VerifiedImagesSpec(images=(VerifiedImage(digest=_digest(1)),))
    assert listed_verdict(_image(1), lists, TrustTerms()) is None


def test_what_cannot_be_verified_anew_stays_listed() -> None:
    lists = _listed(1)
    for reason in ("KeyExpired", "RegistryUnreachable", "NoSignature", "NoTrustPolicy"):
        assert merge_lists(lists, _bad(1, reason), TrustTerms(OTHER_POLICY), LATER, None) == lists, reason


def test_a_revoked_digest_goes_whoever_asks_for_it_and_is_written_down() -> None:
    terms = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}))
    lists = merge_lists(_listed(1, 2), {}, terms, LATER, None)
    assert _digests(lists) == [_digest(2)]
    (entry,) = lists.revoked
    assert (entry.digest, entry.revoked_at, entry.trust_policy) == (_digest(1), LATER, OTHER_POLICY)
    assert entry.message == f"{_digest(1)} is in revokedDigests of the trust policy {OTHER_POLICY}"
    verdict = listed_verdict(_image(1), lists, terms)
    assert verdict is not None
    assert (verdict.verified, verdict.reason, verdict.message) == (False, REVOKED, entry.message)


def test_a_revoked_digest_stays_off_whatever_a_verdict_says() -> None:
    terms = TrustTerms(POLICY, revoked_digests=frozenset({_digest(1)}))
    assert merge_lists(VerifiedImagesSpec(), _good(1), terms, NOW, None).images == ()


def test_a_verdict_under_a_policy_that_is_not_in_force_any_more_lists_nothing() -> None:
    assert merge_lists(VerifiedImagesSpec(), _good(1, OTHER_POLICY), TERMS, NOW, None).images == ()


def test_what_only_a_revoked_key_signed_goes_and_what_another_signed_stays() -> None:
    terms = TrustTerms(OTHER_POLICY, revoked_keys=frozenset({"release"}))
    lists = merge_lists(_listed(1, 2), _good(2, OTHER_POLICY, "second") | _bad(1, "NoSignature"), terms, LATER, None)
    assert [(item.digest, item.verified_by) for item in lists.images] == [(_digest(2), "second")]
    assert [item.digest for item in lists.revoked] == [_digest(1)]
    assert "signed by release, a key that the trust policy" in lists.revoked[0].message


def test_a_revocation_outlives_what_made_it_until_it_is_verified_anew() -> None:
    revoked = TrustTerms(OTHER_POLICY, revoked_digests=frozenset({_digest(1)}))
    lists = merge_lists(_listed(1), {}, revoked, LATER, None)
    # The digest is not in revokedDigests any more.
    assert listed_verdict(_image(1), lists, TERMS) is None
    away = with_revocation(_image(1), _bad(1, "RegistryUnreachable")[_image(1)], lists, TERMS)
    assert away.reason == REVOKED
    assert away.message.endswith("; now: RegistryUnreachable: RegistryUnreachable is why")
    lists = merge_lists(lists, _good(1), TERMS, LATER, None)
    assert (_digests(lists), lists.revoked) == ([_digest(1)], ())


def test_judged_leaves_other_verdicts_as_they_are() -> None:
    for verdict in (*_good(1).values(), *_bad(1, "NoSignature").values(), *_bad(1, REVOKED).values()):
        assert with_revocation(_image(1), verdict, _listed(2), TERMS) is verdict


def test_a_verifier_that_says_revoked_takes_off_the_list() -> None:
    lists = merge_lists(_listed(1), _bad(1, REVOKED), TERMS, LATER, None)
    assert (lists.images, lists.revoked[0].message) == ((), "Revoked is why")


def test_what_is_pinned_is_listed_for_data_namespaces_only_and_can_be_revoked() -> None:
    terms = TrustTerms(POLICY, infrastructure=(_image(7),))
    lists = merge_lists(VerifiedImagesSpec(), {}, terms, NOW, None)
    assert lists.images == ()
    assert lists.infrastructure == (PinnedImage(digest=_digest(7), image=_image(7), trust_policy=POLICY),)
    # No longer pinned: an evicted PostgreSQL must be able to come back.
    assert merge_lists(lists, {}, TrustTerms(OTHER_POLICY), LATER, None) == lists
    gone = merge_lists(
        lists, {}, TrustTerms(OTHER_POLICY, frozenset({_digest(7)}), frozenset(), (_image(7),)), LATER, None
    )
    assert gone.infrastructure == ()
    assert [item.digest for item in gone.revoked] == [_digest(7)]


def test_a_full_list_forgets_the_oldest_that_nobody_uses_and_nothing_while_that_is_not_known() -> None:
    full = VerifiedImagesSpec(images=tuple(VerifiedImage(digest=_digest(number)) for number in range(MAX_IMAGES)))
    assert len(merge_lists(full, _good(1000), TERMS, NOW, None).images) == MAX_IMAGES + 1
    used = frozenset({_digest(0), _digest(1), _digest(1000)})
    kept = _digests(merge_lists(full, _good(1000), TERMS, NOW, used))
    assert len(kept) == MAX_IMAGES
    assert kept[:2] == [_digest(0), _digest(1)]
    assert _digest(2) not in kept
    assert kept[-1] == _digest(1000)


def test_nothing_is_revoked_of_what_nobody_knows() -> None:
    assert revocation_reason(_digest(1), _listed(2), TERMS) == ""
    one = RevokedImage(digest=_digest(1), message="it was bad", revoked_at=NOW)
    assert revocation_reason(_digest(1), VerifiedImagesSpec(revoked=(one,)), TERMS) == "it was bad"


def test_the_lists_are_written_as_the_api_server_keeps_them() -> None:
    terms = TrustTerms(POLICY, frozenset({_digest(2)}), frozenset(), (_image(7),))
    lists = merge_lists(_listed(1, 2), {}, terms, LATER, None)
    written: dict[str, Any] = msgspec.to_builtins(lists)
    assert sorted(written) == ["images", "infrastructure", "revoked"]
    assert msgspec.convert(written, VerifiedImagesSpec) == lists
