"""A refusal, to a person in a browser: what happened, and the request's id."""

from html import escape

from litestar import MediaType, Response

from service.http.problem import STATUS
from service.kernel.refusal import Refused


def render(refused: Refused, request_id: str) -> Response[bytes]:
    """Render a refusal; only `public` is shown."""
    status, title = STATUS[refused.reason]
    return page(status, title, refused.public, request_id)


def page(status: int, title: str, detail: str, request_id: str) -> Response[bytes]:
    """Return a page without anything that a content security policy could forbid."""
    text = f"<p>{escape(detail)}</p>\n" if detail else ""
    html = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<h1>{escape(title)}</h1>\n{text}"
        f"<p>Request <code>{escape(request_id)}</code></p>\n</html>\n"
    )
    return Response(html.encode(), status_code=status, media_type=MediaType.HTML)
