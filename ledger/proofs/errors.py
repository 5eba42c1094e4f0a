"""The one error of the proofs package."""


class VerificationError(Exception):
    """A proof, a signature or a document is not what it claims to be.

    Args:
        code: a stable upper-snake-case word, such as `SIGNATURE_INVALID`.
        message: what was checked and did not hold; no key, row or identifier in it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
