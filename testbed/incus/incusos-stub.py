"""Just what incusd itself asks of IncusOS, so that it starts before a test brings a daemon of its own.

  incusos-stub.py SOCKET NAME ADDRESS

Every connection is closed after its answer: incusd keeps one otherwise, and would go on asking a stub that was replaced.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

socket, name, address = sys.argv[1:]
eth0 = {"type": "interface", "state": "routable", "addresses": [address], "roles": ["cluster", "instances", "management"]}
answers = {
    "/1.0": {"environment": {"hostname": name, "os_name": "IncusOS", "os_version": "stub"}},
    "/1.0/system/network": {"config": {}, "state": {"interfaces": {"eth0": eth0}}},
}


class Stub(BaseHTTPRequestHandler):
    def address_string(self):
        return "unix"

    def do_GET(self):
        path = self.path.partition("?")[0]
        found = answers.get(path)
        if path.startswith("/1.0/services/"):
            found = {"config": {"enabled": False}, "state": {}}
        if found is None:
            code, answer = 404, {"type": "error", "error_code": 404, "error": "not in this stub"}
        else:
            code, answer = 200, {"type": "sync", "status": "Success", "status_code": 200, "metadata": found}
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingUnixStreamServer(socket, Stub).serve_forever()
