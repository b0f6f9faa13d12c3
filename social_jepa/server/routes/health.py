"""The route that tells a supervisor of processes whether the server works."""

from fastapi import APIRouter, Response

from social_jepa.server.openapi import answers
from social_jepa.server.responses import Health, json_response
from social_jepa.server.served_runs import ServiceDep

router = APIRouter()


@router.get("/healthz", **answers(Health))
def health(service: ServiceDep) -> Response:
    """Return 200 while the server can read the ledger; needs no token."""
    service.snapshots.version()
    return json_response(Health())
