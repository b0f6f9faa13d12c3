"""The OpenAPI description of a server, and its operations as schemathesis reads them."""

import httpx2 as httpx
import schemathesis
from schemathesis.config import SchemathesisConfig

# A schema cannot say which poses see the scene, which times have passed, or how long an agent's vectors are.
CONFIG = {
    "generation": {"database": "none"},
    "request-timeout": 120.0,  # seconds: an agent is added once its process has started
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 304, 404, 409, 422]}},
}


def load(address, **headers):
    """Return the description as JSON, and its operations by label."""
    url = f"{address}/api/openapi.json"
    config = SchemathesisConfig.from_dict(CONFIG)
    found = schemathesis.openapi.from_url(url, config=config, headers=headers)
    operations = {operation.ok().label: operation.ok() for operation in found.get_all_operations()}
    return httpx.get(url, headers=headers).json(), operations
