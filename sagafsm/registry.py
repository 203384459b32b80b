"""The sagas that an orchestrator knows, by name and version."""

from __future__ import annotations

from typing import Protocol

import attrs

from sagafsm.definition import Definition, differences
from sagafsm.errors import DefinitionChanged, DefinitionError, listed
from sagafsm.instance import SagaInstance


class Defined(Protocol):
    """What has a definition, perhaps another at each look: a saga whose cells are run again."""

    @property
    def definition(self) -> Definition:
        """The present definition."""
        ...


@attrs.define(eq=False)
class Registry:
    """Versions side by side; a saga registered again under its name and version takes the place of the old one."""

    _sagas: dict[tuple[str, int], Defined] = attrs.field(factory=dict, init=False)

    def add(self, saga: Defined) -> Definition:
        """Register a saga and return its present definition.

        Raises:
            DefinitionError: it is no saga, or not well defined.
        """
        if not hasattr(saga, "definition"):
            raise DefinitionError(f"an orchestrator runs sagas, not {saga!r}")
        definition = saga.definition
        self._sagas[definition.saga, definition.version] = saga
        return definition

    def knows(self, instance: SagaInstance) -> bool:
        """Whether the definition of an instance is at hand."""
        return (instance.saga, instance.version) in self._sagas

    def of(self, instance: SagaInstance) -> Definition:
        """The definition that an instance was begun under.

        Raises:
            DefinitionError: its saga and version are not registered.
            DefinitionChanged: they are, but with another structure or under other versions only; the message tells
                the differences.
        """
        if not self.knows(instance):
            self._refuse_other_version(instance)
            known = listed(f"{name!r} version {version}" for name, version in sorted(self._sagas))
            raise DefinitionError(
                f"instance {instance.id!r} needs saga {instance.saga!r} version {instance.version}, "
                f"which is not registered (registered: {known}); pass it in sagas=[...]"
            )
        definition = self._sagas[instance.saga, instance.version].definition
        if definition.fingerprint != instance.fingerprint:
            changed = differences(instance.outline, definition.outline)
            raise DefinitionChanged(instance.id, instance.saga, instance.version, changed)
        return definition

    def _refuse_other_version(self, instance: SagaInstance) -> None:
        versions = sorted(version for name, version in self._sagas if name == instance.saga)
        if versions:
            changed = differences(instance.outline, self._sagas[instance.saga, versions[-1]].definition.outline)
            told = (f"registered is version {listed(versions)}", *changed)
            raise DefinitionChanged(instance.id, instance.saga, instance.version, told)
