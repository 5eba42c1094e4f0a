"""Paillier done well: additively homomorphic encryption with phe's keys and gmpy2's arithmetic.

Whoever knows the public key n can add what is encrypted, by multiplying ciphertexts modulo n^2, and can multiply it
by a number in the clear, by raising a ciphertext; only the key's owner can read the sum.

    keys        one key pair for one job; phe's types inside; what a peer sends is checked before it is used
    noise       the random factor of a ciphertext: full for the owner by fixed bases, half-length or short for others
    packing     many numbers in one plaintext, with room that no declared sum can leave
    vectors     encrypting, adding, writing and reading many ciphertexts
    products    weighted sums: many ciphertexts to the power of many plain weights, by buckets
    linear      linear scores, over packed rows or with packed models
    cores       the same work in several processes

How fast, how safe and under which assumption: docs/subsystems/paillier.md. Importing this package loads nothing;
its modules load gmpy2 and are imported by engines inside `run` only (`packing` is pure Python: buyers open with it).

Source: Paillier, Public-Key Cryptosystems Based on Composite Degree Residuosity Classes, EUROCRYPT 1999; Damgard,
Jurik and Nielsen, A generalization of Paillier's public-key system with applications to electronic voting,
International Journal of Information Security 9(6), 2010.
"""
