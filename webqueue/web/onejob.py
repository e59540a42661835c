"""Signed tokens that open one job each: what a customer's browser may be given."""

import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from webqueue.errors import SettingsError

SALT: Final = "webqueue.one-job"
LONGEST: Final = 512
"""Characters of a token that are looked at; a true one has about 60."""


class JobTokens:
    """Makes and reads them. Nothing is kept: a token is good until its time is over, or the key changes."""

    def __init__(
        self, token: str | None, secret: Callable[[], str | bytes | None], clock: Callable[[], float] = time.time
    ) -> None:
        self._token = token
        self._secret = secret
        self._clock = clock

    def sign(self, id: int, seconds: float) -> str:
        """A token for the job *id*, good for *seconds*. Raises SettingsError where there is nothing to sign with."""
        return str(self._signer.dumps([id, self._clock() + seconds]))

    def job(self, token: object) -> int:
        """The id of the job that *token* opens; 0 where it is none of ours, was changed, or is over."""
        if not isinstance(token, str) or not token.isascii() or len(token) > LONGEST or "." not in token:
            return 0
        try:
            id, until = self._signer.loads(token)
        except BadData:
            return 0
        return int(id) if self._clock() < until else 0

    @cached_property
    def _signer(self) -> URLSafeSerializer:
        # At first use, not before: an application may be given its SECRET_KEY after init_app.
        return URLSafeSerializer(self._key(), salt=SALT)

    def _key(self) -> str | bytes:
        secret = self._secret()
        if secret:
            return secret
        if not self._token:
            raise SettingsError("A token for one job is signed with SECRET_KEY or WEBQUEUE_TOKEN; set one of them.")
        # Slow on purpose: whoever has a token for one job could try words for the operator's on it, at home.
        return hashlib.scrypt(self._token.encode(), salt=SALT.encode(), n=2**14, r=8, p=1)
