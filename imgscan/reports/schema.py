"""The JSON Schemas of what imgscan writes, made from the model: they cannot drift from it."""

from __future__ import annotations

from typing import Any

import msgspec

from imgscan.model.machine import FactsFile
from imgscan.model.plan_report import PlanReport
from imgscan.model.report import Report
from imgscan.model.share_report import ShareReport

SCHEMAS: dict[str, type[Any]] = {"report": Report, "facts": FactsFile, "share-report": ShareReport, "plan": PlanReport}
"""By the name that `imgscan schema` takes."""


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `report`, `facts`, `share-report` or `plan`."""
    kind = SCHEMAS[name]
    schema = msgspec.json.schema(kind)
    version = next(f.default for f in msgspec.structs.fields(kind) if f.name == "schema")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": str(version), **schema}
