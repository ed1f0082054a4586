"""Serves a folder over https with byte ranges, with a certificate of an authority made for this run.

    https_server.py FOLDER CERTIFICATES

Writes `ca.pem`, the authority that signed the server's certificate, and `other.pem`, one that did not, into the folder
CERTIFICATES; then prints the port and serves until stdin ends. `openssl` makes the certificates, which are for 127.0.0.1.
"""

import http.server
import ssl
import subprocess
import sys
import threading
from pathlib import Path


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2)
    for name in ("ca", "other"):
        openssl(*new, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN=test {name}")
    signed = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key")
    openssl(*new, *signed, "-keyout", folder / "server.key", "-out", folder / "server.pem", "-subj", "/CN=server",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")


class Ranges(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        body = (self.folder / self.path.lstrip("/")).read_bytes()
        size = len(body)
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        self.send_response(206)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(body[start:end])

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    Ranges.folder, certificates = Path(sys.argv[1]), Path(sys.argv[2])
    make_certificates(certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
