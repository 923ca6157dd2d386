"""Clients that take for ever, by the thousand: honest mail goes on beside them, and a server that runs out of descriptors keeps those that mail needs."""

import json
import resource
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from server import LOADTEST, PATIENCE, SENDER, USERS, ServedTest, wait_until
from wire import Client

CRAWLERS = 9_000

# A second is divided so, to spread the octets over it.
SLICES = 100

HONEST = 4_000

ENVELOPE = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{USERS[0]}>\r\nDATA\r\n".encode()


def knock(address):
    """Connects, and reads the banner."""
    crawler = socket.create_connection(address, PATIENCE)
    crawler.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert crawler.recv(512).startswith(b"220 ")
    return crawler


def begin_content(address):
    """Connects, and goes on until the server waits for content."""
    crawler = knock(address)
    for commands, last in ((b"EHLO crawler.example.org\r\n", b"250 "), (ENVELOPE, b"354 ")):
        crawler.sendall(commands)
        reply = b""
        while not (reply.endswith(b"\r\n") and reply.splitlines()[-1].startswith(last)):
            reply += crawler.recv(4096)
    return crawler


class Crawlers(threading.Thread):
    """Clients each of which sends one octet a second, half of them of an EHLO and half of them of content."""

    def __init__(self, address):
        super().__init__(daemon=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (CRAWLERS + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self.sockets = [(begin_content if number % 2 else knock)(address) for number in range(CRAWLERS)]
        self.leave = threading.Event()
        self.sent = self.late = 0

    def run(self):
        line = b"EHLO crawler.example.org." + b"example." * 60
        begun = time.monotonic()
        for turn in range(len(line) * SLICES):
            second, part = divmod(turn, SLICES)
            for crawler in self.sockets[part::SLICES]:
                self.sent += crawler.send(line[second : second + 1])
            behind = time.monotonic() - begun - turn / SLICES
            self.late = max(self.late, behind)
            if self.leave.wait(max(0, -behind)):
                return

    def close(self):
        """Ends them, and returns how many the server had said something to, or left."""
        self.leave.set()
        self.join()
        poll = select.poll()
        for crawler in self.sockets:
            poll.register(crawler, select.POLLIN)
        heard = poll.poll(0)
        for crawler in self.sockets:
            crawler.close()
        return len(heard)


class CrawlersTest(ServedTest):
    smtp = "<connectionBacklog>2000</connectionBacklog>"

    def test_honest_mail_goes_on_beside_them(self):
        self.honest_mail("first")
        sockets = self.server.sockets()
        alone = self.honest_mail("alone")
        crawlers = Crawlers(self.server.smtp)
        memory = self.server.memory()
        crawlers.start()
        beside = self.honest_mail("beside")
        heard = crawlers.close()
        wait_until(lambda: self.server.sockets() == sockets, f"{sockets} sockets, as before,")
        self.assertEqual(heard, 0, "crawlers that the server should not have lost patience with yet")
        for name, figures in (("alone", alone), ("beside", beside)):
            print("\n{:8} {messages_per_s:6.0f} messages/s, dot to 250 in ms: {latency_ms}".format(name, **figures), end="")
        ratios = [beside["messages_per_s"] / alone["messages_per_s"]]
        ratios += [beside["latency_ms"][quantile] / alone["latency_ms"][quantile] for quantile in ("p50", "p99")]
        print("\nbeside : alone  pace {:.2f}, median latency {:.2f}, p99 {:.2f}".format(*ratios))
        print(f"{crawlers.sent} octets crawled, at most {crawlers.late:.2f} s late; server {memory} KiB ", end="", flush=True)

    def honest_mail(self, name):
        """Sends mail as fast as it is taken, proves that all of it was accepted and delivered, and returns the figures."""
        ledger, figures = self.server.home / f"ledger-{name}", self.server.home / f"{name}.json"
        how = ["--to", "{}:{}".format(*self.server.smtp), "--sessions", "4", "--messages", str(HONEST)]
        self.run_client(LOADTEST, "source", *how, "--ledger", ledger, "--json", figures)
        self.run_client(LOADTEST, "verify", "--ledger", ledger, "--maildir", self.server.maildir(), "--wait", str(PATIENCE - 10))
        return json.loads(figures.read_text())


class PatienceTest(ServedTest):
    own = """<timeouts><commandLine>3s</commandLine><contentRate>100</contentRate><contentWindow>4s</contentWindow></timeouts>"""

    def test_crawlers_are_ended_and_slow_clients_are_not(self):
        clients = [self.crawl_in_a_command, self.crawl_in_content, self.slow_typist, self.slow_lines, self.slow_blocks]
        with ThreadPoolExecutor(len(clients)) as pool:
            for ended in [pool.submit(client) for client in clients]:
                ended.result()
        self.server.wait_for(3)

    def crawl_in_a_command(self):
        self.crawl(knock(self.server.smtp))

    def crawl_in_content(self):
        self.crawl(begin_content(self.server.smtp))

    def crawl(self, crawler):
        with crawler:
            begun = time.monotonic()
            while not select.select([crawler], [], [], 0.5)[0]:
                crawler.send(b"x")
                self.assertLess(time.monotonic() - begun, PATIENCE, "the server's patience has no end")
            reply = crawler.makefile("rb").read()
        self.assertRegex(reply, rb"\A421 4\.4\.2 [^\r\n]+\r\n\Z")

    def slow_typist(self):
        """Types each command in less than its time, and thinks for longer between them."""
        with Client(self.server.smtp) as client:
            for command in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{USERS[0]}>"):
                for octet in command.encode():
                    client.send(bytes([octet]))
                    time.sleep(1.5 / len(command))
                client.command("", 250)
                time.sleep(4)
            client.data(b"Subject: typed\r\n\r\n").message_id()

    def slow_lines(self):
        """Sends little at a time, at a rate that is enough."""
        with Client(self.server.smtp) as client:
            client.envelope()
            client.command("DATA", 354)
            for _ in range(24):
                client.send(b"a" * 73 + b"\r\n")
                time.sleep(0.5)
            client.send(b".\r\n")
            client.reply().message_id()

    def slow_blocks(self):
        """Sends a block, and is silent for almost the whole window."""
        with Client(self.server.smtp) as client:
            client.envelope()
            client.command("DATA", 354)
            for _ in range(3):
                client.send((b"a" * 98 + b"\r\n") * 10)
                time.sleep(3.5)
            client.send(b".\r\n")
            client.reply().message_id()


class DescriptorsTest(ServedTest):
    descriptors = 120

    def test_when_they_run_out_clients_are_turned_away_and_those_for_mail_are_kept(self):
        self.server.wait_until_prepared()
        idle = self.server.descriptors()
        clients = [socket.create_connection(self.server.smtp, PATIENCE) for _ in range(2 * self.descriptors)]
        greeted = sum(self.is_greeted(client) for client in clients)
        self.assertGreater(greeted, 10)
        self.server.wait_for_log('turned-away .*why="no descriptor is left for connections"')
        # Half of them stay with the spool and the mailboxes.
        self.assertLessEqual(self.server.descriptors(), idle + self.descriptors // 2)
        cpu = self.server.cpu()
        time.sleep(3)
        share = (self.server.cpu() - cpu) / 3
        print(f"{100 * share:.1f} % of a core while full ", end="", flush=True)
        self.assertLess(share, 0.5)
        for client in clients:
            client.close()
        wait_until(lambda: self.server.descriptors() == idle, f"{idle} descriptors, as before,")
        with Client(self.server.smtp) as client:
            client.envelope()
            client.data(b"Subject: afterwards\r\n\r\n").message_id()
        self.server.wait_for(1)

    def is_greeted(self, client):
        """Whether a client is let in; others are closed without a word."""
        try:
            return client.recv(4) == b"220 "
        except ConnectionResetError:
            return False
