"""Who may come in, built as the settings say: who tells who users are, and who tells what they may do."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alluxio_s3.auth.admin_token import parse_token
from alluxio_s3.auth.shared_keys import IN_ETCD
from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.interfaces import IAuthenticator, IAuthorizer, IKeyed, ISharedTexts
from alluxio_s3.plugins import AUTHENTICATORS, AUTHORIZERS, build_plugin
from alluxio_s3.settings import Loaded, Settings, SettingsError
from alluxio_s3.threads import Threads

# Those under which the daemon's own user asks where nobody else does.
_TRUSTING = frozenset({"simple", "audit"})
_KEYS = "alluxio.worker.s3.authentication.keys.file"


def process_user() -> str:
    """The name of the daemon's own user: in a container it may have none but its number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def build_authenticator(loaded: Loaded, user: str, reactor: Any, threads: Threads, shared: ISharedTexts | None = None) -> IAuthenticator:
    """Who says who users are. ``user`` is whom those are who name nobody, ``shared`` the keys in etcd. Raises SettingsError."""
    settings = loaded.settings
    options = {
        "user": user,
        "region": settings.region,
        "keys": settings.access_keys or "",
        "sigv2": str(settings.sigv2_presigned).lower(),
        **(_oidc_options(settings) if settings.authentication_type.lower() == "oidc" else {}),
        **_kept(loaded),
        **loaded.plugin_options.get(settings.authentication_type.lower(), {}),
    }
    authenticator = build_plugin(AUTHENTICATORS, settings.authentication_type, IAuthenticator, options, reactor, threads)
    keyed = IKeyed(authenticator, None)
    if settings.access_keys == IN_ETCD and keyed is not None:
        if shared is None:
            raise SettingsError(f"{_KEYS}: keys are in etcd only where members are (alluxio.etcd.endpoints).")
        keyed.follow(shared)
    return authenticator


def build_authorizer(loaded: Loaded, permissions: frozenset[str], reactor: Any, threads: Threads) -> IAuthorizer:
    """Who says what users may do; ``permissions`` is all that can be asked. Raises SettingsError."""
    settings = loaded.settings
    name = settings.authorization_type or ("policy" if settings.policy_file else "open")
    trusting = settings.authentication_type.lower() in _TRUSTING if settings.anonymous == "auto" else settings.anonymous == "true"
    options = {
        "anonymous": str(trusting).lower(),
        "file": settings.policy_file or "",
        "actions": ",".join(sorted(permissions)),
        **_kept(loaded),
        **loaded.plugin_options.get(name.lower(), {}),
    }
    return build_plugin(AUTHORIZERS, name, IAuthorizer, options, reactor, threads)


def watched_admin_token(settings: Settings, reactor: Any) -> Callable[[], bytes] | None:
    """What tells the token of the admin port, as it is now; None if there is none. Raises SettingsError."""
    if settings.admin_token is None:
        return None
    try:
        watched = WatchedFile(settings.admin_token, parse_token, reactor)
    except ValueError as problem:
        raise SettingsError(f"alluxio.worker.s3.admin.token.path: {problem}") from None
    return lambda: watched.value


def admin_token(settings: Settings) -> str | None:
    """The token of the admin port, for a command that asks it something; None if there is none. Raises SettingsError."""
    if settings.admin_token is None:
        return None
    try:
        return parse_token(Path(settings.admin_token).read_text(encoding="utf-8")).decode()
    except (OSError, ValueError) as problem:
        raise SettingsError(f"alluxio.worker.s3.admin.token.path: {settings.admin_token}: {problem}") from None


def _kept(loaded: Loaded) -> dict[str, str]:
    """What files said when they were last good, for plugins that read them: ``kept:<path>``."""
    return {f"kept:{path}": content.decode(errors="replace") for path, content in loaded.kept.items()}


def _oidc_options(settings: Settings) -> dict[str, str]:
    return {
        "issuers": ",".join(settings.oidc_issuer),
        "audiences": ",".join(settings.oidc_audience),
        "keys": ",".join(settings.oidc_jwks_uri),
        "user_claim": settings.oidc_user_claim,
        "groups_claim": settings.oidc_groups_claim,
        "roles_claim": settings.oidc_roles_claim,
        "sts_secret": settings.sts_secret or "",
    }
