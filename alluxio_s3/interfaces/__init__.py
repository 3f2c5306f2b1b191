"""What the rooms of the house, and plugins, promise each other.

Every method that is ``async`` may be called from the reactor thread only, must not block it, and
may be cancelled (its Deferred is cancelled when the client goes away): release what you hold in
``finally`` and let ``CancelledError`` pass. Unless a method says otherwise it raises the
``StorageError`` of ``alluxio_s3.storage`` that fits, and any other exception is an internal error
to the client. Paths, values and errors are described in ``alluxio_s3.storage``.

A store needs ``IUnderFileSystem``, ``IObjectReader`` and ``IObjectWriter``. The others are for
stores that can do better than the daemon can from outside; the daemon asks with
``IBucketContainer(ufs, None)`` and falls back to its own way. ``alluxio_s3.testing`` has the
contract suite that checks an implementation.
"""

from __future__ import annotations

from alluxio_s3.interfaces.cluster import Asker, Elsewhere, IMembers, IOwned, IRemembering, IRouting, Member, Steered
from alluxio_s3.interfaces.cors import ICorsStore
from alluxio_s3.interfaces.files import (
    IBeginner,
    ICachedReader,
    IFileBacked,
    IFlow,
    IFlowingReader,
    IHotObject,
    IHotObjects,
    IHotReader,
    IResidency,
    ISpanReader,
    Span,
)
from alluxio_s3.interfaces.identity import (
    IAuthenticator,
    IAuthorizer,
    IExpiring,
    IExplainer,
    IFormAuthenticator,
    IKeyed,
    IMember,
    IPrincipal,
    IQuickAuthenticator,
    IQuickAuthorizer,
    ISharedTexts,
    ISigner,
    ITokenExchange,
    TemporaryCredentials,
)
from alluxio_s3.interfaces.metrics import IMeasured, IMetrics, ISpread, ITally
from alluxio_s3.interfaces.plugins import IForeseeingFactory, IPluginFactory
from alluxio_s3.interfaces.requests import IRequestBody
from alluxio_s3.interfaces.stores import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IIdentified,
    IMountTable,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPartLocator,
    IRangeCopier,
    IReadOnly,
    IRemote,
    IRepeatedCompletions,
    ITagReader,
    ITagStore,
    IUnderFileSystem,
)

__all__ = [
    "Asker",
    "Elsewhere",
    "IAttributeUpdater",
    "IAuthenticator",
    "IAuthorizer",
    "IBeginner",
    "IBucketContainer",
    "ICachedReader",
    "ICorsStore",
    "IEagerReading",
    "IExpiring",
    "IExplainer",
    "IFileBacked",
    "IFlow",
    "IFlowingReader",
    "IForeseeingFactory",
    "IFormAuthenticator",
    "IHotObject",
    "IHotObjects",
    "IHotReader",
    "IIdentified",
    "IKeyed",
    "IMeasured",
    "IMember",
    "IMembers",
    "IMetrics",
    "IMountTable",
    "IMultipartUploads",
    "IObjectReader",
    "IObjectWriter",
    "IOwned",
    "IPartLocator",
    "IPluginFactory",
    "IPrincipal",
    "IQuickAuthenticator",
    "IQuickAuthorizer",
    "IRangeCopier",
    "IReadOnly",
    "IRemembering",
    "IRemote",
    "IRepeatedCompletions",
    "IRequestBody",
    "IResidency",
    "IRouting",
    "ISharedTexts",
    "ISigner",
    "ISpanReader",
    "ISpread",
    "ITagReader",
    "ITagStore",
    "ITally",
    "ITokenExchange",
    "IUnderFileSystem",
    "Member",
    "Span",
    "Steered",
    "TemporaryCredentials",
]
