// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

interface ILedgerBefore {
    function size() external view returns (uint64);
    function root() external view returns (bytes32);
}

/// @title The exchange ledger a second time, in Solidity
/// @notice `ledger/chain/ExchangeLedger.vy` is what is deployed. This contract has the same functions, events,
///         refusals and order of checks, written anew from their description, for two kinds of reader: an auditor
///         of FISCO-BCOS or ChainMaker who reads Solidity only, and the test that sends both contracts the same
///         calls and compares every answer. Names follow the ABI, hence the underscores.
contract ExchangeLedgerTwin {
    struct Grant {
        address grantor;
        bytes32 terms_digest;
        uint64 not_before;
        uint64 not_after;
        uint64 cap;
        uint64 used;
        uint64 revoked_at;
    }

    struct Frozen {
        uint64 size;
        bytes32 root;
        bytes32 log_key_hash;
    }

    struct LogKey {
        bytes32 key_hash;
        uint64 from_size;
    }

    event Anchored(uint64 indexed shard, uint64 indexed size, bytes32 root, uint64 old_size);
    event ShardOpened(uint64 indexed shard, bytes32 log_key_hash, uint64 frozen_size, bytes32 frozen_root);
    event Granted(
        bytes32 indexed id,
        address indexed grantor,
        bytes32 indexed terms_digest,
        uint64 not_before,
        uint64 not_after,
        uint64 cap
    );
    event Revoked(bytes32 indexed id, address indexed grantor);
    event Voided(address indexed signer, bytes32 indexed digest);
    event Metered(bytes32 indexed id, uint64 used);
    event LogKeyChanged(bytes32 indexed old, bytes32 indexed new_, uint64 shard, uint64 from_size);
    event RoleChanged(string indexed role, address indexed holder, bool allowed);
    event AdminOffered(address indexed to);
    event AdminChanged(address indexed old, address indexed new_);

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant GRANT_TYPE =
        keccak256("Grant(address grantor,bytes32 termsDigest,uint64 notBefore,uint64 notAfter,uint64 cap)");
    bytes32 private constant REVOKE_TYPE = keccak256("Revoke(bytes32 id)");
    bytes32 private constant VOID_TYPE = keccak256("Void(address signer,bytes32 digest)");
    // Half the order of secp256k1, rounded down: a signature and its mirror image must not both be accepted.
    uint256 private constant HALF_ORDER =
        (0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - 1) / 2;

    address public admin;
    address public pending_admin;
    mapping(address => bool) public anchorers;
    mapping(address => bool) public recorders;

    uint64 public shard = 1;
    uint64 public size;
    bytes32 public root;
    mapping(uint64 shardNumber => mapping(uint64 treeSize => bytes32)) public root_in;
    mapping(uint64 shardNumber => Frozen) public frozen;

    bytes32 public log_key_hash;
    mapping(uint64 shardNumber => mapping(uint64 position => LogKey)) public log_keys;
    mapping(uint64 shardNumber => uint64) public log_key_count;

    mapping(bytes32 id => Grant) public grants;
    mapping(address signer => mapping(bytes32 digest => bool)) public voided;

    address public predecessor;
    uint64 public predecessor_shard;
    uint64 public predecessor_size;

    modifier onlyAdmin() {
        require(msg.sender == admin, "NOT_ADMIN");
        _;
    }

    modifier onlyAnchorer() {
        require(anchorers[msg.sender], "NOT_ANCHORER");
        _;
    }

    modifier onlyRecorder() {
        require(recorders[msg.sender], "NOT_RECORDER");
        _;
    }

    /// The deployed program has a fixed room for signatures; longer ones do not get as far as a reason.
    modifier fits(bytes calldata signature) {
        require(signature.length <= 65);
        _;
    }

    constructor(address first_admin, address anchorer, address recorder, bytes32 key_hash, address before) {
        require(first_admin != address(0), "ADMIN_EMPTY");
        admin = first_admin;
        _setAnchorer(anchorer, true);
        _setRecorder(recorder, true);
        if (before != address(0)) {
            predecessor = before;
            size = predecessor_size = ILedgerBefore(before).size();
            root = ILedgerBefore(before).root();
            shard = predecessor_shard = _shardOf(before);
            root_in[shard][size] = root;
        }
        emit AdminChanged(address(0), first_admin);
        _setLogKey(key_hash);
    }

    // ------------------------------------------------------------------ log

    function anchor(uint64 old_size, uint64 new_size, bytes32 new_root, bytes32[] calldata proof) external {
        require(proof.length <= 128);
        require(anchorers[msg.sender], "NOT_ANCHORER");
        require(old_size < new_size, "NOT_NEWER");
        if (_isHeld(new_size, new_root)) return;
        require(size == old_size, "SIZE_MOVED");
        if (old_size == 0) {
            require(proof.length == 0, "PROOF_NOT_EMPTY");
            require(shard == 1, "SHARD_UNNAMED");
        } else {
            _requireConsistent(old_size, new_size, new_root, proof);
        }
        _move(new_size, new_root);
    }

    function anchor_first(uint64 number, uint64 new_size, bytes32 new_root) external onlyAnchorer {
        require(shard == number, "SHARD_MOVED");
        require(new_size != 0, "NOT_NEWER");
        if (_isHeld(new_size, new_root)) return;
        require(size == 0, "SIZE_MOVED");
        _move(new_size, new_root);
    }

    function open_shard(uint64 number, bytes32 key_hash) external onlyAdmin {
        if (number == shard && log_keys[number][0].key_hash == key_hash) return;
        require(uint256(number) == uint256(shard) + 1, "SHARD_MOVED");
        frozen[shard] = Frozen(size, root, log_key_hash);
        emit ShardOpened(number, key_hash, size, root);
        shard = number;
        delete size;
        delete root;
        _setLogKey(key_hash);
    }

    function root_at(uint64 tree_size) external view returns (bytes32) {
        return root_in[shard][tree_size];
    }

    function _isHeld(uint64 new_size, bytes32 new_root) private view returns (bool) {
        return size == new_size && root == new_root;
    }

    function _move(uint64 new_size, bytes32 new_root) private {
        emit Anchored(shard, new_size, new_root, size);
        size = new_size;
        root = new_root;
        root_in[shard][new_size] = new_root;
    }

    /// RFC 9162, section 2.1.4.2: rebuild both roots from one list of subtree hashes.
    function _requireConsistent(uint64 from, uint64 to, bytes32 new_root, bytes32[] calldata proof) private view {
        uint64 oldNode = from - 1;
        uint64 newNode = to - 1;
        while (oldNode % 2 == 1) {
            oldNode /= 2;
            newNode /= 2;
        }
        bytes32 oldHash = root;
        uint256 next = 0;
        if (oldNode > 0) {
            require(proof.length > 0, "PROOF_SHORT");
            oldHash = proof[next++];
        }
        bytes32 newHash = oldHash;
        for (; next < proof.length; ++next) {
            require(newNode > 0, "PROOF_LONG");
            bytes32 sibling = proof[next];
            if (oldNode % 2 == 1 || oldNode == newNode) {
                oldHash = _node(sibling, oldHash);
                newHash = _node(sibling, newHash);
                while (oldNode % 2 == 0 && oldNode > 0) {
                    oldNode /= 2;
                    newNode /= 2;
                }
            } else {
                newHash = _node(newHash, sibling);
            }
            oldNode /= 2;
            newNode /= 2;
        }
        require(newNode == 0, "PROOF_SHORT");
        require(oldHash == root, "OLD_ROOT_DIFFERS");
        require(newHash == new_root, "NEW_ROOT_DIFFERS");
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    // --------------------------------------------------------------- grants

    function grant(bytes32 terms_digest, uint64 not_before, uint64 not_after, uint64 cap) external returns (bytes32) {
        return _grant(Grant(msg.sender, terms_digest, not_before, not_after, cap, 0, 0));
    }

    function grant_by_signature(
        address grantor,
        bytes32 terms_digest,
        uint64 not_before,
        uint64 not_after,
        uint64 cap,
        bytes calldata signature
    ) external fits(signature) returns (bytes32) {
        _requireSigned(
            grantor, keccak256(abi.encode(GRANT_TYPE, grantor, terms_digest, not_before, not_after, cap)), signature
        );
        return _grant(Grant(grantor, terms_digest, not_before, not_after, cap, 0, 0));
    }

    function revoke(bytes32 id) external {
        require(grants[id].grantor == msg.sender, "NOT_GRANTOR");
        _revoke(grants[id], id);
    }

    function revoke_by_signature(bytes32 id, bytes calldata signature) external fits(signature) {
        Grant storage found = grants[id];
        require(found.grantor != address(0), "NO_GRANT");
        _requireSigned(found.grantor, keccak256(abi.encode(REVOKE_TYPE, id)), signature);
        _revoke(found, id);
    }

    function void(bytes32 digest) external {
        _void(msg.sender, digest);
    }

    function void_by_signature(address signer, bytes32 digest, bytes calldata signature) external fits(signature) {
        _requireSigned(signer, keccak256(abi.encode(VOID_TYPE, signer, digest)), signature);
        _void(signer, digest);
    }

    function meter(bytes32 id, uint64 used) external onlyRecorder {
        _meter(id, used);
    }

    function meter_batch(bytes32[] calldata ids, uint64[] calldata totals) external {
        require(ids.length <= 250 && totals.length <= 250);
        require(recorders[msg.sender], "NOT_RECORDER");
        require(ids.length == totals.length, "LENGTHS_DIFFER");
        for (uint256 i = 0; i < ids.length; ++i) {
            _meter(ids[i], totals[i]);
        }
    }

    function grant_id(address grantor, bytes32 terms_digest) public pure returns (bytes32) {
        return keccak256(abi.encode(grantor, terms_digest));
    }

    function domain_separator() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPE, keccak256("HengshuExchangeLedger"), keccak256("1"), block.chainid, address(this)
            )
        );
    }

    function _grant(Grant memory asked) private returns (bytes32 id) {
        id = grant_id(asked.grantor, asked.terms_digest);
        Grant storage found = grants[id];
        if (found.grantor != address(0)) {
            require(found.revoked_at == 0, "GRANT_REVOKED");
            bool isSame = found.not_before == asked.not_before && found.not_after == asked.not_after;
            require(isSame && found.cap == asked.cap, "GRANT_DIFFERS");
            return id;
        }
        require(asked.not_before < asked.not_after, "WINDOW_EMPTY");
        require(asked.cap != 0, "CAP_ZERO");
        require(!voided[asked.grantor][asked.terms_digest], "TERMS_VOIDED");
        grants[id] = asked;
        emit Granted(id, asked.grantor, asked.terms_digest, asked.not_before, asked.not_after, asked.cap);
    }

    function _revoke(Grant storage found, bytes32 id) private {
        if (found.revoked_at != 0) return;
        found.revoked_at = uint64(block.number);
        emit Revoked(id, found.grantor);
    }

    function _void(address signer, bytes32 digest) private {
        if (voided[signer][digest]) return;
        voided[signer][digest] = true;
        emit Voided(signer, digest);
    }

    function _meter(bytes32 id, uint64 used) private {
        Grant storage found = grants[id];
        require(found.grantor != address(0), "NO_GRANT");
        require(found.used <= used, "TOTAL_LOWER");
        if (found.used == used) return;
        require(found.revoked_at == 0, "GRANT_REVOKED");
        require(!voided[found.grantor][found.terms_digest], "TERMS_VOIDED");
        require(found.cap >= used, "CAP_EXCEEDED");
        found.used = used;
        emit Metered(id, used);
    }

    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) private view {
        require(signature.length == 65, "SIGNATURE_LENGTH");
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        require(uint256(s) <= HALF_ORDER, "SIGNATURE_HIGH_S");
        require(v == 27 || v == 28, "SIGNATURE_V");
        address recovered = ecrecover(keccak256(abi.encodePacked("\x19\x01", domain_separator(), structHash)), v, r, s);
        require(recovered != address(0) && recovered == signer, "SIGNATURE_WRONG");
    }

    // ---------------------------------------------------------------- roles

    function set_anchorer(address holder, bool allowed) external onlyAdmin {
        _setAnchorer(holder, allowed);
    }

    function set_recorder(address holder, bool allowed) external onlyAdmin {
        _setRecorder(holder, allowed);
    }

    function set_log_key(bytes32 key_hash) external onlyAdmin {
        if (key_hash != log_key_hash) _setLogKey(key_hash);
    }

    function offer_admin(address to) external onlyAdmin {
        pending_admin = to;
        emit AdminOffered(to);
    }

    function accept_admin() external {
        require(msg.sender == pending_admin, "NOT_OFFERED");
        emit AdminChanged(admin, msg.sender);
        admin = msg.sender;
        delete pending_admin;
    }

    function _setAnchorer(address holder, bool allowed) private {
        anchorers[holder] = allowed;
        emit RoleChanged("anchorer", holder, allowed);
    }

    function _setRecorder(address holder, bool allowed) private {
        recorders[holder] = allowed;
        emit RoleChanged("recorder", holder, allowed);
    }

    function _setLogKey(bytes32 key_hash) private {
        emit LogKeyChanged(log_key_hash, key_hash, shard, size);
        log_keys[shard][log_key_count[shard]++] = LogKey(key_hash, size);
        log_key_hash = key_hash;
    }

    /// A predecessor from before shards does not answer: its whole log was the first shard.
    function _shardOf(address before) private view returns (uint64) {
        (bool answered, bytes memory answer) = before.staticcall(abi.encodeWithSignature("shard()"));
        if (!answered || answer.length < 32) return 1;
        return abi.decode(answer, (uint64));
    }
}
