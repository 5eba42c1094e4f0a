# pragma version 0.4.3
# pragma evm-version london
"""
@title Exchange ledger: a witness that refuses a rewritten history
@license Apache-2.0
@notice Holds the newest anchored root of the exchange's Merkle log and takes a newer one only with
        an RFC 6962 consistency proof; holds the providers' grants, their revocations and the
        absolute totals of their use. The log runs in shards: opening the next one freezes the
        present one for good. No proxy and no upgrade: a new version is a new contract that
        starts from its predecessor's shard and last root. Nothing here is decided by wall-clock time, because
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


struct Frozen:
    size: uint64  # leaves anchored when the next shard was opened
    root: bytes32
    log_key_hash: bytes32  # the key that was in force at the end


struct LogKey:
    key_hash: bytes32
    from_size: uint64  # size anchored in that shard when the key came into force


interface Predecessor:
    def size() -> uint64: view
    def root() -> bytes32: view


event Anchored:
    shard: indexed(uint64)
    size: indexed(uint64)
    root: bytes32
    old_size: uint64


event ShardOpened:
    shard: indexed(uint64)
    log_key_hash: bytes32
    frozen_size: uint64
    frozen_root: bytes32


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
    shard: uint64
    from_size: uint64


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
NODE: constant(bytes1) = 0x01  # RFC 6962: what an inner node is hashed behind
MAX_PROOF: constant(uint256) = 128  # enough for logs of 2^63 leaves
MAX_BATCH: constant(uint256) = 250

shard: public(uint64)  # the shard that grows; 1 in a new history
size: public(uint64)  # leaves anchored in that shard
root: public(bytes32)
root_in: public(HashMap[uint64, HashMap[uint64, bytes32]])  # shard, size
frozen: public(HashMap[uint64, Frozen])  # by shard
grants: public(HashMap[bytes32, Grant])
voided: public(HashMap[address, HashMap[bytes32, bool]])
admin: public(address)
pending_admin: public(address)
anchorers: public(HashMap[address, bool])
recorders: public(HashMap[address, bool])
log_key_hash: public(bytes32)
log_keys: public(HashMap[uint64, HashMap[uint64, LogKey]])  # shard, position from 0
log_key_count: public(HashMap[uint64, uint64])  # by shard
predecessor: public(address)
predecessor_shard: public(uint64)
predecessor_size: public(uint64)


@deploy
def __init__(admin: address, anchorer: address, recorder: address, log_key_hash: bytes32, predecessor: address):
    """
    @param log_key_hash SHA-256 of the log's public key text, so that a change of key is visible.
    @param predecessor The contract this one continues, or the zero address for a new history.
    """
    assert admin != empty(address), "ADMIN_EMPTY"
    self.admin = admin
    self._set_role("anchorer", anchorer, True)
    self._set_role("recorder", recorder, True)
    self.shard = 1
    if predecessor != empty(address):
        self.predecessor = predecessor
        self.size = staticcall Predecessor(predecessor).size()
        self.root = staticcall Predecessor(predecessor).root()
        self.shard = self._shard_of(predecessor)
        self.predecessor_shard = self.shard
        self.predecessor_size = self.size
        self.root_in[self.shard][self.size] = self.root
    log AdminChanged(old=empty(address), new=admin)
    self._set_log_key(log_key_hash)


@view
@internal
def _shard_of(predecessor: address) -> uint64:
    # A predecessor from before shards has no such function: its whole log was the first.
    answered: bool = False
    answer: Bytes[32] = b""
    answered, answer = raw_call(
        predecessor, method_id("shard()"), max_outsize=32, is_static_call=True, revert_on_failure=False
    )
    if answered and len(answer) == 32:
        return convert(convert(answer, uint256), uint64)
    return 1


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
    old_root: bytes32 = self.root
    size: uint64 = self.size
    if new_size == size and new_root == old_root:
        return
    assert old_size == size, "SIZE_MOVED"
    shard: uint64 = self.shard
    if old_size == 0:
        assert len(proof) == 0, "PROOF_NOT_EMPTY"
        # A belated first root of an earlier shard must not begin a later one: see anchor_first.
        assert shard == 1, "SHARD_UNNAMED"
        self._move(shard, 0, new_size, new_root)
        return
    # RFC 9162, section 2.1.4.2. The two nodes walk from the last leaves of both trees to their roots.
    fn: uint256 = convert(old_size, uint256) - 1
    sn: uint256 = convert(new_size, uint256) - 1
    for i: uint256 in range(64):
        if fn & 1 == 0:
            break
        fn = fn >> 1
        sn = sn >> 1
    fr: bytes32 = old_root  # where the old tree is complete, its root is the starting node
    sr: bytes32 = old_root
    starts: bool = fn != 0  # else the first hash of the proof is
    for node: bytes32 in proof:
        if starts:
            fr = node
            sr = node
            starts = False
            continue
        if fn & 1 != 0:
            fr = sha256(concat(NODE, node, fr))
            sr = sha256(concat(NODE, node, sr))
        elif fn == sn:
            assert sn != 0, "PROOF_LONG"  # fn never exceeds sn: the other branches imply it
            fr = sha256(concat(NODE, node, fr))
            sr = sha256(concat(NODE, node, sr))
            for j: uint256 in range(64):
                if fn & 1 == 1 or fn == 0:
                    break
                fn = fn >> 1
                sn = sn >> 1
        else:
            sr = sha256(concat(NODE, sr, node))
        fn = fn >> 1
        sn = sn >> 1
    assert sn == 0, "PROOF_SHORT"
    assert fr == old_root, "OLD_ROOT_DIFFERS"
    assert sr == new_root, "NEW_ROOT_DIFFERS"
    self._move(shard, old_size, new_size, new_root)


@external
def anchor_first(shard: uint64, new_size: uint64, new_root: bytes32):
    """
    @notice The first root of a shard, which proves nothing about the shard before and so must name its
            own. Sending it again is harmless.
    """
    assert self.anchorers[msg.sender], "NOT_ANCHORER"
    assert shard == self.shard, "SHARD_MOVED"
    assert new_size > 0, "NOT_NEWER"
    size: uint64 = self.size
    if new_size == size and new_root == self.root:
        return
    assert size == 0, "SIZE_MOVED"
    self._move(shard, 0, new_size, new_root)


@external
def open_shard(number: uint64, log_key_hash: bytes32):
    """
    @notice Freeze the present shard as it stands anchored and begin the next one, empty. It cannot be
            undone. Sending it again is harmless.
    @param number The new shard's number, one more than the present; anything else is refused.
    @param log_key_hash SHA-256 of the new shard's public key text.
    """
    assert msg.sender == self.admin, "NOT_ADMIN"
    present: uint64 = self.shard
    if number == present and log_key_hash == self.log_keys[present][0].key_hash:
        return
    assert number == present + 1, "SHARD_MOVED"
    ended: Frozen = Frozen(size=self.size, root=self.root, log_key_hash=self.log_key_hash)
    self.frozen[present] = ended
    self.shard = number
    self.size = 0
    self.root = empty(bytes32)
    log ShardOpened(shard=number, log_key_hash=log_key_hash, frozen_size=ended.size, frozen_root=ended.root)
    self._set_log_key(log_key_hash)


@view
@external
def root_at(size: uint64) -> bytes32:
    """
    @notice The root anchored at this size of the present shard; zero when none was.
    """
    return self.root_in[self.shard][size]


@internal
def _move(shard: uint64, old_size: uint64, new_size: uint64, new_root: bytes32):
    self.size = new_size
    self.root = new_root
    self.root_in[shard][new_size] = new_root
    log Anchored(shard=shard, size=new_size, root=new_root, old_size=old_size)


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


@pure
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
    @notice Make a change of the log's signing key within a shard visible on chain. Setting the key
            that is in force is harmless.
    """
    assert msg.sender == self.admin, "NOT_ADMIN"
    if new != self.log_key_hash:
        self._set_log_key(new)


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


@internal
def _set_log_key(new: bytes32):
    shard: uint64 = self.shard
    position: uint64 = self.log_key_count[shard]
    self.log_keys[shard][position] = LogKey(key_hash=new, from_size=self.size)
    self.log_key_count[shard] = position + 1
    log LogKeyChanged(old=self.log_key_hash, new=new, shard=shard, from_size=self.size)
    self.log_key_hash = new
