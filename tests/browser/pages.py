"""Pages on origins of their own, which are empty but for what a test makes them do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"<!doctype html><meta charset=utf-8><title>A page</title><p>A page."

CALL = """
async ([method, url, given]) => {
  const {token, body, type, mode} = given;
  const headers = {};
  if (body !== undefined) headers["content-type"] = type ?? "application/json";
  if (token) headers["authorization"] = `Bearer ${token}`;
  try {
    const answer = await fetch(url, {method, headers, body, mode, credentials: "include"});
    const text = await answer.text();
    return {status: answer.status, type: answer.type, text};
  } catch (fault) {
    return {status: -1, type: fault.name, text: ""};
  }
}
"""
"""Fetch as a page does; status -1: the browser forbade it, 0: the page may not look."""

SUBMIT = """
([url, encoding, fields]) => {
  const form = document.createElement("form");
  form.method = "POST"; form.action = url; form.enctype = encoding;
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    field.type = "hidden"; field.name = name; field.value = value;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}
"""
"""Submit a form, which needs nobody's leave."""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_said: Any) -> None:
        """Say nothing."""


@contextmanager
def page_at(host: str) -> Iterator[str]:
    """Serve a page on a port of its own; yield its origin as seen under that name."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
