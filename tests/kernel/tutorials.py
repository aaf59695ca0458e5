"""The clients of the usual socket tutorials, against the daemon's hello and echo services.

usage: tutorials.py ADDRESS
"""

import errno
import select
import socket
import sys
import threading

HOST = sys.argv[1]
HELLO, ECHO = 8000, 7
socket.setdefaulttimeout(10)


def hello_tcp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect((HOST, HELLO))
        welcome = client.recv(1024)
        assert welcome.startswith(b"Welcome"), welcome
        client.send(b"Ada")
        client.send(b"\n")
        answer = client.recv(1024)
        assert b"Hello, Ada!" in answer, answer
        client.sendall("Грейс\n".encode())
        answer = client.recv(1024)
        assert "Hello, Грейс!" in answer.decode(), answer
        client.sendall(b"exit\n")
        rest = b""
        while part := client.recv(1024):
            rest += part
        assert b"Goodbye" in rest, rest
        assert client.recv(10) == b""


def hello_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"Ada", (HOST, HELLO))
        answer, server = client.recvfrom(1024)
        assert b"Hello, Ada!" in answer, answer
        assert server == (HOST, HELLO), server


def echo_makefile():
    with socket.create_connection((HOST, ECHO)) as client:
        with client.makefile("rw", encoding="utf-8", newline="\n") as file:
            for i in range(50):
                file.write(f"line {i}\n")
                file.flush()
                assert file.readline() == f"line {i}\n"


def addresses():
    with socket.create_connection((HOST, ECHO)) as client:
        assert client.getpeername() == (HOST, ECHO), client.getpeername()
        assert client.getsockname()[0] != HOST
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def half_close():
    with socket.create_connection((HOST, ECHO)) as client:
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        total = 0
        while part := client.recv(65536):
            total += len(part)
        assert total == 100_000, total


def connect_ex():
    with socket.socket() as client:
        client.setblocking(False)
        result = client.connect_ex((HOST, ECHO))
        assert result in (0, errno.EINPROGRESS), errno.errorcode[result]
        _, writable, _ = select.select([], [client], [], 5)
        assert writable == [client]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    with socket.socket() as client:
        assert client.connect_ex((HOST, 9999)) == errno.ECONNREFUSED


def settimeout():
    with socket.create_connection((HOST, ECHO)) as client:
        client.settimeout(0.2)
        try:
            client.recv(10)
            raise AssertionError("nothing was sent, yet something came")
        except TimeoutError:
            pass
        client.settimeout(5)
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"


def peek_and_recv_into():
    with socket.create_connection((HOST, ECHO)) as client:
        client.sendall(b"peek")
        assert client.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL) == b"peek"
        buffer = bytearray(4)
        assert client.recv_into(buffer) == 4 and buffer == b"peek"


def many_threads():
    wrong = []

    def one(n):
        message = f"client {n} ".encode() * 1000
        with socket.create_connection((HOST, ECHO)) as client:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as file:
                if file.read() != message:
                    wrong.append(n)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def udp_connected():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((HOST, ECHO))
        for size in (0, 1, 1000):
            client.send(b"u" * size)
            assert client.recv(2000) == b"u" * size


def linger_zero():
    # A client that ends by RST must not hurt the next one.
    client = socket.create_connection((HOST, ECHO))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sendall(b"rude")
    client.close()
    addresses()


for case in (
    hello_tcp, hello_udp, echo_makefile, addresses, half_close, connect_ex, settimeout, peek_and_recv_into,
    many_threads, udp_connected, linger_zero,
):
    try:
        case()
    except BaseException:
        print(f"{case.__name__} failed")
        raise
    print(f"{case.__name__}: fine")
print("all passed")
