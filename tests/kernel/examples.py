"""The other ends of the tutorials' programs, on the kernel's sockets.

usage: examples.py CASE [ADDRESS]
"""

import socket
import struct
import sys
import threading

PORT = 8000
KERNEL = "192.0.2.1"
socket.setdefaulttimeout(10)


def hello_client(host):
    clients = [socket.create_connection((host, PORT)) for _ in range(3)]
    files = [client.makefile("rw", encoding="utf-8", newline="\n") for client in clients]
    for file in files:
        assert file.readline().startswith("Welcome!")
    # The last comes first: nobody waits for another to be done.
    for turn in range(3):
        for number, file in reversed(list(enumerate(files))):
            file.write(f"Ada {number}.{turn}\n")
            file.flush()
            assert file.readline() == f"Hello, Ada {number}.{turn}!\n"
    for file in files:
        file.write("exit\n")
        file.flush()
        assert file.read() == "Goodbye!\n"


def hello_server():
    with socket.create_server((KERNEL, PORT)) as server:
        print("listening on", PORT)
        client, _ = server.accept()
        with client, client.makefile("rw", encoding="utf-8", newline="\n") as file:
            file.write("Welcome!\n")
            file.flush()
            while (name := file.readline().rstrip("\n")) != "exit":
                file.write(f"Hello, {name}!\n")
                file.flush()
            file.write("Goodbye!\n")


def udp_client(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for name in ("Ada", "Grace"):
            client.sendto(name.encode(), (host, PORT))
            answer, server = client.recvfrom(1024)
            assert (answer, server) == (f"Hello, {name}!\n".encode(), (host, PORT)), (answer, server)


def udp_server():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((KERNEL, PORT))
        print("listening on", PORT)
        server.recvfrom(1024)
        name, client = server.recvfrom(1024)
        server.sendto(b"Hello, " + name + b"!\n", client)


def names(server):
    """Answers each question for A with the kernel's address, and all others with nothing."""
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(KERNEL)
        answers = [record] if kind == 1 else []
        header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
        server.sendto(header + query[12:end] + b"".join(answers), client)


def web():
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind((KERNEL, 53))
    resolver.settimeout(None)
    threading.Thread(target=names, args=(resolver,), daemon=True).start()
    with socket.create_server((KERNEL, 80)) as server:
        print("listening on", 80)
        client, _ = server.accept()
        with client:
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(1024)
            asked = "\r\nHost: www.example\r\n" in request.decode()
            status = "200 OK" if asked and request.startswith(b"GET / ") else "404 Not Found"
            page = "<h1>www.example</h1>" + "a line of the page\n" * 5000
            client.sendall(f"HTTP/1.0 {status}\r\nX-Lesson: 8\r\n\r\n{page}".encode())


case = sys.argv[1]
globals()[case](*sys.argv[2:])
if case.endswith("_client"):
    print("fine")
