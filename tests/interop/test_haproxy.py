"""HAProxy in front, as operators have it: it says by the PROXY protocol for whom it speaks, and looks whether the server lives."""

import csv
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from server import PATIENCE, ServedTest, wait_until
from wire import Client

LIMIT_PER_IP = 5
HEADER_SECONDS = 2

SHORT_CONNECTIONS = 10_000
CLIENTS = 10

CONFIGURATION = """
global
    stats socket {home}/haproxy.sock mode 600
defaults
    mode tcp
    maxconn 1000
    timeout connect {patience}s
    timeout client {patience}s
    timeout server {patience}s
    timeout check 10s
frontend mail
    bind fd@{listener}
    default_backend ringpost
backend ringpost
    option smtpchk EHLO haproxy.example.org
    server ringpost {host}:{port} {send_proxy} check check-send-proxy inter 100ms fall 1 rise 1
"""


class BehindHAProxy(ServedTest):
    smtp = f"<proxyRequired>true</proxyRequired><connectionLimitPerIP>{LIMIT_PER_IP}</connectionLimitPerIP>"
    own = f"<timeouts><proxyHeader>{HEADER_SECONDS}s</proxyHeader></timeouts>"

    def start_haproxy(self, send_proxy):
        """Starts it, waits until its first check has passed, and returns the address where it listens."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        host, port = self.server.smtp
        file = self.server.home / "haproxy.cfg"
        about = {"home": self.server.home, "listener": listener.fileno(), "host": host, "port": port}
        file.write_text(CONFIGURATION.format(**about, patience=PATIENCE, send_proxy=send_proxy))
        with open(self.server.home / "haproxy.log", "wb") as log:
            haproxy = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=log, stderr=log, pass_fds=[listener.fileno()])
        self.addCleanup(haproxy.wait, PATIENCE)
        self.addCleanup(haproxy.kill)
        wait_until((self.server.home / "haproxy.sock").exists, "HAProxy's socket")
        wait_until(lambda: self.backend()["check_status"].endswith("L7OK"), "a check by HAProxy that passes")
        return listener.getsockname()

    def backend(self):
        """What HAProxy knows of the server."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.server.home / "haproxy.sock"))
            control.sendall(b"show stat\n")
            lines = control.makefile("r").read().removeprefix("# ").splitlines()
        return next(row for row in csv.DictReader(lines) if (row["pxname"], row["svname"]) == ("ringpost", "ringpost"))


class HAProxyTest(BehindHAProxy):
    def test_version_1(self):
        self.assert_clients_are_named(self.start_haproxy("send-proxy"))

    def test_version_2(self):
        self.assert_clients_are_named(self.start_haproxy("send-proxy-v2"))

    def test_version_2_with_tlvs(self):
        options = "send-proxy-v2 proxy-v2-options unique-id,crc32c"
        self.assert_clients_are_named(self.start_haproxy(options))

    def assert_clients_are_named(self, haproxy):
        for number, source in enumerate(["127.0.0.7", "127.0.0.8"], start=1):
            with Client(haproxy, source=source) as client:
                self.assertIn(f"[{source}]", client.greeted)
                self.server.wait_for_log(rf"connect .*client={source}:{client.socket.getsockname()[1]}\b")
                client.envelope()
                message = client.data(b"Subject: by proxy\r\n\r\ntext\r\n").message_id()
            self.server.wait_for_log(rf"accepted id={message} .*client={source}:")
            newest = self.server.wait_for(number)[-1]
            self.assertIn(f"([{source}])".encode(), newest.read_bytes().split(b"\n\n")[0])
        self.assert_checks_go_on_passing()

    def assert_checks_go_on_passing(self):
        """Watches a few more checks; while one is under way the last one's result has an asterisk before it."""
        backend = None
        for _ in range(10):
            time.sleep(0.1)
            backend = self.backend()
            self.assertEqual((backend["status"], backend["chkfail"]), ("UP", "0"))
        self.assertTrue(backend["check_status"].endswith("L7OK"), backend["check_status"])

    def test_checks_notice_when_the_server_is_gone_and_when_it_is_back(self):
        haproxy = self.start_haproxy("send-proxy-v2")
        self.server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: self.server.process.send_signal(signal.SIGCONT))
        wait_until(lambda: self.backend()["status"].startswith("DOWN"), "HAProxy noticing that the server is gone")
        self.server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: self.backend()["status"] == "UP", "HAProxy noticing that the server is back")
        with Client(haproxy):
            pass

    def test_many_short_connections(self):
        haproxy = self.start_haproxy("send-proxy-v2")
        self.server.wait_until_prepared()
        before = self.server.descriptors()

        def come_and_go(number):
            for _ in range(SHORT_CONNECTIONS // CLIENTS):
                with Client(haproxy, source=f"127.0.0.{10 + number}"):
                    pass

        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(come_and_go, range(CLIENTS)))
        print(f"{SHORT_CONNECTIONS / (time.monotonic() - begun):.0f} connections/s ", end="", flush=True)
        backend = self.backend()
        self.assertEqual((backend["econ"], backend["eresp"], backend["chkfail"]), ("0", "0", "0"))
        self.assertGreaterEqual(int(backend["stot"]), SHORT_CONNECTIONS)
        # A check by HAProxy may be under way whenever we look.
        wait_until(lambda: self.server.descriptors() <= before, f"{before} descriptors, as before,")

    def test_the_limit_counts_clients_and_not_their_proxy(self):
        haproxy = self.start_haproxy("send-proxy")
        sources = [f"127.0.0.{number}" for number in (7, 8, 9)]
        held = [Client(haproxy, source=source) for source in sources for _ in range(LIMIT_PER_IP)]
        for source in sources:
            with socket.create_connection(haproxy, PATIENCE, (source, 0)) as refused:
                self.assertRegex(refused.makefile("rb").read(), rb"\A421 4\.7\.0 [^\r\n]+\r\n\Z")
        for client in held:
            client.__exit__(None)


class HeaderTest(BehindHAProxy):
    """Who comes past the proxy and speaks its protocol wrongly, or not at all."""

    def test_what_is_no_header_is_answered_by_closing_at_once(self):
        wrong = [
            b"EHLO client.example.org\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 127.0.0.1\r\n",
            b"PROXY TCP4 127.0.0.1 127.0.0.1 99999 25\r\n",
            b"PROXY UNKNOWN " + b"x" * 107,
            b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x31, 0x11, 0, 12]) + bytes(12),
            b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11, 0xFF, 0xFF]) + bytes(65535),
        ]
        for octets in wrong:
            with self.subTest(octets=octets[:40]):
                self.assertLess(self.seconds_until_closed(octets), HEADER_SECONDS)

    def test_a_missing_or_late_header_is_waited_for_so_long_and_no_longer(self):
        for octets in (b"", b"PROXY TCP4 127.0.0.7 ", b"\r\n\r\n\0\r\nQUIT\n"):
            with self.subTest(octets=octets):
                self.assertGreater(self.seconds_until_closed(octets), HEADER_SECONDS - 0.5)

    def seconds_until_closed(self, octets):
        """How long it takes until the server closes, which it must do without a word."""
        begun = time.monotonic()
        with socket.create_connection(self.server.smtp, PATIENCE) as client:
            try:
                client.sendall(octets)
                said = client.recv(4096)
            except ConnectionError:
                said = b""
        self.assertEqual(said, b"")
        return time.monotonic() - begun
