// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What one round is: everything that a coordinator opens and that updates and result are bound to.
struct Spec {
    bytes32 federation;
    uint64 round;
    bytes32 previous;
    bytes32 baseModel;
    bytes32 cohort;
    bytes32 enclave;
    uint8 rule;
    bytes32 chain;
    uint16 f;
    uint16 m;
    uint16 minCounted;
    int8 exponent;
    uint32 dimension;
    uint64 normBound;
    uint32 weightCap;
    uint8 optimizer;
    uint32 learningRate;
    uint32 decay;
    uint8 disclosure;
    uint256 budget;
    uint64[5] deadlines;
}

/// @notice A participant's signed statement: this row, of these samples, for this round and enclave.
struct Update {
    bytes32 federation;
    uint64 round;
    bytes32 spec;
    bytes32 enclave;
    address participant;
    bytes32 updateRoot;
    uint32 samples;
}

/// @notice The enclave's signed promise that an update is counted.
struct Receipt {
    bytes32 federation;
    uint64 round;
    uint16 slot;
    bytes32 update;
    bytes32 enclave;
}

/// @notice The enclave's signed statement about a round.
struct RoundResult {
    bytes32 federation;
    uint64 round;
    bytes32 spec;
    bytes32 previous;
    bytes32 setRoot;
    uint256 counted;
    uint256 selected;
    bytes32 columnRoot;
    bytes32 gramRoot;
    bytes32 outcomes;
    bytes32 newModel;
    bytes32 state;
    bytes32 enclave;
}

/// @notice A member's signed memory of a settled round.
struct Checkpoint {
    bytes32 federation;
    uint64 round;
    bytes32 result;
    bytes32 blockHash;
}

/// @notice A member's signed complaint that the data of a proposed result can't be had.
struct Unavailable {
    bytes32 federation;
    uint64 round;
    bytes32 result;
}

/// @notice What an enclave says of itself; the SHA-256 of its abi.encode is in the quote's report data.
struct Claims {
    bytes32 federation;
    uint256 chainId;
    address ledger;
    address operator;
    uint16 kem;
    bytes32 hpkeKey; // SHA-256 of the HPKE public key
    bytes32 policy; // SHA-256 of the federation's charter
    bytes32 nonce;
    uint64 stateVersion;
    bytes32 stateHash;
    uint32 protections; // what the enclave's process got of them, one bit each
}

/// @notice The fields of a Spec that the consortium fixes by vote, the cohort's size, and the windows.
struct Terms {
    uint8 rule;
    bytes32 chain;
    uint16 f;
    uint16 m;
    uint16 minCounted;
    int8 exponent;
    uint32 dimension;
    uint64 normBound;
    uint32 weightCap;
    uint8 optimizer;
    uint32 learningRate;
    uint32 decay;
    uint8 disclosure;
    uint256 budget;
    uint16 cohortSize; // 0: everybody, up to 256
    uint64[5] windows; // least seconds from opening to the first deadline, and from each deadline to the next
}

/// @title EIP-712 struct hashes of the messages
/// @notice Twin: protocol/messages.py. Vectors: tests/vectors/messages/.
library Messages {
    uint256 internal constant FIRST_SPEC_END = DEADLINES_AT + 5 * 32;
    uint256 private constant FIRST_SPEC_AT = 4;
    uint256 private constant DEADLINES_AT = FIRST_SPEC_AT + 20 * 32;

    bytes32 internal constant SPEC_TYPE = keccak256(
        "Spec(bytes32 federation,uint64 round,bytes32 previous,bytes32 baseModel,bytes32 cohort,bytes32 enclave,uint8 rule,bytes32 chain,uint16 f,uint16 m,uint16 minCounted,int8 exponent,uint32 dimension,uint64 normBound,uint32 weightCap,uint8 optimizer,uint32 learningRate,uint32 decay,uint8 disclosure,uint256 budget,uint64[5] deadlines)"
    );
    bytes32 internal constant UPDATE_TYPE = keccak256(
        "Update(bytes32 federation,uint64 round,bytes32 spec,bytes32 enclave,address participant,bytes32 updateRoot,uint32 samples)"
    );
    bytes32 internal constant RECEIPT_TYPE =
        keccak256("Receipt(bytes32 federation,uint64 round,uint16 slot,bytes32 update,bytes32 enclave)");
    bytes32 internal constant RESULT_TYPE = keccak256(
        "RoundResult(bytes32 federation,uint64 round,bytes32 spec,bytes32 previous,bytes32 setRoot,uint256 counted,uint256 selected,bytes32 columnRoot,bytes32 gramRoot,bytes32 outcomes,bytes32 newModel,bytes32 state,bytes32 enclave)"
    );
    bytes32 internal constant CHECKPOINT_TYPE =
        keccak256("Checkpoint(bytes32 federation,uint64 round,bytes32 result,bytes32 blockHash)");
    bytes32 internal constant UNAVAILABLE_TYPE =
        keccak256("Unavailable(bytes32 federation,uint64 round,bytes32 result)");

    /// @notice What is signed: keccak256(0x19 0x01 || domain separator || hashStruct).
    function digest(bytes32 domain, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    /// @dev In three parts, because one call with 21 words is deeper than the stack.
    function hashSpec(Spec calldata spec) internal pure returns (bytes32) {
        bytes memory identity = abi.encode(
            SPEC_TYPE, spec.federation, spec.round, spec.previous, spec.baseModel, spec.cohort, spec.enclave
        );
        bytes memory rule = abi.encode(
            spec.rule, spec.chain, spec.f, spec.m, spec.minCounted, spec.exponent, spec.dimension, spec.normBound
        );
        bytes memory step = abi.encode(
            spec.weightCap,
            spec.optimizer,
            spec.learningRate,
            spec.decay,
            spec.disclosure,
            spec.budget,
            keccak256(abi.encode(spec.deadlines))
        );
        return keccak256(bytes.concat(identity, rule, step));
    }

    /// @notice The same of a spec that is the first argument of the whole call, at less cost.
    /// @dev Hashed as it came: a word that is not its type's one encoding gives another hash.
    function hashFirstSpec() internal pure returns (bytes32) {
        bytes32 deadlines = keccak256(msg.data[DEADLINES_AT:FIRST_SPEC_END]);
        return keccak256(abi.encodePacked(SPEC_TYPE, msg.data[FIRST_SPEC_AT:DEADLINES_AT], deadlines));
    }

    function hashUpdate(Update calldata update) internal pure returns (bytes32) {
        return keccak256(abi.encode(UPDATE_TYPE, update));
    }

    function hashReceipt(Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPE, receipt));
    }

    function hashResult(RoundResult calldata result) internal pure returns (bytes32) {
        return keccak256(abi.encode(RESULT_TYPE, result));
    }

    function hashCheckpoint(Checkpoint calldata checkpoint) internal pure returns (bytes32) {
        return keccak256(abi.encode(CHECKPOINT_TYPE, checkpoint));
    }

    function hashUnavailable(Unavailable calldata unavailable) internal pure returns (bytes32) {
        return keccak256(abi.encode(UNAVAILABLE_TYPE, unavailable));
    }

    /// @notice What the ledger compares: keccak256 of the encoded terms (not an EIP-712 hash, nobody signs terms).
    function hashTerms(Terms memory terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    /// @notice The terms that a spec follows from.
    function termsOf(Spec calldata spec, uint16 cohortSize, uint64[5] memory windows)
        internal
        pure
        returns (Terms memory terms)
    {
        terms.rule = spec.rule;
        terms.chain = spec.chain;
        terms.f = spec.f;
        terms.m = spec.m;
        terms.minCounted = spec.minCounted;
        terms.exponent = spec.exponent;
        terms.dimension = spec.dimension;
        terms.normBound = spec.normBound;
        terms.weightCap = spec.weightCap;
        terms.optimizer = spec.optimizer;
        terms.learningRate = spec.learningRate;
        terms.decay = spec.decay;
        terms.disclosure = spec.disclosure;
        terms.budget = spec.budget;
        terms.cohortSize = cohortSize;
        terms.windows = windows;
    }
}
