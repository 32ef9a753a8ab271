"""Changes to a pod: what clusters need that no setting has a name for."""

from typing import Any

# A mount's place before its name: one volume may be mounted twice.
_KEYS = ("mountPath", "name", "containerPort", "key")


def patched(value: Any, change: Any) -> Any:
    """A pod's template with a patch merged in, as ``kubectl patch`` would merge it.

    Mappings are merged key by key, and null takes a key away (RFC 7386, JSON Merge Patch). Of lists
    of mappings those are merged that have the same ``name``, ``mountPath``, ``containerPort`` or
    ``key``; the others are added, as Kubernetes' strategic merge does. Other lists are replaced.

    Args:
      value: what there is.
      change: the patch.
    """
    if isinstance(value, dict) and isinstance(change, dict):
        merged = {k: v for k, v in value.items() if k not in change}
        for key, part in change.items():
            if part is not None:
                merged[key] = patched(value.get(key, {}), part)
        return merged
    if isinstance(value, list) and isinstance(change, list) and _are_mappings(value + change):
        items = list(value)
        for part in change:
            same = [i for i, item in enumerate(items) if _identity(item) == _identity(part)]
            if same and _identity(part) is not None:
                items[same[0]] = patched(items[same[0]], part)
            else:
                items.append(part)
        return items
    return change


def _are_mappings(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _identity(item: dict[str, Any]) -> tuple[str, Any] | None:
    return next(((key, item[key]) for key in _KEYS if key in item), None)
