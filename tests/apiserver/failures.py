"""How the API server says no: a Status object with a code, a reason and a message."""

from __future__ import annotations

from typing import Any

from tests.apiserver.resources import Resource


class Failure(Exception):
    """A request that is not carried out."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        self.code, self.reason, self.message, self.details = code, reason, message, details
        super().__init__(f"{code} {reason}: {message}")

    def body(self) -> dict[str, Any]:
        """The Status object."""
        return {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "details": self.details, "code": self.code,
        }  # fmt: skip


def _details(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, "kind": resource.plural, **({"group": resource.group} if resource.group else {})}


def not_found(resource: Resource, name: str) -> Failure:
    """No such object."""
    return Failure(404, "NotFound", f'{resource.qualified} "{name}" not found', **_details(resource, name))


def no_such_path() -> Failure:
    """No such kind, or no such subresource."""
    return Failure(404, "NotFound", "the server could not find the requested resource")


def no_such_pod_on_its_node(name: str) -> Failure:
    """What the API server makes of a kubelet that has just begun and knows none of its Pods yet."""
    causes = [{"reason": "UnexpectedServerResponse", "message": f'pod "{name}" does not exist\n'}]
    message = f"the server could not find the requested resource ( pods/log {name})"
    return Failure(404, "NotFound", message, name=name, kind="pods", causes=causes)


def already_exists(resource: Resource, name: str) -> Failure:
    """A second object of the same name."""
    message = f'{resource.qualified} "{name}" already exists'
    return Failure(409, "AlreadyExists", message, **_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> Failure:
    """Written on old knowledge."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Failure(409, "Conflict", message, **_details(resource, name))


def wrong_uid(resource: Resource, name: str, wanted: str, found: str) -> Failure:
    """Another object of this name is meant."""
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, field: str, message: str) -> Failure:
    """An object that cannot be."""
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    text = f'{resource.kind} "{name}" is invalid: {field}: {message}'
    return Failure(422, "Invalid", text, causes=causes, **_details(resource, name))


def forbidden(resource: Resource, name: str, why: str) -> Failure:
    """What admission does not let in, or an account may not do."""
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return Failure(403, "Forbidden", message, **_details(resource, name))


def bad_request(message: str) -> Failure:
    """A request that makes no sense."""
    return Failure(400, "BadRequest", message)


def expired(message: str) -> Failure:
    """History that is no longer kept."""
    return Failure(410, "Expired", message)
