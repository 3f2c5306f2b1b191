"""The properties of who may come in, and what they may do."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import boolean, choice, location, many, name, optional_text, text


@frozen(slots=False, kw_only=True)
class Authentication:
    """How the daemon knows who is asking, and what they may do: [authentication](authentication.md)."""

    authentication_type: str = setting(
        "alluxio.worker.s3.authentication.type",
        name(),
        "simple",
        "`SIMPLE`: the user is the access key that the client names, and no signature is checked. `AUDIT`: the same, and it is told who"
        " would be refused under `SIGV4`. `SIGV4`: whose secret signed the request. `OIDC`: whom a token of a trusted issuer names."
        " Or the name of a plugin.",
        ours=True,
        reload="admission",
    )
    anonymous: str = setting(
        "alluxio.worker.s3.authentication.anonymous.enabled",
        choice("auto", "true", "false"),
        "auto",
        "Whether requests without credentials are taken where there is no policy. `auto`: under `SIMPLE` and `AUDIT`, where they are the"
        " daemon's own user.",
        ours=True,
        reload="admission",
    )
    access_keys: str | None = setting(
        "alluxio.worker.s3.authentication.keys.file",
        location(),
        "",
        "The access keys of `SIGV4` and `AUDIT`, in the form of an AWS credentials file; read again when it changes."
        " `etcd`: those of the cluster, [in etcd](authentication.md#keys-in-etcd).",
        ours=True,
        reload="admission",
    )
    sigv2_presigned: bool = setting(
        "alluxio.worker.s3.authentication.sigv2.presigned.enabled",
        boolean(),
        "false",
        "Whether `SIGV4` takes presigned URLs of version 2, too: boto3 and aws-cli 1 make them unless they are told otherwise.",
        ours=True,
        reload="admission",
    )
    oidc_issuer: tuple[str, ...] = setting(
        "alluxio.worker.s3.authentication.oidc.issuer",
        many(text()),
        "",
        "Who must have issued a token; several with commas.",
        ours=True,
        reload="admission",
    )
    oidc_audience: tuple[str, ...] = setting(
        "alluxio.worker.s3.authentication.oidc.audience",
        many(text()),
        "",
        "For whom a token must have been issued; one for each issuer.",
        ours=True,
        reload="admission",
    )
    oidc_jwks_uri: tuple[str, ...] = setting(
        "alluxio.worker.s3.authentication.oidc.jwks.uri",
        many(text()),
        "",
        "Where the keys are that tokens are signed with, one for each issuer: an `https` URI or a file; none: where the issuer says.",
        aliases=("alluxio.s3.rest.authentication.jwksaddr",),
        ours=True,
        reload="admission",
    )
    oidc_user_claim: str = setting(
        "alluxio.worker.s3.authentication.oidc.user.claim",
        text(),
        "sub",
        "The claim that is the user's name.",
        ours=True,
        reload="admission",
    )
    oidc_groups_claim: str = setting(
        "alluxio.worker.s3.authentication.oidc.groups.claim",
        text(),
        "groups",
        "The claim that lists groups.",
        ours=True,
        reload="admission",
    )
    oidc_roles_claim: str = setting(
        "alluxio.worker.s3.authentication.oidc.roles.claim", text(), "roles", "The claim that lists roles.", ours=True, reload="admission"
    )
    sts_secret: str | None = setting(
        "alluxio.worker.s3.sts.secret.file",
        location(),
        "",
        "The secret (32 characters or more) behind the temporary keys that AssumeRoleWithWebIdentity gives for a token under `OIDC`; every"
        " process and worker must have the same. None: no temporary keys.",
        ours=True,
        reload="admission",
    )
    authorization_type: str | None = setting(
        "alluxio.worker.s3.authorization.type",
        optional_text(),
        "",
        "What says who may do what: `policy` (a file), `open` (everybody everything), or the name of a plugin; none: `policy` if there is"
        " a file, else `open`.",
        ours=True,
        reload="admission",
    )
    policy_file: str | None = setting(
        "alluxio.worker.s3.authorization.policy.file",
        location(),
        "",
        "Who may do what, in TOML: [authentication](authentication.md) tells how; read again when it changes.",
        ours=True,
        reload="admission",
    )
