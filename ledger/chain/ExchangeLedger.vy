# pragma version 0.4.3
# pragma evm-version london
"""
@title Exchange ledger: a witness that refuses a rewritten history
@license Apache-2.0
@notice Holds the newest anchored root of the exchange's Merkle log and takes a newer one only with
        an RFC 6962 consistency proof; holds the providers' grants, their revocations and the
        absolute totals of their use. No proxy and no upgrade: a new version is a new contract that
        starts from its predecessor's last root. Nothing here is decided by wall-clock time, because
        chains disagree about the unit of `block.timestamp`; windows are judged by readers.
"""

struct Grant:
    grantor: address
    terms_digest: bytes32
    not_before: uint64  # Unix seconds, judged by readers
    not_after: uint64  # Unix seconds, judged by readers
    cap: uint64  # most units that may ever be used
    used: uint64  # units used so far, an absolute total
    revoked_at: uint64  # number of the block that revoked it; 0 while in force


interface Predecessor:
    def size() -> uint64: view
    def root() -> bytes32: view


event Anchored:
    size: indexed(uint64)
    root: bytes32
    old_size: uint64


event Granted:
    id: indexed(bytes32)
    grantor: indexed(address)
    terms_digest: indexed(bytes32)
    not_before: uint64
    not_after: uint64
    cap: uint64


event Revoked:
    id: indexed(bytes32)
    grantor: indexed(address)


event Voided:
    signer: indexed(address)
    digest: indexed(bytes32)


event Metered:
    id: indexed(bytes32)
    used: uint64


event LogKeyChanged:
    old: indexed(bytes32)
    new: indexed(bytes32)


event RoleChanged:
    role: indexed(String[8])
    holder: indexed(address)
    allowed: bool


event AdminOffered:
    to: indexed(address)


event AdminChanged:
    old: indexed(address)
    new: indexed(address)


DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
NAME: constant(bytes32) = keccak256("HengshuExchangeLedger")
VERSION: constant(bytes32) = keccak256("1")
GRANT_TYPE: constant(bytes32) = keccak256(
    "Grant(address grantor,bytes32 termsDigest,uint64 notBefore,uint64 notAfter,uint64 cap)"
)
REVOKE_TYPE: constant(bytes32) = keccak256("Revoke(bytes32 id)")
VOID_TYPE: constant(bytes32) = keccak256("Void(address signer,bytes32 digest)")
# Half of secp256k1's order: a signature and its mirror image must not both be accepted.
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
MAX_PROOF: constant(uint256) = 128  # enough for logs of 2^63 leaves
MAX_BATCH: constant(uint256) = 250

size: public(uint64)
root: public(bytes32)
root_at: public(HashMap[uint64, bytes32])
grants: public(HashMap[bytes32, Grant])
voided: public(HashMap[address, HashMap[bytes32, bool]])
admin: public(address)
pending_admin: public(address)
anchorers: public(HashMap[address, bool])
recorders: public(HashMap[address, bool])
log_key_hash: public(bytes32)
predecessor: public(address)
predecessor_size: public(uint64)


@deploy
def __init__(admin: address, anchorer: address, recorder: address, log_key_hash: bytes32, predecessor: address):
    """
    @param log_key_hash SHA-256 of the log's public key text, so that a change of key is visible.
    @param predecessor The contract this one continues, or the zero address for a new history.
    """
    assert admin != empty(address), "ADMIN_EMPTY"
    self.admin = admin
    self.log_key_hash = log_key_hash
    self._set_role("anchorer", anchorer, True)
    self._set_role("recorder", recorder, True)
    log AdminChanged(old=empty(address), new=admin)
    log LogKeyChanged(old=empty(bytes32), new=log_key_hash)
    if predecessor != empty(address):
        self.predecessor = predecessor
        self.size = staticcall Predecessor(predecessor).size()
        self.root = staticcall Predecessor(predecessor).root()
        self.predecessor_size = self.size
        self.root_at[self.size] = self.root


# --- the log ---------------------------------------------------------------------------------------


@external
def anchor(old_size: uint64, new_size: uint64, new_root: bytes32, proof: DynArray[bytes32, MAX_PROOF]):
    """
    @notice Move from the anchored root to a newer one of the same log. Sending it again is harmless.
    @param old_size The anchored size the proof starts from; anything else is refused.
    @param proof RFC 6962 consistency proof between the two sizes; empty when nothing is anchored.
    """
    assert self.anchorers[msg.sender], "NOT_ANCHORER"
    assert new_size > old_size, "NOT_NEWER"
    if new_size == self.size and new_root == self.root:
        return
    assert old_size == self.size, "SIZE_MOVED"
    if old_size == 0:
        assert len(proof) == 0, "PROOF_NOT_EMPTY"
    else:
        self._check_consistency(old_size, new_size, self.root, new_root, proof)
    self.size = new_size
    self.root = new_root
    self.root_at[new_size] = new_root
    log Anchored(size=new_size, root=new_root, old_size=old_size)


@pure
@internal
def _check_consistency(
    old_size: uint64, new_size: uint64, old_root: bytes32, new_root: bytes32, proof: DynArray[bytes32, MAX_PROOF]
):
    # RFC 9162, section 2.1.4.2. The two nodes walk from the last leaves of both trees to their roots.
    fn: uint256 = convert(old_size, uint256) - 1
    sn: uint256 = convert(new_size, uint256) - 1
    for i: uint256 in range(64):
        if fn & 1 == 0:
            break
        fn = fn >> 1
        sn = sn >> 1
    first: uint256 = 0
    seed: bytes32 = old_root  # the old tree is complete: its root is the starting node
    if fn != 0:
        assert len(proof) > 0, "PROOF_SHORT"
        seed = proof[0]
        first = 1
    fr: bytes32 = seed
    sr: bytes32 = seed
    for i: uint256 in range(MAX_PROOF):
        if first + i >= len(proof):
            break
        node: bytes32 = proof[first + i]
        assert sn != 0, "PROOF_LONG"
        if fn & 1 == 1 or fn == sn:
            fr = sha256(concat(b"\x01", node, fr))
            sr = sha256(concat(b"\x01", node, sr))
            for j: uint256 in range(64):
                if fn & 1 == 1 or fn == 0:
                    break
                fn = fn >> 1
                sn = sn >> 1
        else:
            sr = sha256(concat(b"\x01", sr, node))
        fn = fn >> 1
        sn = sn >> 1
    assert sn == 0, "PROOF_SHORT"
    assert fr == old_root, "OLD_ROOT_DIFFERS"
    assert sr == new_root, "NEW_ROOT_DIFFERS"


# --- grants ----------------------------------------------------------------------------------------


@external
def grant(terms_digest: bytes32, not_before: uint64, not_after: uint64, cap: uint64) -> bytes32:
    """
    @notice Grant use under the terms with this digest; the sender is the grantor.
    """
    return self._grant(msg.sender, terms_digest, not_before, not_after, cap)


@external
def grant_by_signature(
    grantor: address, terms_digest: bytes32, not_before: uint64, not_after: uint64, cap: uint64, signature: Bytes[65]
) -> bytes32:
    """
    @notice Record a grant that the grantor signed (EIP-712 `Grant`); anyone may carry it here.
    """
    message: bytes32 = keccak256(abi_encode(GRANT_TYPE, grantor, terms_digest, not_before, not_after, cap))
    self._check_signature(grantor, message, signature)
    return self._grant(grantor, terms_digest, not_before, not_after, cap)


@external
def revoke(id: bytes32):
    """
    @notice End a grant for good; only its grantor can.
    """
    assert self.grants[id].grantor == msg.sender, "NOT_GRANTOR"
    self._revoke(id)


@external
def revoke_by_signature(id: bytes32, signature: Bytes[65]):
    """
    @notice End a grant with its grantor's signature (EIP-712 `Revoke`); anyone may carry it here.
    """
    grantor: address = self.grants[id].grantor
    assert grantor != empty(address), "NO_GRANT"
    self._check_signature(grantor, keccak256(abi_encode(REVOKE_TYPE, id)), signature)
    self._revoke(id)


@external
def void(digest: bytes32):
    """
    @notice Withdraw one's own statement that only ever stood in the log; it cannot be undone.
    """
    self._void(msg.sender, digest)


@external
def void_by_signature(signer: address, digest: bytes32, signature: Bytes[65]):
    """
    @notice Withdraw a statement with its signer's signature (EIP-712 `Void`).
    """
    self._check_signature(signer, keccak256(abi_encode(VOID_TYPE, signer, digest)), signature)
    self._void(signer, digest)


@external
def meter(id: bytes32, used: uint64):
    """
    @notice Raise a grant's total use; totals are absolute, so sending one again is harmless.
    """
    assert self.recorders[msg.sender], "NOT_RECORDER"
    self._meter(id, used)


@external
def meter_batch(ids: DynArray[bytes32, MAX_BATCH], totals: DynArray[uint64, MAX_BATCH]):
    """
    @notice Raise several totals; all of them or none.
    """
    assert self.recorders[msg.sender], "NOT_RECORDER"
    assert len(ids) == len(totals), "LENGTHS_DIFFER"
    for i: uint256 in range(len(ids), bound=MAX_BATCH):
        self._meter(ids[i], totals[i])


@view
@external
def grant_id(grantor: address, terms_digest: bytes32) -> bytes32:
    """
    @notice The id under which a grantor's grant for these terms stands.
    """
    return keccak256(abi_encode(grantor, terms_digest))


@view
@external
def domain_separator() -> bytes32:
    """
    @notice The EIP-712 domain on this chain; computed each time, so that a forked chain has its own.
    """
    return self._domain()


@internal
def _grant(grantor: address, terms_digest: bytes32, not_before: uint64, not_after: uint64, cap: uint64) -> bytes32:
    id: bytes32 = keccak256(abi_encode(grantor, terms_digest))
    found: Grant = self.grants[id]
    if found.grantor != empty(address):
        assert found.revoked_at == 0, "GRANT_REVOKED"
        assert found.not_before == not_before and found.not_after == not_after and found.cap == cap, "GRANT_DIFFERS"
        return id
    assert not_after > not_before, "WINDOW_EMPTY"
    assert cap > 0, "CAP_ZERO"
    assert not self.voided[grantor][terms_digest], "TERMS_VOIDED"
    self.grants[id] = Grant(
        grantor=grantor,
        terms_digest=terms_digest,
        not_before=not_before,
        not_after=not_after,
        cap=cap,
        used=0,
        revoked_at=0,
    )
    log Granted(
        id=id, grantor=grantor, terms_digest=terms_digest, not_before=not_before, not_after=not_after, cap=cap
    )
    return id


@internal
def _revoke(id: bytes32):
    if self.grants[id].revoked_at != 0:
        return
    self.grants[id].revoked_at = convert(block.number, uint64)
    log Revoked(id=id, grantor=self.grants[id].grantor)


@internal
def _void(signer: address, digest: bytes32):
    if self.voided[signer][digest]:
        return
    self.voided[signer][digest] = True
    log Voided(signer=signer, digest=digest)


@internal
def _meter(id: bytes32, used: uint64):
    found: Grant = self.grants[id]
    assert found.grantor != empty(address), "NO_GRANT"
    assert used >= found.used, "TOTAL_LOWER"
    if used == found.used:
        return
    assert found.revoked_at == 0, "GRANT_REVOKED"
    assert not self.voided[found.grantor][found.terms_digest], "TERMS_VOIDED"
    assert used <= found.cap, "CAP_EXCEEDED"
    self.grants[id].used = used
    log Metered(id=id, used=used)


# --- signatures ------------------------------------------------------------------------------------


@view
@internal
def _domain() -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, self))


@view
@internal
def _check_signature(signer: address, message: bytes32, signature: Bytes[65]):
    assert len(signature) == 65, "SIGNATURE_LENGTH"
    r: uint256 = convert(extract32(signature, 0), uint256)
    s: uint256 = convert(extract32(signature, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    assert s <= HALF_ORDER, "SIGNATURE_HIGH_S"
    assert v == 27 or v == 28, "SIGNATURE_V"
    digest: bytes32 = keccak256(concat(b"\x19\x01", self._domain(), message))
    recovered: address = ecrecover(digest, v, r, s)
    assert recovered != empty(address) and recovered == signer, "SIGNATURE_WRONG"


# --- roles -----------------------------------------------------------------------------------------


@external
def set_anchorer(holder: address, allowed: bool):
    assert msg.sender == self.admin, "NOT_ADMIN"
    self._set_role("anchorer", holder, allowed)


@external
def set_recorder(holder: address, allowed: bool):
    assert msg.sender == self.admin, "NOT_ADMIN"
    self._set_role("recorder", holder, allowed)


@external
def set_log_key(new: bytes32):
    """
    @notice Make a change of the log's signing key visible on chain.
    """
    assert msg.sender == self.admin, "NOT_ADMIN"
    log LogKeyChanged(old=self.log_key_hash, new=new)
    self.log_key_hash = new


@external
def offer_admin(to: address):
    """
    @notice First of two steps; the present admin stays until the other accepts.
    """
    assert msg.sender == self.admin, "NOT_ADMIN"
    self.pending_admin = to
    log AdminOffered(to=to)


@external
def accept_admin():
    assert msg.sender == self.pending_admin, "NOT_OFFERED"
    log AdminChanged(old=self.admin, new=msg.sender)
    self.admin = msg.sender
    self.pending_admin = empty(address)


@internal
def _set_role(role: String[8], holder: address, allowed: bool):
    if role == "anchorer":
        self.anchorers[holder] = allowed
    else:
        self.recorders[holder] = allowed
    log RoleChanged(role=role, holder=holder, allowed=allowed)
