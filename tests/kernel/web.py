"""A web server with manners good and bad, for the tests of `tunstack get`: web.py PORT FILE [CERTIFICATE KEY]"""

import http.server
import re
import socket
import ssl
import struct
import sys
import time

CONTENT = open(sys.argv[2], "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def head(self, status, length, **fields):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self):
        self.head(200, len(CONTENT))
        self.wfile.write(CONTENT)

    def file(self):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not match:
            return self.whole()
        start, total = int(match[1]), len(CONTENT)
        if start >= total:
            return self.head(416, 0, Content_Range=f"bytes */{total}")
        self.head(206, total - start, Content_Range=f"bytes {start}-{total - 1}/{total}")
        self.wfile.write(CONTENT[start:])

    def chunked(self):
        self.head(200, None, Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 10_007):
            piece = CONTENT[start : start + 10_007]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def close(self):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT)

    def cut(self):
        self.close_connection = True
        self.head(200, len(CONTENT) + 1)
        self.wfile.write(CONTENT)

    def reset(self):
        self.close_connection = True
        self.head(200, 10)
        self.wfile.write(b"12345")
        self.wfile.flush()
        time.sleep(0.2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def empty(self):
        self.close_connection = True

    def silent(self):
        time.sleep(20)

    def to(self):
        self.head(302, 0, Location="/file")

    def nothing_more(self):
        self.close_connection = True
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        self.head(206, 10, Content_Range=f"bytes {start}-{start + 9}/{start + 10}")

    def orders(self):
        # The second byte of a control character of C1 in UTF-8.
        self.head(302, 0, Location="http://a\xc2\x9b31m/")

    def loop(self):
        self.head(301, 0, Location="loop")

    def missing(self):
        self.head(404, 8)
        self.wfile.write(b"nothing\n")

    def do_GET(self):
        try:
            getattr(self, self.path[1:])()
        except OSError:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("::", int(sys.argv[1])), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
