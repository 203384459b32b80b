"""The sagas that an orchestrator knows, by name and version."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from sagafsm.definition.definition import Definition, HasDefinition
from sagafsm.definition.fingerprint import list_differences
from sagafsm.definition.migration import build_migration_event
from sagafsm.errors import DefinitionChanged, DefinitionError, format_list
from sagafsm.history.events import InstanceMigrated
from sagafsm.history.instance import SagaInstance


@attrs.define(eq=False)
class Registry:
    """Versions side by side; a saga registered again under its name and version takes the place of the old one."""

    _sagas: dict[tuple[str, int], HasDefinition] = attrs.field(factory=dict, init=False)

    def add(self, saga: HasDefinition) -> Definition:
        """Register a saga and return its present definition.

        Raises:
            DefinitionError: it is no saga, or not well defined.
        """
        if isinstance(saga, type) or not hasattr(saga, "definition"):
            raise DefinitionError(f"an orchestrator runs sagas, not {saga!r}")
        definition = saga.definition
        self._sagas[definition.saga, definition.version] = saga
        return definition

    def has_definition_for(self, instance: SagaInstance) -> bool:
        """Whether a definition under which the instance can go on is at hand."""
        return (instance.saga, instance.version) in self._sagas or self._successor(instance) is not None

    def of(self, instance: SagaInstance) -> tuple[Definition, InstanceMigrated | None]:
        """The definition under which an instance goes on, and the fact that it does so under another than before.

        Raises:
            DefinitionError: its saga and version are not registered.
            DefinitionChanged: they are, but with another structure or under other versions only, and nothing says how
                to migrate; the message tells the differences.
        """
        saga = self._sagas.get((instance.saga, instance.version))
        if saga is None:
            successor = self._successor(instance)
            if successor is not None:
                return successor, build_migration_event(
                    instance, successor, _call_migration(successor, instance.version)
                )
            self._refuse_other_version(instance)
            known = format_list(f"{name!r} version {version}" for name, version in sorted(self._sagas))
            raise DefinitionError(
                f"instance {instance.id!r} needs saga {instance.saga!r} version {instance.version}, "
                f"which is not registered (registered: {known}); pass it in sagas=[...]"
            )
        definition = saga.definition
        if definition.fingerprint != instance.fingerprint:
            changed = list_differences(instance.outline, definition.outline)
            raise DefinitionChanged(instance.id, instance.saga, instance.version, changed)
        return definition, None

    def _successor(self, instance: SagaInstance) -> Definition | None:
        """The newest definition that says how instances of this one's version go on."""
        versions = sorted((version for name, version in self._sagas if name == instance.saga), reverse=True)
        for version in versions:
            definition = self._sagas[instance.saga, version].definition
            if instance.version in definition.migrations:
                return definition
        return None

    def _refuse_other_version(self, instance: SagaInstance) -> None:
        versions = sorted(version for name, version in self._sagas if name == instance.saga)
        if versions:
            changed = list_differences(instance.outline, self._sagas[instance.saga, versions[-1]].definition.outline)
            told = (f"registered is version {format_list(versions)}", *changed)
            raise DefinitionChanged(instance.id, instance.saga, instance.version, told)

    @property
    def sagas(self) -> tuple[HasDefinition, ...]:
        """Every saga that is registered."""
        return tuple(self._sagas.values())


def _call_migration(successor: Definition, version: int) -> Mapping[str, str | None]:
    """What a migration says.

    Raises:
        DefinitionError: it raised instead.
    """
    try:
        return successor.migrations[version]()
    except Exception as error:
        raise DefinitionError(
            f"the migration of saga {successor.saga!r} from version {version} raised {error!r} (it takes nothing, "
            "and returns the steps' new names by their old ones)"
        ) from error
