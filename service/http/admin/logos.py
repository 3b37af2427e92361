"""/admin/organizations/{id}/logo."""

from litestar import Request, Response, Router, delete, get, put
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation

from service.flows.organizations.logos import (
    LARGEST,
    MEDIA_TYPES,
    Logo,
    delete_logo,
    put_logo,
    read_logo,
)
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import PathId
from service.http.path_parameters import path_id
from service.kernel.ids import TenantId

_PATH = "/organizations/{tenant_id:str}/logo"


async def provide_logo(request: "Request[object, object, State]") -> Logo:
    """Return the body and its media type."""
    return Logo(request.content_type[0].lower(), await request.body())


@put(
    _PATH,
    status_code=204,
    request_max_body_size=LARGEST,
    dependencies={"logo": Provide(provide_logo)},
    opt={"files": MEDIA_TYPES},
)
async def put_one(
    context: FromCaller, tenant_id: FromPath[PathId], logo: NamedDependency[SkipValidation[Logo]]
) -> None:
    """Replace the logo: the body is a PNG or WebP picture of at most 256 KiB."""
    await put_logo(context.rt, context.call, TenantId(path_id(tenant_id)), logo)


@get(_PATH, media_type="image/*")
async def read_one(context: FromCaller, tenant_id: FromPath[PathId]) -> Response[bytes]:
    """Return the logo."""
    found = await read_logo(context.rt, context.call, TenantId(path_id(tenant_id)))
    return Response(found.content, media_type=found.media_type)


@delete(_PATH, status_code=204)
async def delete_one(context: FromCaller, tenant_id: FromPath[PathId]) -> None:
    """Remove the logo."""
    await delete_logo(context.rt, context.call, TenantId(path_id(tenant_id)))


router = Router(
    "/admin",
    route_handlers=[put_one, read_one, delete_one],
    dependencies={"context": Provide(provide_administrator)},
)
