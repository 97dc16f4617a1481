"""A hub on this machine: as much of its protocol as a download of one model takes."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(models: dict[str, Path]):
    """Serve folders as repositories; yields the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            self._answer(with_body=True)

        def do_HEAD(self):
            self._answer(with_body=False)

        def _answer(self, with_body):
            path = self.path.partition("?")[0].strip("/")
            for repository, folder in models.items():
                if path.startswith(f"api/models/{repository}"):
                    rest = path.removeprefix(f"api/models/{repository}").strip("/")
                    return self._send_api(repository, folder, rest, with_body)
                prefix = f"{repository}/resolve/{COMMIT}/"
                if path.startswith(prefix) and (folder / path.removeprefix(prefix)).is_file():
                    contents = (folder / path.removeprefix(prefix)).read_bytes()
                    return self._send(200, contents, with_body)
            missing = json.dumps({"error": "Repository not found"}).encode()
            return self._send(404, missing, with_body, {"X-Error-Code": "RepoNotFound"})

        def _send_api(self, repository, folder, rest, with_body):
            files = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()]
            if rest.startswith("tree/"):
                answer = [
                    {"type": "file", "path": f, "size": (folder / f).stat().st_size, "oid": f}
                    for f in files
                ]
            else:
                siblings = [{"rfilename": name} for name in files]
                answer = {"id": repository, "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(answer).encode(), with_body)

        def _send(self, status, body, with_body, headers=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *arguments):
            """Say nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
