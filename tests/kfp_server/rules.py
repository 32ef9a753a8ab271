"""What the API server refuses: packages, values of parameters, cron expressions.

Packages: ``template/v2_template.go``, by the rules that compile applies. Values:
``validatePipelineJobInputs`` in the same file.
"""

import json
from typing import Any

from aiohttp import web

from pipeline.kubeflow.acceptance import NotAcceptedError, check_accepted
from tests.kfp_server.store import refuse

_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def upload_error(status: int, message: str) -> web.HTTPException:
    """An error as the upload handler writes it, which is not grpc-gateway's."""
    body = json.dumps({"error_message": message, "error_details": message})
    exception = {400: web.HTTPBadRequest, 409: web.HTTPConflict}[status]
    return exception(text=body, content_type="application/json")


def accept(text: str) -> None:
    try:
        check_accepted("kfp", text)
    except NotAcceptedError as error:
        raise upload_error(400, str(error)) from None


def check_values(spec: dict[str, Any], values: dict[str, Any]) -> None:
    known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in known.items():
        if name not in values:
            if not parameter.get("isOptional") and "defaultValue" not in parameter:
                raise refuse(400, f"InvalidInputError: parameter {name} is not optional")
            continue
        value, kind = values[name], parameter["parameterType"]
        is_switch = isinstance(value, bool) and kind != "BOOLEAN"
        if is_switch or not isinstance(value, _KINDS[kind]):
            raise refuse(400, f"InvalidInputError: input parameter {name} requires type {kind}")
    extra = ", ".join(sorted(set(values) - set(known)))
    if extra:
        raise refuse(400, f"InvalidInputError: parameter(s) not required by pipeline: {extra}")


def check_cron(text: str) -> None:
    """robfig/cron with seconds, whose fields may be numbers, ranges, steps and lists."""
    fields = text.split()
    if len(fields) != 6 or not all(set(field) <= set("0123456789*/,-?") for field in fields):
        raise refuse(400, f"InvalidInputError: Schedule cron is not a supported format: {text}")
