// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @notice What a successor reads of a contract from before shards: a size and a root, and no `shard`.
contract BeforeShards {
    uint64 public size = 6;
    bytes32 public root = bytes32(uint256(0xabcdef));
}
