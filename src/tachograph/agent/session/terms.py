"""On what terms a program leads a session: its name, how long it waits, what it accepts; and where all that is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tachograph import compose
from tachograph.agent.session.history import is_readable
from tachograph.agent.session.kept import Upgrade
from tachograph.agent.session.local import Local, local
from tachograph.agent.team.dialogues import Team
from tachograph.errors import SettingsError
from tachograph.store.sessions.head import About, Key

log = logging.getLogger("tachograph.session")


class Terms:
    """See `Session`."""

    def __init__(
        self, id: str, *, tenant: str = "default", user: str | None = None, platform: str | None = None,  # noqa: A002 - the word of the domain
        refs: Mapping[str, str] | None = None, wait: float = 30.0, lease: float = 30.0, store: str | None = None,
        state_version: int = 1, upgrade: Upgrade | None = None, recover: bool = True, accept_missing: bool = False,
        allow_handed_off: bool = False, keep_superseded: bool = True,
    ) -> None:  # fmt: skip
        """`wait` seconds for another writer; `lease`: seconds after which one that shows no sign of life is replaced.

        `state_version` is that of the application's state; `upgrade(state, version)` brings an older one there.
        `recover` takes in what a writer that died had done; `accept_missing` goes on without what cannot be read back.
        `keep_superseded` keeps what the user said to a turn that a newer message called off. `store` is the store that
        this process must be recording into. Raises SettingsError.
        """
        if not id or lease <= 0 or state_version < 1:
            name, value = ("id", id) if not id else ("lease", lease) if lease <= 0 else ("state_version", state_version)
            raise SettingsError(name, value, "not empty" if name == "id" else "more than 0")
        self.id, self.tenant, self.wait, self.lease = id, tenant, wait, lease
        self._about, self._store = About(user, platform, refs), store
        self.state_version, self.upgrade = state_version, upgrade
        self.recover, self.accept_missing = recover, accept_missing
        self.allow_handed_off, self.keep_superseded = allow_handed_off, keep_superseded
        self.team = Team()
        """What this object's turns have said to delegates."""
        self._told = False

    @property
    def system(self) -> compose.System:
        """What this process records by. Raises SettingsError if that is not the store that was named."""
        found = compose.recording()
        if self._store is not None and compose.store_key(self._store) != compose.store_key(found.settings.store_url):
            wanted = f"the store that this process records into, {found.settings.store_url}: configure(store=…)"
            raise SettingsError("store", self._store, wanted)
        return found

    @property
    def local(self) -> Local:
        """What this process knows of the store's sessions."""
        return local(self.system)

    @property
    def key(self) -> Key:
        """Its name where it is kept; secrets in it are masked, and still told apart."""
        scrubber = self.system.scrubber
        return scrubber.plain(self.tenant), scrubber.named(self.id)

    @property
    def about(self) -> About:
        """Who talks, and where, as it is recorded."""
        recorder, said = self.system.recorder, self._about
        return About(recorder.word(said.user), recorder.word(said.platform), recorder.words(said.refs))

    def tell_unreadable(self, *, nowhere: bool) -> None:
        """Say once that only this process knows the conversation, where that is so; `nowhere` it was recorded."""
        system = self.system
        if self._told or not (nowhere or not system.scrubber.keeps_content or not is_readable(system)):
            return
        self._told = True
        why = "it could not be recorded" if nowhere else f"capture={system.settings.capture}"
        why = why if nowhere or is_readable(system) else f"store {system.settings.store_url} answers no questions"
        log.warning("what is said in session %s cannot be read back (%s): only this process goes on", self.key[1], why)
