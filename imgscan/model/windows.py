"""What is asked of an installed Windows alone."""

from __future__ import annotations

import msgspec


class Languages(msgspec.Struct, frozen=True, kw_only=True):
    """Languages as tags (`en-US`, `de-DE`; `de-0c07` and `lcid-0999` where a number has no tag here).

    `installed` is the one that Windows was installed in, None when it does not say; `interface` are those of the user
    interface, that one included.
    """

    installed: str | None
    interface: tuple[str, ...]


class RemoteDesktop(msgspec.Struct, frozen=True, kw_only=True):
    """Whether Remote Desktop takes connections when the system has started, at which TCP port; `detail` is why."""

    starts: bool
    port: int
    detail: str
